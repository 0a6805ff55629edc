package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorded is what reference/tokenizer_cases.py wrote for a tokenizer.
type recorded struct {
	Tokenizer string
	Single    []answer
	Pairs     []answer
	Truncated []answer
	Windows   []struct {
		A, Size, Stride int
		Windows         []answer
	}
}

// answer is an encoding of the library; offsets are flat, types all 0 where there are none, special a list of places.
type answer struct {
	A, B, Size int
	Left       bool
	IDs        []int64
	Types      []int64
	Offsets    []int
	Special    []int
}

func readTexts(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(text, &texts); err != nil {
		t.Fatal(err)
	}
	return texts
}

func readGzip(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func readRecorded(t testing.TB, path string) recorded {
	t.Helper()
	text, err := readGzip(path)
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// differs says how an encoding differs from the library's; "" where it does not.
func (a *answer) differs(e Encoding) string {
	n := len(a.IDs)
	if !slices.Equal(e.IDs, a.IDs) {
		return "ids"
	}
	types, special, offsets := make([]int64, n), make([]bool, n), make([]Span, n)
	if a.Types != nil {
		types = a.Types
	}
	for _, i := range a.Special {
		special[i] = true
	}
	for i := range offsets {
		offsets[i] = Span{a.Offsets[2*i], a.Offsets[2*i+1]}
	}
	switch {
	case !slices.Equal(e.TypeIDs, types):
		return "types"
	case !slices.Equal(e.Special, special):
		return "special"
	case !slices.Equal(e.Offsets, offsets):
		return "offsets"
	}
	return ""
}

// TestReference compares with the library on every recorded text: ids, types and offsets are the same.
func TestReference(t *testing.T) {
	texts := readTexts(t)
	paths, _ := filepath.Glob("testdata/*.json.gz")
	if len(paths) < 40 {
		t.Fatalf("found %d records, wanted 40 or more", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json.gz"), func(t *testing.T) {
			t.Parallel()
			r := readRecorded(t, path)
			k, err := New([]byte(r.Tokenizer))
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, a answer, e Encoding, given ...string) {
				t.Helper()
				if d := a.differs(e); d != "" {
					t.Errorf("%s of %.200q: %s differ:\n got %v %v %v\nwant %v %v %v", what, given, d, e.IDs, e.TypeIDs, e.Offsets, a.IDs, a.Types, a.Offsets)
				}
			}
			for round := range 2 { // the second from the cache
				for i, a := range r.Single {
					check("Encode", a, k.Encode(texts[i]), texts[i])
					if got := k.AppendIDs(nil, texts[i]); !slices.Equal(got, a.IDs) {
						t.Errorf("AppendIDs of %.200q, round %d: got %v, want %v", texts[i], round, got, a.IDs)
					}
				}
			}
			for _, a := range r.Pairs {
				check("EncodePair", a, k.EncodePair(texts[a.A], texts[a.B]), texts[a.A], texts[a.B])
			}
			for _, a := range r.Truncated {
				if a.B < 0 {
					check("Truncate", a, k.Truncate(k.Encode(texts[a.A]), a.Size, a.Left), texts[a.A])
				} else {
					check("Truncate", a, k.Truncate(k.EncodePair(texts[a.A], texts[a.B]), a.Size, a.Left), texts[a.A], texts[a.B])
				}
			}
			for _, w := range r.Windows {
				got := k.Windows(texts[w.A], w.Size, w.Stride)
				if len(got) != len(w.Windows) {
					t.Errorf("Windows of %.200q: got %d, want %d", texts[w.A], len(got), len(w.Windows))
					continue
				}
				for i, a := range w.Windows {
					check("Windows", a, got[i], texts[w.A])
				}
			}
		})
	}
}
