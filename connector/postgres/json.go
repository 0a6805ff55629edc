package postgres

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/leat-project/leat/column"
)

// appendJSON appends a boxed value as JSON: times as RFC 3339, bytes in base64, durations in seconds. NaN and infinities, which JSON lacks, are null.
func appendJSON(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return jsonFloat(dst, v)
	case string:
		return jsonText(dst, v)
	case []byte:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v), '"')
	case column.Instant:
		return time.UnixMilli(int64(v)).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
	case column.Span:
		return jsonFloat(dst, float64(v)/1000)
	case *column.ListValue:
		dst = append(dst, '[')
		for i, e := range v.Elems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case *column.RowValue:
		dst = append(dst, '{')
		for i, name := range v.Names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(append(jsonText(dst, name), ':'), v.Elems[i])
		}
		return append(dst, '}')
	case *column.MapValue:
		dst = append(dst, '{')
		for i, key := range v.Keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			if text, ok := key.(string); ok {
				dst = jsonText(dst, text)
			} else {
				dst = jsonText(dst, string(appendJSON(nil, key)))
			}
			dst = appendJSON(append(dst, ':'), v.Elems[i])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func jsonFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func jsonText(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range []byte(strings.ToValidUTF8(text, "\uFFFD")) {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// hasNull reports whether a text within a value holds a NUL, which jsonb refuses.
func hasNull(v column.Value) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case *column.ListValue:
		for _, e := range v.Elems {
			if hasNull(e) {
				return true
			}
		}
	case *column.RowValue:
		for i, e := range v.Elems {
			if hasNull(e) || hasNull(v.Names[i]) {
				return true
			}
		}
	case *column.MapValue:
		for i, e := range v.Elems {
			if hasNull(e) || hasNull(v.Keys[i]) {
				return true
			}
		}
	}
	return false
}
