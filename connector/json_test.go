package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// jsonLines keeps what a decoder makes of each line of a morsel.
type jsonLines struct {
	batch int
	rows  map[int32][]any
	bad   map[int32]string
}

func (l *jsonLines) BatchRows() int { return l.batch }

func (l *jsonLines) Batch(b *column.Batch) error {
	for i := range b.N {
		row := make([]any, len(b.Cols))
		for c, v := range b.Cols {
			row[c] = plainValue(v.Value(i))
		}
		if _, ok := l.rows[b.RowNumber(i)]; ok {
			return fmt.Errorf("two rows of line %d", b.RowNumber(i))
		}
		l.rows[b.RowNumber(i)] = row
	}
	return nil
}

func (l *jsonLines) Bad(r catalog.BadRecord) error {
	l.bad[r.Row] = r.Msg
	return nil
}

// plainValue is a value as encoding/json would have it.
func plainValue(v column.Value) any {
	switch v := v.(type) {
	case *column.ListValue:
		out := make([]any, len(v.Elems))
		for i, e := range v.Elems {
			out[i] = plainValue(e)
		}
		return out
	case *column.RowValue:
		out := map[string]any{}
		for i, name := range v.Names {
			out[name] = plainValue(v.Elems[i])
		}
		return out
	case *column.MapValue:
		out := map[string]any{}
		for i, k := range v.Keys {
			out[k.(string)] = plainValue(v.Elems[i])
		}
		return out
	}
	return v
}

// decodeJSON decodes text, which is one morsel. A panic of the decoder is the test's.
func decodeJSON(t testing.TB, schema column.Schema, text []byte, batch int) *jsonLines {
	t.Helper()
	r := &jsonReader{fields: schema, extra: map[string]int64{}}
	lines := &jsonLines{batch: batch, rows: map[int32][]any{}, bad: map[int32]string{}}
	m := morselOf(string(text))
	if err := r.NewDecoder().Decode(context.Background(), &m, lines); err != nil {
		t.Fatal(err)
	}
	return lines
}

// morselOf makes text a morsel.
func morselOf(text string) catalog.Morsel {
	return catalog.Morsel{File: "x", Line: 1, Data: []byte(text)}
}

// maybe makes a type nullable.
func maybe(t column.Type) column.Type { return t.OrNull() }

var (
	intType   = maybe(column.IntType)
	floatType = maybe(column.FloatType)
	textType  = maybe(column.StringType)
	boolType  = maybe(column.BoolType)
	// jsonTestSchema has every kind that JSON is read into.
	jsonTestSchema = column.Schema{
		{Name: "i", Type: intType}, {Name: "f", Type: floatType}, {Name: "s", Type: textType}, {Name: "b", Type: boolType},
		{Name: "l", Type: maybe(column.ListOf(intType))},
		{Name: "r", Type: maybe(column.RowOf(column.Schema{{Name: "x", Type: intType}, {Name: "y", Type: textType},
			{Name: "z", Type: maybe(column.RowOf(column.Schema{{Name: "x", Type: floatType}}))}}))},
		{Name: "lr", Type: maybe(column.ListOf(maybe(column.RowOf(column.Schema{{Name: "x", Type: intType}, {Name: "t", Type: maybe(column.ListOf(textType))}}))))},
		{Name: "m", Type: maybe(column.MapOf(intType))}, {Name: "a", Type: column.AnyType}, {Name: "must", Type: column.IntType},
	}
)

// field returns a schema of one field.
func field(name string, t column.Type) column.Schema { return column.Schema{{Name: name, Type: t}} }

