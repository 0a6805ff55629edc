package envelope

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

var known = []Meta{{Name: "subject", Type: column.StringType}, {Name: "size", Type: column.IntType.OrNull()}}

type collected struct {
	rows []string
	bad  []catalog.BadRecord
}

func (c *collected) BatchRows() int { return 2 }
func (c *collected) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		text := b.Where(i)
		for _, v := range b.Cols {
			text += fmt.Sprintf(" %v", v.Value(i))
		}
		if b.Times != nil {
			text += fmt.Sprintf(" at %d", b.Times[i])
		}
		if b.ServerTimes {
			text += " of the server"
		}
		c.rows = append(c.rows, text)
	})
	return nil
}
func (c *collected) Bad(r catalog.BadRecord) error { c.bad = append(c.bad, r); return nil }

func TestRowsWithMetadata(t *testing.T) {
	rows, err := Open(map[string]any{"format": "JSON", "schema": column.RowOf(column.Schema{{Name: "id", Type: column.IntType}}),
		"metadata": map[string]any{"s": "subject", "n": "size"}}, known, []Meta{{Name: "site", Type: column.StringType}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows.Schema().Names(), " "); got != "id n s site" {
		t.Fatal(got)
	}
	if rows.Holds("s") != "subject" || rows.Holds("id") != "" {
		t.Fatal("what fields hold")
	}
	all := rows.Schema()
	wanted := column.Schema{all[3], all[0], all[1]} // some, in another order
	d := rows.NewDecoder(wanted, func(m *Message, meta int) column.Value {
		if meta == 1 {
			return nil
		}
		return fmt.Sprintf("m%d", meta)
	})
	out := &collected{}
	var messages []Message
	for i, text := range []string{`{"id":1}`, `{`, `{"id":3}`, `{"id":4}`} {
		messages = append(messages, Message{Payload: []byte(text), Offset: int64(10 + i), Time: int64(i)})
	}
	if err := d.Decode(t.Context(), "f", messages, out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(out.rows, ", "); got != "f:10 m2 1 <nil> at 0, f:12 m2 3 <nil> at 2, f:13 m2 4 <nil> at 3" {
		t.Fatal(got)
	}
	if len(out.bad) != 1 || out.bad[0].Line != 11 || out.bad[0].Row != 1 || string(out.bad[0].Record) != "{" {
		t.Fatal(out.bad)
	}
}

func TestWrongMetadata(t *testing.T) {
	for _, metadata := range []any{map[string]any{"payload": "subject"}, map[string]any{"x": "subjekt"}, map[string]any{"site": "size"}, "subject"} {
		_, err := Open(map[string]any{"metadata": metadata}, known, []Meta{{Name: "site", Type: column.StringType}})
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != "metadata" {
			t.Errorf("%v: %v", metadata, err)
		}
	}
}

func TestIDs(t *testing.T) {
	batch := func(seq int64, rows ...int32) *column.Batch {
		return &column.Batch{N: len(rows), Rows: rows, Origin: &column.Origin{File: "f", Seq: seq, Line: func(row int32) int64 { return 100 + int64(row) }}}
	}
	ids := NewIDs("job")
	seen := map[string]bool{}
	for i := range 4 { // a record that became three rows, and another one
		id := ids.Of(batch(1, 0, 0, 0, 1), i, "t", []byte("m"))
		if id == "" || seen[id] {
			t.Fatalf("id %d: %q", i, id)
		}
		seen[id] = true
	}
	again := NewIDs("job")
	for i := range 4 {
		if !seen[again.Of(batch(1, 0, 0, 0, 1), i, "t", []byte("m"))] {
			t.Fatal("the ids of rows that come again are others")
		}
	}
	if id := again.Of(batch(2, 1), 0, "t", []byte("m")); !seen[id] {
		t.Error("the morsel does not count where rows have lines")
	}
	if seen[NewIDs("other").Of(batch(1, 0), 0, "t", []byte("m"))] || seen[ids.Of(batch(3, 0), 0, "u", []byte("m"))] {
		t.Error("the job and the target count")
	}
	if ids.Of(&column.Batch{N: 1, Origin: &column.Origin{Seq: 1}}, 0, "t", nil) != "" || ids.Of(&column.Batch{N: 1}, 0, "t", nil) != "" {
		t.Error("rows of aggregates have no id")
	}
}
