package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// open opens a format, or fails.
func open(t testing.TB, config map[string]any) *Format {
	t.Helper()
	f, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// decode decodes messages, and returns rows and faults as text, each after its message's number.
func decode(t testing.TB, d *Decoder, messages ...string) (rows, faults []string) {
	t.Helper()
	raw := make([][]byte, len(messages))
	for i, m := range messages {
		raw[i] = []byte(m)
	}
	cols, at, err := d.Decode(raw, func(i int, err error) error {
		faults = append(faults, fmt.Sprintf("%d: %v", i, err))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, i := range at {
		text := fmt.Sprintf("%d:", i)
		for _, c := range cols {
			if c.N != len(at) {
				t.Fatalf("a column has %d rows, wanted %d", c.N, len(at))
			}
			text += " " + expr.Str(c.Value(k))
		}
		rows = append(rows, text)
	}
	return rows, faults
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwanted:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var readings = column.RowOf(column.Schema{
	{Name: "device", Type: column.StringType},
	{Name: "temp", Type: column.FloatType.OrNull()},
	{Name: "tags", Type: column.ListOf(column.StringType).OrNull()},
})

func TestDecodeJSON(t *testing.T) {
	f := open(t, map[string]any{"format": "JSON", "schema": readings})
	d := f.NewDecoder(f.Schema())
	for range 2 { // memory is used again
		rows, faults := decode(t, d,
			`{"device":"a","temp":1.5}`, "", " {\n\"device\": \"b\",\r\n\"tags\": [\"x\"] }\n", `{"device":1}`, `[1]`, "{\"device\":\"\xff\"}",
			"{\"device\":\"a\nb\"}", `{"device":"c"} {"device":"d"}`, `{"device":"e","other":{"a":[1]},"temp":null}`, `null`, `{"device":"f"`)
		same(t, "rows", rows, []string{"0: a 1.5 None", "2: b None ['x']", "8: e None None"})
		same(t, "faults", cut(faults), []string{"1: the message is empty", "3: field \"device\": want", "4: wanted an object, fo", "5: the message is not U",
			"6: field \"device\": a co", "7: wanted the end of th", "9: wanted an object, fo", "10: the record ends in "})
	}
}

func cut(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = t[:min(len(t), 23)]
	}
	return out
}

func TestDecodePart(t *testing.T) {
	f := open(t, map[string]any{"format": "JSON", "schema": readings})
	rows, _ := decode(t, f.NewDecoder(f.Schema()[1:2]), `{"device":"a","temp":2}`, `{"device":"b"}`)
	same(t, "rows", rows, []string{"0: 2.0", "1: None"})
	rows, _ = decode(t, f.NewDecoder(nil), `{"device":"a"}`, `{`, `{"device":"b"}`)
	same(t, "rows without fields", rows, []string{"0:", "2:"})
}

func TestDecodeStopsWhenBadSays(t *testing.T) {
	stop := errors.New("stop")
	for _, config := range []map[string]any{{"format": "JSON", "schema": readings}, {"format": "STRING"}} {
		f := open(t, config)
		_, _, err := f.NewDecoder(f.Schema()).Decode([][]byte{{0xff}}, func(int, error) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("%v: %v", config["format"], err)
		}
	}
}

func TestDecodeRawAndString(t *testing.T) {
	f := open(t, map[string]any{})
	rows, faults := decode(t, f.NewDecoder(f.Schema()), "a", "", "\xff")
	same(t, "rows", rows, []string{"0: b'a'", "1: b''", `2: b'\xff'`})
	same(t, "faults", faults, nil)
	f = open(t, map[string]any{"format": "string"})
	rows, faults = decode(t, f.NewDecoder(f.Schema()), "a\nb", "\xff", "")
	same(t, "rows", rows, []string{"0: a\nb", "2: "})
	same(t, "faults", faults, []string{"1: the message is not UTF-8"})
	rows, _ = decode(t, f.NewDecoder(nil), "a", "b")
	same(t, "rows without fields", rows, []string{"0:", "1:"})
}

func TestOpenProblems(t *testing.T) {
	for _, c := range []struct {
		config map[string]any
		key    string
	}{
		{map[string]any{"format": "XML"}, "format"},
		{map[string]any{"format": "RAW", "schema": readings}, "schema"},
		{map[string]any{"format": "JSON", "message_name": "x"}, "message_name"},
		{map[string]any{"format": "AVRO", "schema": "{"}, "schema"},
		{map[string]any{"format": "PROTO"}, "format"},
		{map[string]any{"format": "PROTO", "file_descriptor_path": "missing", "message_name": "x"}, "file_descriptor_path"},
		{map[string]any{"format": "AVRO", "confluent_schema_registry_url": "registry:8081"}, "confluent_schema_registry_url"},
	} {
		_, err := Open(c.config)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != c.key {
			t.Errorf("%v: %v", c.config, err)
		}
	}
	for _, name := range []string{"JSON", "AVRO"} {
		var p *catalog.Problem
		if err := open(t, map[string]any{"format": name}).Declared(); !errors.As(err, &p) {
			t.Errorf("%s without schema: %v", name, err)
		}
	}
}

// batch returns a batch of the rows.
func batch(t testing.TB, schema column.Schema, rows ...[]column.Value) *column.Batch {
	t.Helper()
	b := &column.Batch{N: len(rows)}
	for c, f := range schema {
		col := column.NewBuilder(f.Type)
		for _, r := range rows {
			if err := col.Append(r[c]); err != nil {
				t.Fatal(err)
			}
		}
		b.Cols = append(b.Cols, col.Finish())
	}
	return b
}

// roundTrip encodes the rows, and decodes what that gives.
func roundTrip(t *testing.T, to, from *Format, schema column.Schema, rows ...[]column.Value) []string {
	t.Helper()
	e, err := to.NewEncoder(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := batch(t, schema, rows...)
	var messages []string
	for i := range rows {
		m, err := e.Append(nil, b, i)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, string(m))
	}
	got, faults := decode(t, from.NewDecoder(from.Schema()), messages...)
	same(t, "faults", faults, nil)
	return got
}

func TestRoundTrips(t *testing.T) {
	rows := [][]column.Value{{"a", 1.5, &column.ListValue{Elems: []column.Value{"x", "y"}}}, {"b", nil, nil}}
	want := []string{"0: a 1.5 ['x', 'y']", "1: b None None"}
	f := open(t, map[string]any{"format": "JSON", "schema": readings})
	same(t, "JSON", roundTrip(t, f, f, readings.Fields, rows...), want)
	schema := map[string]any{"type": "record", "name": "Reading", "fields": []any{
		map[string]any{"name": "device", "type": "string"},
		map[string]any{"name": "temp", "type": []any{"null", "double"}},
		map[string]any{"name": "tags", "type": []any{"null", map[string]any{"type": "array", "items": "string"}}},
	}}
	f = open(t, map[string]any{"format": "AVRO", "schema": schema})
	same(t, "AVRO", roundTrip(t, f, f, readings.Fields, rows...), want)
	same(t, "AVRO without schema", roundTrip(t, open(t, map[string]any{"format": "AVRO"}), f, readings.Fields, rows...), want)
}

func TestDecodeAvroFaults(t *testing.T) {
	f := open(t, map[string]any{"format": "AVRO", "schema": `{"type":"record","name":"R","fields":[{"name":"s","type":"string"},{"name":"n","type":"long"}]}`})
	rows, faults := decode(t, f.NewDecoder(f.Schema()), "\x02a\x04", "", "\x02a", "\x02a\x04z", "\x02\xff\x04", "\x02b\x06")
	same(t, "rows", rows, []string{"0: a 2", "5: b 3"})
	same(t, "faults", faults, []string{"1: the message ends within the record", "2: the message ends within the record", "3: 1 bytes are left after the record", "4: a string is not UTF-8"})
}
