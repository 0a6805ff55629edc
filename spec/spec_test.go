package spec_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/spec"
	_ "github.com/leat-project/leat/transform"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into the specification")

// TestSpec holds the engine to every case, at several batch sizes and parallelisms: the same file, the same rows.
func TestSpec(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.txt", "*/*.txt"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no specification found")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) { testFile(t, file) })
	}
}

func testFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := spec.Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	rewritten := string(text)
	for _, c := range cases {
		for _, parallelism := range []int{1, 4} {
			for _, rows := range []int{1, 7, 4096} {
				o := engine.Options{Parallelism: parallelism, BatchRows: rows, TempDir: t.TempDir()}
				got, err := c.Run(context.Background(), t.TempDir(), func(ctx context.Context, p *plan.Plan) error {
					_, err := engine.Run(ctx, p, o)
					return err
				})
				at := fmt.Sprintf("%s:%d: %s (parallelism %d, batches of %d)", c.File, c.Line, c.Title, parallelism, rows)
				if err != nil {
					t.Errorf("%s:\n%v", at, err)
					continue
				}
				came := &spec.Case{Title: c.Title, Sections: got}
				if want := c.Format(); came.Format() != want {
					if *rewrite {
						rewritten = strings.Replace(rewritten, want, came.Format(), 1)
						c.Sections = got
						continue
					}
					t.Errorf("%s:\n%s", at, difference(want, came.Format()))
				}
			}
		}
	}
	if *rewrite && rewritten != string(text) {
		if err := os.WriteFile(file, []byte(rewritten), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// difference shows the lines that only one of the texts has.
func difference(want, got string) string {
	count := map[string]int{}
	for _, l := range strings.Split(want, "\n") {
		count[l]++
	}
	var b strings.Builder
	for _, l := range strings.Split(got, "\n") {
		if count[l] == 0 {
			b.WriteString("  got:  " + l + "\n")
		} else {
			count[l]--
		}
	}
	for _, l := range strings.Split(want, "\n") {
		if count[l] > 0 {
			count[l]--
			b.WriteString("  want: " + l + "\n")
		}
	}
	return b.String()
}
