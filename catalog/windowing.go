package catalog

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// MaxWindowsPerRow limits in how many sliding windows a row may be: size divided by period.
const MaxWindowsPerRow = 100_000

// maxLength limits durations, in milliseconds: 10,000 years.
const maxLength = 10_000 * 366 * 24 * 3_600_000

// maxLengthDigits limits the text of a duration's number.
const maxLengthDigits = 64

const lengthHint = "Write a number with one of the units ms, s, m, h, d; without a unit it is seconds."

// windowKeys are the keys of each type of windowing beside "type".
var windowKeys = map[string][]string{
	"global":   {},
	"fixed":    {"size", "offset"},
	"sliding":  {"size", "period", "offset"},
	"sessions": {"gap"},
}

var windowTypes = []string{"global", "fixed", "sliding", "sessions"}

// streamKeys are those that every type has, and that bounded input has no use for.
var streamKeys = []string{"allowed_lateness", "accumulation", "trigger"}

// missingKeys are keys of Beam's model that are not there.
var missingKeys = map[string]string{
	"accumulation_mode":  "It is called \"accumulation\" here.",
	"timestamp_combiner": "Rows of a window have its end less 1 ms as their time.",
}

// ParseWindowing returns the windowing that v describes: {type: global}, {type: fixed, size, offset},
// {type: sliding, size, period, offset} or {type: sessions, gap}, or a string of JSON that says so. It adds every
// problem at its place.
func ParseWindowing(v *Value, problems *diag.List) (plan.Windowing, bool) {
	if text, ok := v.Data.(string); ok {
		parsed, err := parseJSON(v, text)
		if err != nil || !isMap(parsed) {
			problems.Errorf(v.Place, diag.BadWindowing, "a windowing that is a string must be JSON, found %q", text).Hint =
				"Write it without quotes, as a map: {type: fixed, size: 10s}."
			return plan.Windowing{}, false
		}
		v = parsed
	}
	if !isMap(v) {
		problems.Errorf(v.Place, diag.BadWindowing, "wanted a windowing, as {type: fixed, size: 10s}, found %s", found(v))
		return plan.Windowing{}, false
	}
	p := windowParser{v: v, problems: problems, ok: true}
	w := p.parse()
	return w, p.ok
}

type windowParser struct {
	v        *Value
	problems *diag.List
	ok       bool
}

func (p *windowParser) fail(at diag.Place, code diag.Code, format string, args ...any) *diag.Problem {
	p.ok = false
	return p.problems.Errorf(at, code, format, args...)
}

func (p *windowParser) parse() plan.Windowing {
	var w plan.Windowing
	typ := p.v.Get("type")
	if typ == nil || typ.Data == nil {
		p.fail(p.v.Place, diag.MissingKey, `a windowing needs "type", which is not given`).Hint = "Types of windowing: " + strings.Join(windowTypes, ", ") + "."
		return w
	}
	known, ok := windowKeys[typ.Text()]
	if !ok {
		p.fail(typ.Place, diag.BadWindowing, "no type of windowing is named %q", scalarText(typ)).Hint = diag.DidYouMean(typ.Text(), "types", windowTypes)
		return w
	}
	p.keys(typ.Text(), known)
	switch typ.Text() {
	case "fixed":
		w = plan.Windowing{Kind: plan.Fixed, Size: p.length("size", true), Offset: p.length("offset", false)}
		w.Offset = floorMod(w.Offset, w.Size)
	case "sliding":
		w = plan.Windowing{Kind: plan.Sliding, Size: p.length("size", true), Period: p.length("period", true), Offset: p.length("offset", false)}
		w.Offset = floorMod(w.Offset, w.Period)
		p.sliding(w)
	case "sessions":
		w = plan.Windowing{Kind: plan.Sessions, Gap: p.length("gap", true)}
	}
	p.panes(&w)
	return w
}

