package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

var rowSchema = column.Schema{{Name: "a", Type: column.IntType.OrNull()}, {Name: "b", Type: column.StringType.OrNull()}}

func TestDecode(t *testing.T) {
	tests := []struct {
		format   string
		messages []string
		want     string // rows, with the number of their message; then what is bad
	}{
		{"RAW", []string{"x", "", "\xff"}, "0 [120]|1 []|2 [255]|"},
		{"STRING", []string{"x", "", "\xff", "ä"}, "0 x|1 |3 ä|bad 2: the message is not UTF-8"},
		{"JSON", []string{`{"a": 1, "b": "x"}`, "{\n \"b\": \"y\"\r\n}", `{"a": "no"}`, ``, `{"a": 3`, `[]`, `{"a": 4, "c": 5}`, "  "},
			"0 1 x|1 <nil> y|6 4 <nil>|bad 2: |bad 3: the message is empty|bad 4: |bad 5: |bad 7: the message is empty"},
		{"JSON", []string{"{\"b\": \"\xff\"}", `{"b": "ok"}`, "{\"b\": \"new\nline\"}", "{\"b\": \"\\\n\"}"}, "1 <nil> ok|bad 0: the message is not UTF-8|bad 2: |bad 3: "},
	}
	for _, test := range tests {
		config := map[string]any{"format": test.format}
		if test.format == "JSON" {
			config["schema"] = column.RowOf(rowSchema)
		}
		f, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		d := f.NewDecoder(f.Schema())
		for range 2 { // memory is used again
			var messages [][]byte
			for _, m := range test.messages {
				messages = append(messages, []byte(m))
			}
			var bads []string
			cols, rows, err := d.Decode(messages, func(i int, err error) error {
				bads = append(bads, fmt.Sprintf("bad %d: %v", i, err))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for k, i := range rows {
				line := fmt.Sprint(i)
				for _, c := range cols {
					line += fmt.Sprint(" ", c.Value(k))
				}
				got = append(got, line)
			}
			rowsOf, badsOf, _ := strings.Cut(test.want, "|bad ")
			if text := strings.Join(got, "|"); text != strings.TrimSuffix(rowsOf, "|") {
				t.Errorf("%s: got %q, want %q", test.format, text, rowsOf)
			}
			var want []string
			if badsOf != "" {
				want = strings.Split("bad "+badsOf, "|")
			}
			if len(want) != len(bads) {
				t.Fatalf("%s: bad are %q, want %q", test.format, bads, want)
			}
			for i := range want {
				if !strings.HasPrefix(bads[i], want[i]) {
					t.Errorf("%s: got %q, want %q", test.format, bads[i], want[i])
				}
			}
		}
	}
}

func TestBadEndsDecoding(t *testing.T) {
	f, err := Open(map[string]any{"format": "STRING"})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if _, _, err := f.NewDecoder(f.Schema()).Decode([][]byte{[]byte("\xff")}, func(int, error) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
}

func TestEncode(t *testing.T) {
	ints, texts := column.NewBuilder(column.IntType.OrNull()), column.NewBuilder(column.StringType.OrNull())
	for _, err := range []error{ints.Append(int64(7)), ints.Append(nil), texts.Append("x"), texts.Append(nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b := &column.Batch{N: 2, Cols: []*column.Vector{ints.Finish(), texts.Finish()}}
	f, _ := Open(map[string]any{"format": "JSON"})
	e, err := f.NewEncoder(rowSchema)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Append([]byte(">"), b, 0)
	if err != nil || string(got) != `>{"a":7,"b":"x"}` {
		t.Errorf("got %s, %v", got, err)
	}
	f, _ = Open(map[string]any{"format": "STRING"})
	if _, err := f.NewEncoder(rowSchema); err == nil {
		t.Error("two fields were taken as STRING")
	}
	if e, err = f.NewEncoder(rowSchema[1:]); err != nil {
		t.Fatal(err)
	}
	b.Cols = b.Cols[1:]
	if got, err := e.Append(nil, b, 0); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := e.Append(nil, b, 1); err == nil {
		t.Error("null was taken")
	}
}

func TestOpenProblems(t *testing.T) {
	var p *catalog.Problem
	if _, err := Open(map[string]any{"format": "JSN"}); !errors.As(err, &p) || p.Key != "format" || !strings.Contains(p.Hint, "JSON") {
		t.Errorf("got %v", err)
	}
	f, err := Open(map[string]any{"format": "JSON"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Declared(); !errors.As(err, &p) {
		t.Errorf("got %v", err)
	}
}
