package refusal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

func batch(t *testing.T, values ...int64) *column.Batch {
	t.Helper()
	b := column.NewBuilder(column.IntType)
	for _, v := range values {
		if err := b.Append(v); err != nil {
			t.Fatal(err)
		}
	}
	return &column.Batch{N: len(values), Cols: []*column.Vector{b.Finish()}}
}

// TestEach tells the errors of rows from those that end all.
func TestEach(t *testing.T) {
	b := batch(t, 1, 2, 3, 4)
	b.Sel = []int32{0, 2, 3}
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		errs    map[int]error
		refused []int32
		ended   error
		seen    int
	}{
		"all are taken":           {nil, nil, nil, 3},
		"two are bad":             {map[int]error{0: Bad(broken), 3: Bad(broken)}, []int32{0, 3}, nil, 3},
		"it ends":                 {map[int]error{0: Bad(broken), 2: broken}, nil, broken, 2},
		"an earlier row ended it": {map[int]error{2: fmt.Errorf("before: %w", Bad(broken))}, nil, broken, 2},
	} {
		var seen []int
		err := Each(b, func(k, i int) error {
			if k != len(seen) {
				t.Errorf("%s: row %d is the %d-th", name, i, k)
			}
			seen = append(seen, i)
			return test.errs[i]
		})
		var refused catalog.Refused
		switch {
		case len(seen) != test.seen:
			t.Errorf("%s: %d rows were written", name, len(seen))
		case test.refused != nil:
			if !errors.As(err, &refused) || len(refused) != len(test.refused) {
				t.Fatalf("%s: %v", name, err)
			}
			for k, r := range refused {
				if r.Row != test.refused[k] || r.Err != broken {
					t.Errorf("%s: refused %v", name, r)
				}
			}
		case !errors.Is(err, test.ended) || errors.As(err, &refused):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBox gives back copies of the rows that were refused, each once.
func TestBox(t *testing.T) {
	box := NewBox(&catalog.SinkEnv{Refusals: true})
	b := batch(t, 10, 20, 30)
	b.Sel, b.Times = []int32{1, 2}, []int64{1, 2, 3}
	b.Origin = &column.Origin{File: "f", Line: func(row int32) int64 { return int64(row) + 100 }}
	copied := box.Copy(b)
	b.Cols[0].Ints[2], b.Origin.Line = 99, nil // the batch is used again
	if !box.Add(RowOf(copied, 1), errors.New("no")) || !box.Add(RowOf(copied, 0), errors.New("no")) {
		t.Fatal("nobody asks for it")
	}
	got, err := box.Refusals()
	if err != nil || len(got) != 1 || len(got[0].Rows) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	for k, want := range []int64{20, 30} {
		if r := got[0].Rows[k]; got[0].Batch.Cols[0].Ints[r.Row] != want || got[0].Batch.Where(int(r.Row)) != fmt.Sprint("f:", 101+k) || got[0].Batch.Times[r.Row] != int64(2+k) {
			t.Errorf("row %d is %v of %s", k, got[0].Batch.Cols[0].Ints[r.Row], got[0].Batch.Where(int(r.Row)))
		}
	}
	if again, _ := box.Refusals(); len(again) > 0 {
		t.Error("they are told twice")
	}
	none := NewBox(nil)
	if none.Add(RowOf(none.Copy(b), 0), errors.New("no")) {
		t.Error("a box that nobody asks keeps rows")
	}
}