// panes reads the keys that say when windows fire in unbounded input.
func (p *windowParser) panes(w *plan.Windowing) {
	if w.Lateness = p.length("allowed_lateness", false); w.Lateness < 0 {
		p.fail(p.v.Get("allowed_lateness").Place, diag.BadDuration, `"allowed_lateness" must not be negative`)
	}
	if v := p.v.Get("accumulation"); v != nil && v.Data != nil {
		switch v.Text() {
		case "accumulating":
			w.Accumulating = true
		case "discarding":
		default:
			p.fail(v.Place, diag.BadWindowing, "no accumulation is named %q", scalarText(v)).Hint = diag.DidYouMean(v.Text(), "modes", []string{"accumulating", "discarding"})
		}
	}
	v := p.v.Get("trigger")
	switch {
	case v == nil || v.Data == nil:
	case !isMap(v):
		p.fail(v.Place, diag.BadWindowing, "wanted a trigger, as {early: {delay: 1s}}, found %s", found(v))
	case w.Kind == plan.Global:
		w.Early = p.firing(v, "a trigger of the global window")
	default:
		for _, e := range v.Entries() {
			switch e.Key {
			case "early":
				w.Early = p.firing(e.Value, `"early"`)
			case "late":
				w.Late = p.firing(e.Value, `"late"`)
			default:
				p.fail(e.At, diag.UnknownKey, "a trigger has no key %q", e.Key).Hint = "It has early and late, each {delay: 1s} or {count: 100}."
			}
		}
	}
}

// firing reads {count, delay}.
func (p *windowParser) firing(v *Value, owner string) (f plan.Firing) {
	if !isMap(v) || len(v.Entries()) == 0 {
		p.fail(v.Place, diag.BadWindowing, "wanted {delay: 1s} or {count: 100} for %s, found %s", owner, found(v))
		return f
	}
	for _, e := range v.Entries() {
		switch e.Key {
		case "count":
			n, ok := e.Value.Data.(int64)
			if !ok || n < 1 {
				p.fail(e.Value.Place, diag.BadWindowing, `wanted a whole number of at least 1 for "count", found %s`, scalarText(e.Value))
			}
			f.Count = n
		case "delay":
			ms, problem := parseLength(e.Value)
			if problem == "" && ms <= 0 {
				problem = "it must be longer than zero"
			}
			if problem != "" {
				p.fail(e.Value.Place, diag.BadDuration, `"delay": %s`, problem).Hint = lengthHint
			}
			f.Delay = ms
		default:
			p.fail(e.At, diag.UnknownKey, "%s has no key %q", owner, e.Key).Hint = "It has delay and count."
		}
	}
	return f
}

// keys reports keys that the type of windowing does not have.
func (p *windowParser) keys(typ string, known []string) {
	for _, e := range p.v.Entries() {
		switch {
		case e.Key == "type" || slices.Contains(known, e.Key):
		case slices.Contains(streamKeys, e.Key):
		case missingKeys[e.Key] != "":
			p.fail(e.At, diag.Unsupported, "%q of a windowing cannot be given", e.Key).Hint = missingKeys[e.Key]
		default:
			hint := didYouMean(e.Key, known)
			if hint == "" && len(known) > 0 {
				hint = fmt.Sprintf("It has %s.", strings.Join(known, ", "))
			}
			p.fail(e.At, diag.UnknownKey, "windowing of type %q has no key %q", typ, e.Key).Hint = hint
		}
	}
}

// sliding checks how size and period go together.
func (p *windowParser) sliding(w plan.Windowing) {
	at := p.v.Place
	if period := p.v.Get("period"); period != nil {
		at = period.Place
	}
	switch {
	case !p.ok:
	case w.Size/w.Period > MaxWindowsPerRow:
		p.fail(at, diag.BadWindowing, "each row would be in %d windows, at most %d are allowed", w.Size/w.Period, MaxWindowsPerRow).Hint =
			"Make the period longer."
	case w.Period > w.Size:
		p.problems.Warnf(at, diag.BadWindowing, "the period is longer than the size: rows between two windows are in none and are dropped")
	}
}

// length returns the duration under key in milliseconds; positive: it is required and must be above zero.
func (p *windowParser) length(key string, positive bool) int64 {
	v := p.v.Get(key)
	if v == nil || v.Data == nil {
		if positive {
			p.fail(p.v.Place, diag.MissingKey, "windowing of type %q needs %q, which is not given", p.v.Get("type").Text(), key)
		}
		return 0
	}
	ms, problem := parseLength(v)
	if problem != "" {
		p.fail(v.Place, diag.BadDuration, "%q: %s", key, problem).Hint = lengthHint
		return 0
	}
	if positive && ms <= 0 {
		p.fail(v.Place, diag.BadDuration, "%q must be longer than zero, found %s", key, scalarText(v))
		return 0
	}
	return ms
}

// floorMod is t modulo size with the sign of size, 0 where size is not known.
func floorMod(t, size int64) int64 {
	if size <= 0 {
		return 0
	}
	return t - plan.FloorStart(t, size, 0)
}

