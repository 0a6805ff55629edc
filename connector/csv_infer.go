package connector

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// csvNulls are the texts that stand for null.
type csvNulls struct {
	words   map[string]bool
	first   [257]bool // the first bytes of words; see firstByte
	numeric bool      // one of the words is a number
}

// firstByte returns the first byte of text, 256 where it is empty.
func firstByte(text []byte) int {
	if len(text) == 0 {
		return 256
	}
	return int(text[0])
}

// pandasNulls are the texts that pandas.read_csv takes for null unless told otherwise.
const pandasNulls = "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null"

var defaultNulls = newCSVNulls(strings.Split(pandasNulls, "|"))

func newCSVNulls(words []string) csvNulls {
	n := csvNulls{words: make(map[string]bool, len(words))}
	for _, w := range words {
		n.words[w] = true
		n.first[firstByte([]byte(w))] = true
		if _, err := number.ParseFloat([]byte(w)); err == nil {
			n.numeric = true
		}
	}
	return n
}

func (n *csvNulls) is(text []byte) bool { return n.first[firstByte(text)] && n.words[string(text)] }

// csvBool reads a boolean: true or false in any case.
func csvBool(text []byte) (value, ok bool) {
	switch len(text) {
	case 4:
		return true, bytes.EqualFold(text, []byte("true"))
	case 5:
		return false, bytes.EqualFold(text, []byte("false"))
	}
	return false, false
}

// csvFloat reads a number or the name of an infinity. A number beyond the largest is ErrRange.
func csvFloat(text []byte) (float64, error) {
	f, err := number.ParseFloat(text)
	if err == nil {
		if math.IsInf(f, 0) {
			return 0, number.ErrRange
		}
		return f, nil
	}
	sign, name := 1, text
	if len(name) > 0 && (name[0] == '-' || name[0] == '+') {
		if name[0] == '-' {
			sign = -1
		}
		name = name[1:]
	}
	if bytes.EqualFold(name, []byte("inf")) || bytes.EqualFold(name, []byte("infinity")) {
		return math.Inf(sign), nil
	}
	return 0, number.ErrSyntax
}

// csvKindOf returns what a field would be read as on its own: Null, Bool, Int, Float or String. A whole number beyond 64
// bits is a string, so that no digit is lost.
func csvKindOf(text []byte, nulls *csvNulls) column.Kind {
	if nulls.is(text) {
		return column.Null
	}
	if _, ok := csvBool(text); ok {
		return column.Bool
	}
	text = trimmed(text)
	switch _, err := number.ParseInt(text); err {
	case nil:
		return column.Int
	case number.ErrRange:
		return column.String
	}
	if _, err := csvFloat(text); err == nil {
		return column.Float
	}
	return column.String
}

// trimmed returns text without the spaces and tabs around it.
func trimmed(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for n := len(text); n > 0 && (text[n-1] == ' ' || text[n-1] == '\t'); n-- {
		text = text[:n-1]
	}
	return text
}

// csvWiden returns the kind that holds the fields of both: ints widen to floats, anything else to strings.
func csvWiden(a, b column.Kind) column.Kind {
	switch {
	case a == column.Null:
		return b
	case b == column.Null || a == b:
		return a
	case a == column.Int && b == column.Float || a == column.Float && b == column.Int:
		return column.Float
	}
	return column.String
}

// csvInference gathers the columns of files, by name, and their types from samples.
type csvInference struct {
	dialect csvDialect
	nulls   *csvNulls
	names   []string
	kinds   []column.Kind // one for each column, Null at first
	scratch []byte        // an unescaped field
}

// columns returns the places of a file's columns; new ones are added.
func (s *csvInference) columns(names []string) []int {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = slices.Index(s.names, name); at[i] < 0 {
			at[i] = len(s.names)
			s.names = append(s.names, name)
			s.kinds = append(s.kinds, column.Null)
		}
	}
	return at
}

// add takes the records of data, whose fields belong to those columns. Records with too many fields or
// without their end say nothing: the decoder will report them. In the middle of a file the data may begin within quotes, so
// that what looks like records is none: where one is odd, the whole piece says nothing.
func (s *csvInference) add(data []byte, columns []int, middle bool) {
	kinds := slices.Clone(s.kinds)
	quotes := middle && s.dialect.quote != 0 && bytes.IndexByte(data, s.dialect.quote) >= 0
	found := make([]column.Kind, 0, len(columns))
	for pos := 0; pos < len(data); {
		if next := s.dialect.blank(data, pos); next > pos {
			pos = next
			continue
		}
		var open bool
		found, pos, open = s.record(found[:0], data, pos)
		if open || len(found) > len(columns) || middle && len(found) != len(columns) {
			if quotes {
				return
			}
			continue
		}
		for i, k := range found {
			kinds[columns[i]] = csvWiden(kinds[columns[i]], k)
		}
	}
	s.kinds = kinds
}

// record appends the kinds of the fields of the record at pos, and returns the index after it and whether a quote in it
// is not closed.
func (s *csvInference) record(kinds []column.Kind, data []byte, pos int) (_ []column.Kind, next int, open bool) {
	for {
		f := s.dialect.field(data, pos)
		text := data[f.from:f.to]
		if f.escaped {
			s.scratch = s.dialect.unescape(s.scratch[:0], data, f)
			text = s.scratch
		}
		kinds = append(kinds, csvKindOf(text, s.nulls))
		end := false
		if pos, end = s.dialect.after(data, f.next); end || f.open {
			return kinds, pos, f.open
		}
	}
}

// schema returns the columns as fields. All may be null; a column that was null in the whole sample is text.
func (s *csvInference) schema() column.Schema {
	schema := make(column.Schema, len(s.names))
	for i, name := range s.names {
		kind := s.kinds[i]
		if kind == column.Null {
			kind = column.String
		}
		schema[i] = column.Field{Name: name, Type: column.Type{Kind: kind, Nullable: true}}
	}
	return schema
}
