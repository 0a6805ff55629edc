package main

import (
	"encoding/csv"
	"os"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/infertest"
)

// TestTensors wants the small network to run both ways, over columns and over lists.
func TestTensors(t *testing.T) {
	open := infertest.Opener(t)
	runtime, err := open(t.Context(), infer.Need{})
	if err != nil {
		t.Fatal(err)
	}
	cases, err := tensorCases(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cases[:2] {
		if err := cases[i].measure(t.Context(), runtime, open, 2, 1); err != nil {
			t.Errorf("%s: %v", cases[i].name, err)
		}
	}
}

func TestMachines(t *testing.T) {
	s := shape{name: "machines", rows: 20, form: machines}
	name, err := s.generate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 21 || len(rows[0]) != 6 {
		t.Errorf("wanted a header and 20 rows of 6 fields, found %v, %v", rows, err)
	}
}

func TestAnyModel(t *testing.T) {
	for only, want := range map[string]bool{"": true, "tensor*": true, "Q-A,first*": true, "t*": true, "*": true, "Q-A,CSV*": false, "Text MiniLM": true} {
		if got := anyModel(only); got != want {
			t.Errorf("%q: got %v, want %v", only, got, want)
		}
	}
}
