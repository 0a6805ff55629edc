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

// csvTypeOf returns the type that a field would be read as on its own: null, bool, int, float or string. A whole number
// beyond 64 bits is a string, so that no digit is lost.
func csvTypeOf(text []byte, nulls *csvNulls) column.Type {
	if nulls.is(text) {
		return column.NullType
	}
	if _, ok := csvBool(text); ok {
		return column.BoolType
	}
	text = bytes.Trim(text, " \t")
	switch _, err := number.ParseInt(text); err {
	case nil:
		return column.IntType
	case number.ErrRange:
		return column.StringType
	}
	if _, err := csvFloat(text); err == nil {
		return column.FloatType
	}
	return column.StringType
}

// csvWiden returns the type that holds the fields of both types: ints widen to floats, anything else to strings.
func csvWiden(a, b column.Type) column.Type {
	switch {
	case a.Kind == column.Null:
		return b
	case b.Kind == column.Null || a.Kind == b.Kind:
		return a
	case a.IsNumber() && b.IsNumber():
		return column.FloatType
	}
	return column.StringType
}

// csvInference gathers the columns of files, by name, and their types from samples.
type csvInference struct {
	dialect csvDialect
	nulls   *csvNulls
	names   []string
	types   []column.Type // one for each column, null at first
	rows    int
}

// columns returns the places of a file's columns; new ones are added.
func (s *csvInference) columns(names []string) []int {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = slices.Index(s.names, name); at[i] < 0 {
			at[i] = len(s.names)
			s.names = append(s.names, name)
			s.types = append(s.types, column.NullType)
		}
	}
	return at
}

// add takes up to limit records of data, whose fields belong to those columns. Records with too many fields or
// without their end say nothing: the decoder will report them. In the middle of a file the data may begin within quotes, so
// that what looks like records is none: where one is odd, the whole piece says nothing.
func (s *csvInference) add(data []byte, columns []int, limit int, middle bool) {
	types, rows := slices.Clone(s.types), 0
	for pos := 0; pos < len(data) && rows < limit; {
		if next := s.dialect.blank(data, pos); next > pos {
			pos = next
			continue
		}
		fields, next, open := s.dialect.record(data, pos)
		pos = next
		if open || len(fields) > len(columns) || middle && len(fields) != len(columns) {
			if middle && s.dialect.quote != 0 && bytes.IndexByte(data, s.dialect.quote) >= 0 {
				return
			}
			continue
		}
		for i, f := range fields {
			types[columns[i]] = csvWiden(types[columns[i]], csvTypeOf(f, s.nulls))
		}
		rows++
	}
	s.types = types
	s.rows += rows
}

// schema returns the columns as fields. All may be null; a column that was null in the whole sample is text.
func (s *csvInference) schema() column.Schema {
	schema := make(column.Schema, len(s.names))
	for i, name := range s.names {
		t := s.types[i]
		if t.Kind == column.Null {
			t = column.StringType
		}
		schema[i] = column.Field{Name: name, Type: t.OrNull()}
	}
	return schema
}