// ParseLength reads a length of time as configurations have it: a number of seconds, or a text such as 10s, 5m, 1h. ok is false where it
// is neither.
func ParseLength(v any) (length column.Span, ok bool) {
	ms, problem := parseLength(&Value{Data: v})
	return column.Span(ms), problem == ""
}

// parseLength returns a duration in milliseconds, or says what is wrong with it.
func parseLength(v *Value) (ms int64, problem string) {
	switch d := v.Data.(type) {
	case int64:
		return parseLengthText(strconv.FormatInt(d, 10))
	case float64:
		return parseLengthText(strconv.FormatFloat(d, 'g', -1, 64))
	case string:
		return parseLengthText(d)
	}
	return 0, "wanted a duration, found " + found(v)
}

func parseLengthText(text string) (ms int64, problem string) {
	number := strings.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	unit := text[len(number):]
	var scale int64
	switch unit {
	case "ms":
		scale = 1
	case "", "s":
		scale = 1000
	case "m":
		scale = 60_000
	case "h":
		scale = 3_600_000
	case "d":
		scale = 86_400_000
	default:
		if number == "" {
			return 0, fmt.Sprintf("wanted a duration, found %q", text)
		}
		return 0, fmt.Sprintf("wanted a duration, found %q, whose unit %q is unknown", text, unit)
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || len(number) > maxLengthDigits || strings.ContainsAny(number, "xXpP_") {
		return 0, fmt.Sprintf("wanted a duration, found %q", text)
	}
	if f == 0 {
		return 0, ""
	}
	if f < 1e-9 && f > -1e-9 { // exact arithmetic would be slow on 1e-999999
		return 0, fmt.Sprintf("the duration %s is no whole number of milliseconds", text)
	}
	if f*float64(scale) > maxLength || f*float64(scale) < -maxLength {
		return 0, fmt.Sprintf("the duration %s is too long", text)
	}
	// A decimal such as 0.1 is no float64, so the milliseconds are counted with fractions.
	exact, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Sprintf("wanted a duration, found %q", text)
	}
	exact.Mul(exact, new(big.Rat).SetInt64(scale))
	if !exact.IsInt() {
		return 0, fmt.Sprintf("the duration %s is no whole number of milliseconds", text)
	}
	return exact.Num().Int64(), ""
}

// scalarText is how a scalar was written, for problems.
func scalarText(v *Value) string {
	if v.Raw != "" {
		return v.Raw
	}
	if s, ok := v.Data.(string); ok {
		return s
	}
	if isScalar(v) {
		return fmt.Sprint(v.Data)
	}
	return found(v)
}

// parseJSON reads the text of v as one JSON value with places.
func parseJSON(v *Value, text string) (*Value, error) {
	r := jsonReader{dec: json.NewDecoder(strings.NewReader(text)), text: text, v: v}
	r.dec.UseNumber()
	out, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the JSON value")
	}
	return out, nil
}

// maxJSONDepth limits the nesting of JSON in a configuration string.
const maxJSONDepth = 100

type jsonReader struct {
	dec  *json.Decoder
	text string
	v    *Value
}

// place returns the place of what was read between byte from and now.
func (r *jsonReader) place(from int64) diag.Place {
	if len(r.v.Span.Marks) == 0 {
		return r.v.Place
	}
	start := int(from)
	for start < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[start]) >= 0 {
		start++
	}
	return r.v.Span.At(r.text, start, int(r.dec.InputOffset()))
}

func (r *jsonReader) value(depth int) (*Value, error) {
	from := r.dec.InputOffset()
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	out := &Value{Place: r.place(from)}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return out, r.list(out, depth)
		}
		return out, r.object(out, depth)
	case json.Number:
		out.Raw = t.String()
		if n, err := t.Int64(); err == nil {
			out.Data = n
		} else if out.Data, err = t.Float64(); err != nil {
			return nil, err
		}
	default: // nil, bool, string
		out.Data = t
	}
	return out, nil
}

func (r *jsonReader) list(out *Value, depth int) error {
	list := []*Value{}
	for r.dec.More() {
		e, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	out.Data = list
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) object(out *Value, depth int) error {
	m := &Map{}
	for r.dec.More() {
		from := r.dec.InputOffset()
		key, err := r.dec.Token()
		if err != nil {
			return err
		}
		at := r.place(from)
		e, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		m.Entries = append(m.Entries, Entry{Key: key.(string), At: at, Value: e})
	}
	out.Data = m
	_, err := r.dec.Token()
	return err
}
