package pipeline

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// patterns are the forms of unquoted scalars in YAML 1.1 as PyYAML reads them. They are compiled at first use, so
// that a program that reads no pipeline does not pay for them.
var patterns = sync.OnceValue(func() (p struct{ integer, float, timestamp, exponent *regexp.Regexp }) {
	p.integer = regexp.MustCompile(`^[-+]?(0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)$`)
	p.float = regexp.MustCompile(`^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|` +
		`[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	p.timestamp = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}` +
		`(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?)$`)
	p.exponent = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][0-9]+$|^[-+]?[0-9]+[eE][-+]?[0-9]+$`)
	return p
})

// resolve returns what YAML 1.1 makes of an unquoted scalar, as PyYAML's SafeLoader does: nil, bool, int64, float64 or
// string. surprise is not empty where that is not what the text looks like: it says what it is read as.
//
// Dates stay texts: the reference makes date objects of them, which no transform of its takes. Integers beyond 64
// bits become floats, which the reader refuses.
func resolve(text string) (data any, surprise string) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil, ""
	case "true", "True", "TRUE":
		return true, ""
	case "false", "False", "FALSE":
		return false, ""
	case "yes", "Yes", "YES", "on", "On", "ON":
		return true, "true"
	case "no", "No", "NO", "off", "Off", "OFF":
		return false, "false"
	}
	if c := text[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') || len(text) > 400 {
		return text, ""
	}
	p := patterns()
	switch {
	case p.integer.MatchString(text):
		return integer(text)
	case p.float.MatchString(text):
		return float(text)
	case p.timestamp.MatchString(text):
		return text, "a date, which Beam's transforms do not take; it is taken as a text here"
	case p.exponent.MatchString(text):
		return text, "a text, for want of a decimal point and a signed exponent"
	}
	return text, ""
}

func integer(text string) (any, string) {
	digits := strings.ReplaceAll(text, "_", "")
	sign := ""
	if digits[0] == '-' || digits[0] == '+' {
		sign, digits = digits[:1], digits[1:]
	}
	surprise := ""
	var n int64
	var err error
	switch {
	case strings.Contains(digits, ":"):
		var f float64
		f = sexagesimal(digits)
		n = int64(f)
		surprise = "a number of base 60, " + sign + strconv.FormatInt(n, 10)
	case strings.HasPrefix(digits, "0b"), strings.HasPrefix(digits, "0x"):
		n, err = strconv.ParseInt(sign+digits, 0, 64)
		return whole(n, err, sign+digits), ""
	case len(digits) > 1 && digits[0] == '0':
		n, err = strconv.ParseInt(digits[1:], 8, 64)
		surprise = "a number of base 8, " + sign + strconv.FormatInt(n, 10)
	default:
		n, err = strconv.ParseInt(sign+digits, 10, 64)
		return whole(n, err, sign+digits), ""
	}
	if err != nil {
		return text, ""
	}
	if sign == "-" {
		n = -n
	}
	return n, surprise
}

// whole is n, or the nearest float where the text is beyond 64 bits.
func whole(n int64, err error, text string) any {
	if err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return f
}

func float(text string) (any, string) {
	digits := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	switch strings.TrimLeft(digits, "+-") {
	case ".inf":
		if digits[0] == '-' {
			return math.Inf(-1), ""
		}
		return math.Inf(1), ""
	case ".nan":
		return math.NaN(), ""
	}
	if strings.Contains(digits, ":") {
		f := sexagesimal(strings.TrimLeft(digits, "+-"))
		if digits[0] == '-' {
			f = -f
		}
		return f, "a number of base 60, " + strconv.FormatFloat(f, 'g', -1, 64)
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil && !math.IsInf(f, 0) {
		return text, ""
	}
	return f, ""
}

// sexagesimal is the value of digits of base 60, as hours, minutes and seconds.
func sexagesimal(digits string) float64 {
	var f float64
	for part := range strings.SplitSeq(digits, ":") {
		n, _ := strconv.ParseFloat(part, 64)
		f = f*60 + n
	}
	return f
}

// surpriseHint says how to write what was probably meant.
func surpriseHint(text string, data any) string {
	if b, ok := data.(bool); ok {
		return "Quote it (\"" + text + "\") to mean the text, or write " + strconv.FormatBool(b) + "."
	}
	return "Quote it: \"" + text + "\"."
}
