package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShapes wants each shape of events to be JSON with the fields that the pipelines read.
func TestShapes(t *testing.T) {
	for form := plain; form <= wide; form++ {
		s := shape{name: "events", rows: 50, devices: 10, form: form}
		name, err := s.generate(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(rows) != s.rows {
			t.Errorf("form %d: %d rows, want %d", form, len(rows), s.rows)
		}
		for _, row := range rows {
			var e map[string]any
			if err := json.Unmarshal([]byte(row), &e); err != nil {
				t.Fatalf("form %d: %q: %v", form, row, err)
			}
			if _, ok := e["temp"].(float64); !ok || e["device"] == nil || e["ts"] == nil {
				t.Errorf("form %d: %q lacks a field", form, row)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(name+"-00000-of-00001", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"order of rows and keys, forms of numbers", "{\"a\":1,\"b\":2.50}\n{\"a\":2}\n", "{\"a\":2.0}\n{\"b\":2.5,\"a\":1}\n", true},
		{"the last digits", "{\"a\":0.30000000000000004}\n", "{\"a\":0.3}\n", true},
		{"times", "{\"t\":\"1970-01-01T00:00:10.000Z\"}\n", "{\"t\":10}\n", true},
		{"CSV", "a,1.50\n", "a,1.5\n", true},
		{"a repeated row", "{\"a\":1}\n{\"a\":1}\n", "{\"a\":1}\n", false},
		{"another value", "{\"a\":1}\n", "{\"a\":2}\n", false},
		{"nothing", "", "", false},
	}
	for _, test := range tests {
		if err := compareFiles(write(test.a), write(test.b)); (err == nil) != test.same {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestMedian(t *testing.T) {
	if got := median([]measured{{wall: 3}, {wall: 1}, {wall: 2}}).wall; got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := median([]measured{{wall: 3}, {wall: 1}}).wall; got != 2 {
		t.Errorf("got %v, want 2", got)
	}
}