func TestJSONRecords(t *testing.T) {
	abc := column.Schema{{Name: "a", Type: intType}, {Name: "b", Type: textType}, {Name: "c", Type: floatType}}
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	tests := []struct {
		name   string
		schema column.Schema
		line   string
		want   string // the row, or "bad: " and a part of the message; "" none
	}{
		{"plain", abc, `{"a":1,"b":"x","c":1.5}`, `[1,"x",1.5]`},
		{"another order", abc, `{"c":1.5,"a":1,"b":"x"}`, `[1,"x",1.5]`},
		{"white space", abc, " \t{ \"a\" : 1 ,\t\"b\" :\"x\" , \"c\":1.5 } \r", `[1,"x",1.5]`},
		{"missing and null", abc, `{"c":null,"b":"x"}`, `[null,"x",null]`},
		{"empty object", abc, `{}`, `[null,null,null]`},
		{"empty object with space", abc, `{ }`, `[null,null,null]`},
		{"blank", abc, " \t\r", ``},
		{"unknown fields", abc, `{"x":{"y":[1,{"z":null}]},"a":1,"z":true,"w":"\u00e9"}`, `[1,null,null]`},
		{"twice, the last counts", abc, `{"a":1,"b":"x","a":2,"b":null}`, `[2,null,null]`},
		{"whole number for a float", abc, `{"c":3}`, `[null,null,3]`},
		{"escapes", abc, `{"b":"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00"}`, "[null," + strconv.Quote("\"\\/\b\f\n\r\tAé😀") + ",null]"},
		{"escaped key", abc, `{"\u0061":1}`, `[1,null,null]`},
		{"unicode", abc, `{"b":"žluťoučký kůň 馬 🐎"}`, `[null,"žluťoučký kůň 馬 🐎",null]`},
		{"numbers at the limits", abc, `{"a":-9223372036854775808,"c":1.7976931348623157e308}`, `[-9223372036854775808,null,1.7976931348623157e+308]`},
		{"minus zero", abc, `{"a":-0,"c":-0.0}`, `[0,null,-0]`},
		{"long mantissa", abc, `{"c":0.1000000000000000055511151231257827}`, `[null,null,0.1]`},
		{"underflow", abc, `{"c":1e-400}`, `[null,null,0]`},

		{"integer beyond 64 bits", abc, `{"a":9223372036854775808}`, `bad: field "a": 9223372036854775808 does not fit 64 bits`},
		{"negative beyond 64 bits", abc, `{"a":-9223372036854775809}`, `bad: does not fit 64 bits`},
		{"far beyond 64 bits", abc, `{"a":123456789012345678901234567890}`, `bad: does not fit 64 bits`},
		{"float beyond range", abc, `{"c":1e400}`, `bad: beyond the range`},
		{"float for an integer", abc, `{"a":1.5}`, `bad: wanted int, found the number 1.5`},
		{"text for an integer", abc, `{"a":"1"}`, `bad: wanted int, found the string "1"`},
		{"number for text", abc, `{"b":1}`, `bad: wanted string, found the number 1`},
		{"object for text", abc, `{"b":{"x":1}}`, `bad: wanted string, found the object {"x":1}`},
		{"array for a float", abc, `{"c":[1]}`, `bad: wanted float, found the array [1]`},
		{"true for text", abc, `{"b":true}`, `bad: wanted string, found the bool true`},
		{"null where it may not be", field("a", column.IntType), `{"a":null}`, `bad: wanted int, found null`},
		{"required and not there", field("a", column.IntType), `{"b":1}`, `bad: field "a" is required`},
		{"NaN", abc, `{"c":NaN}`, `bad: wanted a JSON value, found 'N'`},
		{"Infinity", abc, `{"c":-Infinity}`, `bad:`},
		{"not an object", abc, `3`, `bad: wanted an object, found '3'`},
		{"an array of objects", abc, `[{"a":1}]`, `bad: write its elements one a line`},
		{"cut off", abc, `{"a":1,"b":"x`, `bad: ends in the middle`},
		{"cut off in an escape", abc, `{"a":1,"b":"x\`, `bad: ends in the middle`},
		{"cut off after a colon", abc, `{"a":`, `bad: ends in the middle`},
		{"two objects", abc, `{"a":1}{"a":2}`, `bad: wanted the end of the line`},
		{"no comma", abc, `{"a":1 "b":"x"}`, `bad: wanted "," or "}"`},
		{"comma at the end", abc, `{"a":1,}`, `bad: wanted a key in quotes, found '}'`},
		{"no key", abc, `{1:2}`, `bad: wanted a key in quotes`},
		{"leading zero", abc, `{"a":01}`, `bad: leading zeros`},
		{"plus", abc, `{"a":+1}`, `bad:`},
		{"no digit after the point", abc, `{"c":1.}`, `bad: digit after the point`},
		{"no digit in the exponent", abc, `{"c":1e}`, `bad: digit in the exponent`},
		{"control character", abc, "{\"b\":\"a\tb\"}", `bad: control character`},
		{"control character in what is skipped", abc, "{\"x\":\"a\x01b\"}", `bad: control character`},
		{"no such escape", abc, `{"b":"\x41"}`, `bad: is no escape`},
		{"no such escape in what is skipped", abc, `{"x":"\q"}`, `bad: is no escape`},
		{"lone surrogate", abc, `{"b":"\ud83d"}`, `bad: is no character`},
		{"surrogates in the wrong order", abc, `{"b":"\ude00\ud83d"}`, `bad: is no character`},
		{"not UTF-8", abc, "{\"b\":\"\xff\"}", `bad: not UTF-8`},
		{"not UTF-8 in what is skipped", abc, "{\"x\":\"\xc3\"}", `bad: not UTF-8`},
		{"at the limit of nesting", field("x", intType), deep(maxJSONDepth - 1), `[null]`},
		{"over the limit of nesting", field("x", intType), deep(maxJSONDepth), `bad: nest deeper than 200`},
		{"at the limit, boxed", field("b", intType), deep(maxJSONDepth - 1), `[null]`},
		{"over the limit, boxed", field("a", column.AnyType), deep(maxJSONDepth), `bad: nest deeper`},

		{"nested row", jsonTestSchema[5:6], `{"r":{"y":"a","x":1,"w":0}}`, `[{"x":1,"y":"a","z":null}]`},
		{"row in a row", jsonTestSchema[5:6], `{"r":{"z":{"x":1.5}}}`, `[{"x":null,"y":null,"z":{"x":1.5}}]`},
		{"bad in a nested row", jsonTestSchema[5:6], `{"r":{"x":1,"z":{"x":"no"}}}`, `bad: field "r": field "z": field "x": wanted float`},
		{"list", jsonTestSchema[4:5], `{"l":[1, null ,3]}`, `[[1,null,3]]`},
		{"empty list", jsonTestSchema[4:5], `{"l":[ ]}`, `[[]]`},
		{"bad in a list", jsonTestSchema[4:5], `{"l":[1,"x"]}`, `bad: field "l": wanted int`},
		{"open list", jsonTestSchema[4:5], `{"l":[1,2}`, `bad: wanted "," or "]"`},
		{"rows in a list", jsonTestSchema[6:7], `{"lr":[{"x":1},null,{"t":["a",null]},{}]}`, `[[{"t":null,"x":1},null,{"t":["a",null],"x":null},{"t":null,"x":null}]]`},
		{"map", jsonTestSchema[7:8], `{"m":{"p":1,"q":null}}`, `[{"p":1,"q":null}]`},
		{"map with a key twice", jsonTestSchema[7:8], `{"m":{"p":1,"q":2,"p":3}}`, `[{"p":3,"q":2}]`},
		{"list twice", jsonTestSchema[4:5], `{"l":[1,2],"l":[3]}`, `[[3]]`},
		{"any", jsonTestSchema[8:9], `{"a":{"x":[1,2.5,"t",true,null,{"y":1,"y":2}]}}`, `[{"x":[1,2.5,"t",true,null,{"y":2}]}]`},
		{"any, beyond 64 bits", jsonTestSchema[8:9], `{"a":[9223372036854775808]}`, `bad: does not fit 64 bits`},
		{"bytes", field("a", column.BytesType), `{"a":"aGk="}`, `["aGk="]`},
		{"bytes that are no base64", field("a", column.BytesType), `{"a":"h?"}`, `bad: base64`},
		{"time", field("a", column.TimeType), `{"a":"2020-09-13T12:26:39.895Z"}`, `[1599999999895]`},
		{"no time", field("a", column.TimeType), `{"a":"yesterday"}`, `bad: RFC 3339`},
		{"no fields", nil, `{"a":1}`, `[]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// Twice, so that the second takes the learned way, and once more with another one between.
			text := strings.Join([]string{test.line, test.line, `{"must":1,"other":2}`, test.line}, "\n")
			lines := decodeJSON(t, test.schema, []byte(text), 2)
			for _, n := range []int32{0, 1, 3} {
				got := "bad: " + lines.bad[n]
				if row, ok := lines.rows[n]; ok {
					b, err := json.Marshal(row)
					if err != nil {
						t.Fatal(err)
					}
					got = string(b)
				} else if lines.bad[n] == "" {
					got = ""
				}
				want, message := strings.CutPrefix(test.want, "bad:")
				if message && !strings.HasPrefix(got, "bad: ") || message && !strings.Contains(got, strings.TrimSpace(want)) || !message && !sameJSON(got, want) {
					t.Errorf("line %d: %s, want %s", n, got, test.want)
				}
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	return reflect.DeepEqual(x, y)
}

// jsonReference is what encoding/json and the schema make of a line; ok is false where it is a bad record.
func jsonReference(schema column.Schema, line []byte) (row []any, ok bool) {
	if !json.Valid(line) || !utf8.Valid(line) || jsonDepth(line) > maxJSONDepth {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil {
		return nil, false
	}
	fitted, ok := fitJSON(column.RowOf(schema), object)
	if !ok {
		return nil, false
	}
	for _, f := range schema {
		row = append(row, fitted.(map[string]any)[f.Name])
	}
	return row, true
}

func jsonDepth(line []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// fitJSON converts what encoding/json gives to a type.
func fitJSON(t column.Type, v any) (any, bool) {
	if v == nil {
		return nil, t.MayBeNull()
	}
	switch v := v.(type) {
	case bool:
		return v, t.Kind == column.Bool || t.Kind == column.Any
	case string:
		return v, t.Kind == column.String || t.Kind == column.Any
	case json.Number:
		i, intErr := strconv.ParseInt(string(v), 10, 64)
		f, floatErr := strconv.ParseFloat(string(v), 64)
		whole := !strings.ContainsAny(string(v), ".eE")
		switch {
		case t.Kind == column.Int || t.Kind == column.Any && whole:
			return i, intErr == nil
		case t.Kind == column.Float || t.Kind == column.Any:
			return f, floatErr == nil
		}
	case []any:
		elem := column.AnyType
		if t.Kind == column.List {
			elem = *t.Elem
		}
		out := make([]any, len(v))
		ok := t.Kind == column.List || t.Kind == column.Any
		for i, e := range v {
			fitted, fits := fitJSON(elem, e)
			out[i], ok = fitted, ok && fits
		}
		return out, ok
	case map[string]any:
		out := map[string]any{}
		if t.Kind == column.Row {
			for _, f := range t.Fields {
				fitted, ok := fitJSON(f.Type, v[f.Name])
				if !ok {
					return nil, false
				}
				out[f.Name] = fitted
			}
			return out, true
		}
		elem := column.AnyType
		if t.Kind == column.Map {
			elem = *t.Elem
		}
		ok := t.Kind == column.Map || t.Kind == column.Any
		for k, e := range v {
			fitted, fits := fitJSON(elem, e)
			out[k], ok = fitted, ok && fits
		}
		return out, ok
	}
	return nil, false
}

// checkJSON compares a decoder with the reference, line by line.
func checkJSON(t *testing.T, schema column.Schema, text []byte, batch int) {
	t.Helper()
	got := decodeJSON(t, schema, text, batch)
	for i, line := range bytes.Split(text, []byte("\n")) {
		n := int32(i)
		row, decoded := got.rows[n]
		msg, bad := got.bad[n]
		if len(bytes.Trim(line, " \t\r")) == 0 {
			if decoded || bad {
				t.Errorf("blank line %d gives %v %s", n, row, msg)
			}
			continue
		}
		want, ok := jsonReference(schema, line)
		switch {
		case bad && ok && lenient(line, msg):
		case decoded == bad, ok != decoded:
			t.Errorf("line %d, %q: row %v, bad %q; want %v %v", n, line, row, msg, want, ok)
		case ok && !reflect.DeepEqual(row, want) && len(want) > 0:
			t.Errorf("line %d, %q: row %v, want %v", n, line, row, want)
		}
	}
}

// lenient reports whether encoding/json takes what is a bad record here: lone surrogates, and a value that does not fit
// where a later one of the same key does.
func lenient(line []byte, msg string) bool {
	return strings.Contains(msg, "is no character") || bytes.Count(line, []byte(`"`)) > 0 && repeatsKey(line)
}

// repeatsKey reports whether some object of a line may have a key twice.
func repeatsKey(line []byte) bool {
	d := json.NewDecoder(bytes.NewReader(line))
	seen := map[string]bool{}
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if s, ok := token.(string); ok {
			if seen[s] {
				return true
			}
			seen[s] = true
		}
	}
}

// TestJSONAgainstReference decodes random documents: several shapes that alternate, orders of keys, white space,
// escapes, fields that are missing, additional or twice, and bad ones among them.
func TestJSONAgainstReference(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		g := jsonGenerator{Rand: r}
		shapes := make([][]byte, 1+r.IntN(4))
		var text []byte
		for range 40 {
			i := r.IntN(len(shapes))
			if shapes[i] == nil || r.IntN(3) == 0 {
				shapes[i] = g.record()
			}
			line := shapes[i]
			if r.IntN(10) == 0 {
				line = g.spoil(line)
			}
			text = append(append(text, line...), '\n')
			if r.IntN(4) == 0 {
				text = append(append(text, line...), '\n')
			}
		}
		checkJSON(t, jsonTestSchema, text, 1+r.IntN(9))
		checkJSON(t, jsonTestSchema[r.IntN(3):3+r.IntN(6)], text, 7)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// jsonGenerator makes records that mostly fit jsonTestSchema.
type jsonGenerator struct{ *rand.Rand }

func (g jsonGenerator) space() string {
	return []string{"", "", "", "", " ", "\t", "  ", "\r"}[g.IntN(8)]
}

func (g jsonGenerator) record() []byte {
	fields := []string{`"must":1`}
	for _, f := range jsonTestSchema[:9] {
		if g.IntN(4) > 0 {
			fields = append(fields, g.text(f.Name)+g.space()+":"+g.space()+g.value(f.Type, 3))
		}
	}
	for range g.IntN(3) {
		fields = append(fields, g.text("more")+":"+g.value(column.AnyType, 2))
	}
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	gap := g.space() + "," + g.space()
	return []byte(g.space() + "{" + g.space() + strings.Join(fields, gap) + g.space() + "}" + g.space())
}

// text is a string as JSON, escaped in one of many ways.
func (g jsonGenerator) text(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x10000 && g.IntN(12) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			quoted, err := json.Marshal(string(r))
			if err != nil {
				panic(err)
			}
			b.Write(quoted[1 : len(quoted)-1])
		}
	}
	return `"` + b.String() + `"`
}

func (g jsonGenerator) value(t column.Type, depth int) string {
	if t.MayBeNull() && g.IntN(6) == 0 {
		return "null"
	}
	if g.IntN(60) == 0 { // what may not fit
		t = column.AnyType
	}
	kind := t.Kind
	if kind == column.Any {
		kind = []column.Kind{column.Int, column.Float, column.String, column.Bool, column.List, column.Map}[g.IntN(6)]
		if depth == 0 {
			kind = column.Int
		}
	}
	switch kind {
	case column.Int:
		return strconv.FormatInt(int64(g.Uint64())>>g.IntN(64), 10)
	case column.Float:
		return []string{strconv.FormatFloat(g.NormFloat64(), 'g', -1, 64), strconv.FormatFloat(g.Float64()*100, 'f', g.IntN(25), 64), "1e5", "12", "-0.0", "0.1E-7"}[g.IntN(6)]
	case column.String:
		return g.text([]string{"", "plain", "with \"quotes\" and \\", "long " + strings.Repeat("text ", 20), "žluť 😀\n\t", "\x01\x7f"}[g.IntN(6)])
	case column.Bool:
		return strconv.FormatBool(g.IntN(2) == 0)
	case column.List:
		elem := column.AnyType
		if t.Elem != nil {
			elem = *t.Elem
		}
		var out []string
		for range g.IntN(4) {
			out = append(out, g.value(elem, depth-1))
		}
		return "[" + g.space() + strings.Join(out, g.space()+","+g.space()) + g.space() + "]"
	case column.Map:
		elem := column.AnyType
		if t.Elem != nil {
			elem = *t.Elem
		}
		var out []string
		for i := range g.IntN(4) {
			out = append(out, g.text(strconv.Itoa(i))+":"+g.space()+g.value(elem, depth-1))
		}
		return "{" + g.space() + strings.Join(out, g.space()+","+g.space()) + "}"
	}
	var out []string
	for _, f := range t.Fields {
		if g.IntN(4) > 0 {
			out = append(out, g.text(f.Name)+":"+g.value(f.Type, depth-1))
		}
	}
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return "{" + strings.Join(out, ", ") + g.space() + "}"
}

// spoil changes a record a little, so that it is mostly no JSON any more.
func (g jsonGenerator) spoil(line []byte) []byte {
	out := slices.Clone(line)
	switch at := g.IntN(len(out)); g.IntN(3) {
	case 0:
		return out[:at]
	case 1:
		out[at] = "\"\\{}[],:0-x\xff\x01"[g.IntN(13)]
		return out
	default:
		return slices.Delete(out, at, at+1)
	}
}

func FuzzJSONDecode(f *testing.F) {
	f.Add([]byte("{\"i\":1,\"must\":2}\n{\"i\":1,\"must\":2}\n{\"must\":1,\"i\": 2}"))
	f.Add([]byte(`{"a":[1,{"x":"\ud83d\ude00"}],"r":{"x":1,"z":{"x":-1.5e3}},"lr":[{"t":["a"]}],"m":{"k":1},"must":0}`))
	for seed := range uint64(20) {
		g := jsonGenerator{Rand: rand.New(rand.NewPCG(seed, 1))}
		f.Add(g.record())
		f.Add(g.spoil(g.record()))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		twice := append(append(slices.Clone(text), '\n'), text...)
		checkJSON(t, jsonTestSchema, twice, 3)
		checkJSON(t, jsonTestSchema[1:4], twice, 4096)
	})
}

// openJSON makes a source of a file with that text.
func openJSON(t *testing.T, text string, config map[string]any) *jsonSource {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	c := map[string]any{"path": path}
	for k, v := range config {
		c[k] = v
	}
	s, err := newJSONSource(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJSONInfer(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string // the schema, or a part of the error
	}{
		{"kinds", `{"i":1,"f":1.5,"s":"x","b":true,"n":null}`, "i: int?, f: float?, s: string?, b: bool?, n: any"},
		{"integers and floats", "{\"a\":1}\n{\"a\":2.5}", "a: float?"},
		{"several types", "{\"a\":1}\n{\"a\":\"x\"}", "a: any"},
		{"null and then a type", "{\"a\":null}\n{\"a\":1}", "a: int?"},
		{"fields that come later", "{\"a\":1}\n{\"b\":\"x\",\"a\":2}", "a: int?, b: string?"},
		{"nested", `{"r":{"x":1,"y":[1,2.5]},"e":[],"o":{}}`, "r: row<x: int?, y: list<float?>?>?, e: list<any>?, o: row<>?"},
		{"rows in lists", `{"l":[{"x":1},{"y":"a"}]}`, "l: list<row<x: int?, y: string?>?>?"},
		{"a bad record among good ones", "{\"a\":\n{\"a\":1}", "a: int?"},
		{"nothing", "\n\n", "no record to infer"},
		{"no objects", "1\n2\n", "the line is no JSON object"},
		{"all bad", "{\"a\":\n", "x.json:1: the record ends"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			schema, err := openJSON(t, test.text, nil).Schema(context.Background())
			got := schema.String()
			if err != nil {
				got = err.Error()
			}
			if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestJSONNotes(t *testing.T) {
	text := strings.Repeat("{\"a\":1,\"b\":{\"x\":1,\"y\":2},\"c\":3}\n", 3) + "{\"a\":1,\"d\":4}\n"
	tests := []struct {
		name   string
		schema column.Schema // declared; nil: inferred
		fields []string
		want   []string // parts of the notes
	}{
		{"inferred", nil, []string{"a"}, nil},
		{"declared", column.Schema{{Name: "a", Type: intType}, {Name: "c", Type: intType}}, []string{"a"},
			[]string{`field "b", in 3 records`, `field "d", in 1 records`}},
		{"nested", column.Schema{{Name: "a", Type: intType}, {Name: "b", Type: maybe(column.RowOf(field("x", intType)))}, {Name: "c", Type: intType}, {Name: "d", Type: intType}},
			[]string{"b"}, []string{`field "b.y", in 3 records`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := map[string]any{}
			if test.schema != nil {
				config["schema"] = column.RowOf(test.schema)
			}
			s := openJSON(t, text, config)
			schema, err := s.Schema(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var fields column.Schema
			for _, name := range test.fields {
				fields = append(fields, schema[schema.Index(name)])
			}
			r, err := s.Open(context.Background(), fields)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			d := r.NewDecoder()
			var m catalog.Morsel
			for err = r.Next(context.Background(), &m); err == nil; err = r.Next(context.Background(), &m) {
				if err := d.Decode(context.Background(), &m, &discard{}); err != nil {
					t.Fatal(err)
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			notes := r.(catalog.Noter).Notes()
			if len(notes) != len(test.want) {
				t.Fatalf("notes %q, want %q", notes, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(notes[i], want) {
					t.Errorf("note %q, want %q", notes[i], want)
				}
			}
		})
	}
}

func TestJSONTooLong(t *testing.T) {
	text := "{\"a\":1}\n{\"b\":\"" + strings.Repeat("x", file.MaxRecordBytes) + "\"}\n{\"a\":2}\n"
	got := readAll(t, openJSON(t, text, nil), field("a", intType), 10)
	if strings.Join(got.rows, " ") != "1 2" || len(got.bad) != 1 || !strings.Contains(got.bad[0], "longer than 16 MiB") || !strings.HasPrefix(got.bad[0], "2:") {
		t.Errorf("rows %v, %d bad", got.rows, len(got.bad))
	}
	if !strings.HasSuffix(got.at[1], "x.json:3") {
		t.Errorf("the row after it is at %s", got.at[1])
	}
}

// TestJSONPipe: what can be read only once needs a declared schema, and then is read whole.
func TestJSONPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
	s, err := newJSONSource(map[string]any{"path": path})
	if err != nil {
		t.Fatal(err)
	}
	var p *catalog.Problem
	if _, err := s.Schema(context.Background()); !errors.As(err, &p) || p.Code != diag.CannotInfer {
		t.Errorf("inferring from a pipe: %v, want %s", err, diag.CannotInfer)
	}
	s, err = newJSONSource(map[string]any{"path": path, "schema": column.RowOf(field("a", intType))})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(path, []byte("{\"a\":1}\n{\"a\":2}\n"), 0) }()
	if got := readAll(t, s, schema, 10); strings.Join(got.rows, " ") != "1 2" {
		t.Errorf("read %v", got.rows)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
