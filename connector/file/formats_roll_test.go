package file_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// TestRollsExactlyOnce ends the process between the steps of a checkpoint.
func TestRollsExactlyOnce(t *testing.T) {
	for _, f := range formats {
		for _, every := range []string{"1ms", "1h"} {
			for _, dies := range []string{"", "prepare", "decide", "commit"} {
				t.Run(fmt.Sprint(f.name, f.ext, f.write, every, " ", dies), func(t *testing.T) {
					config := map[string]any{}
					if !f.closes {
						config["roll_every"] = every
					}
					j := newJob(t, f, config)
					j.put(0, 10, true)
					j.checkpoint("")
					j.put(10, 20, true)
					j.checkpoint(dies)
					if dies == "prepare" { // the source reads it again
						j.put(10, 20, true)
					}
					j.put(20, 30, false)
					j.checkpoint("")
					j.put(1000, 9000, true) // no checkpoint knows it
					j.flush()
					j.restart()
					j.put(30, 40, true)
					j.end()
					j.wantBounded(40)
					if names, hidden := j.visible(); hidden > 0 {
						t.Errorf("%d hidden files are left beside %q", hidden, names)
					}
				})
			}
		}
	}
}

// TestRollNames looks at the windows and numbers in names, and at the rows of each window.
func TestRollNames(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name+f.ext, func(t *testing.T) {
			j := newJob(t, f, nil)
			j.put(0, 10, true)
			j.checkpoint("")
			j.put(10, 12, true)
			j.put(12, 20, false)
			j.end()
			names, _ := j.visible()
			want := []string{"out-00002", "out-1970-01-01T00-00-00Z-00000", "out-1970-01-01T00-01-00Z-00001"}
			if f.closes {
				want = []string{"out-00002", "out-1970-01-01T00-00-00Z-00000", "out-1970-01-01T00-00-00Z-00003", "out-1970-01-01T00-01-00Z-00001", "out-1970-01-01T00-01-00Z-00004"}
			}
			parts := regexp.MustCompile(`\d{5}\.`)
			for i := range want {
				want[i] += f.ext
			}
			if f.closes { // which of the two workers comes first is not fixed
				for i := range names {
					names[i] = parts.ReplaceAllString(names[i], ".")
					want[i] = parts.ReplaceAllString(want[i], ".")
				}
			}
			if !slices.Equal(names, want) {
				t.Errorf("files %q, wanted %q", names, want)
			}
			for window, n := range map[string]int{"out-1970-01-01T00-00-*": 6, "out-1970-01-01T00-01-*": 6, "out-0*": 8} {
				if rows := f.rows(t, filepath.Join(j.dir, window)); len(rows) != n {
					t.Errorf("%s: %d rows %q, wanted %d", window, len(rows), rows, n)
				}
			}
		})
	}
}

// TestRollsBySizeAndTime looks at what is complete at a checkpoint.
func TestRollsBySizeAndTime(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name+f.ext, func(t *testing.T) {
			j := newJob(t, f, map[string]any{"roll_bytes": int64(500)})
			for i := range 10 {
				j.put(100*i, 100*(i+1), false)
				j.flush()
			}
			j.checkpoint("")
			if names, _ := j.visible(); len(names) < 5 && !strings.HasSuffix(f.ext, ".gz") { // which holds on to what it compresses

				t.Errorf("%d files %q are complete for their size", len(names), names)
			}
			j.end()
			j.wantBounded(1000)

			config := map[string]any{}
			if !f.closes {
				config["roll_every"] = "1h"
			}
			j = newJob(t, f, config)
			j.put(0, 10, false)
			j.checkpoint("")
			if names, hidden := j.visible(); (len(names) == 1) != f.closes || (hidden == 1) == f.closes {
				t.Errorf("%q and %d hidden files after a checkpoint", names, hidden)
			}
			if f.closes {
				return
			}
			j.config["roll_every"] = "1ms" // the new process finds a file that is old enough
			j.restart()
			time.Sleep(2 * time.Millisecond)
			if !j.writer.(catalog.Rolling).Due(time.Now()) {
				t.Error("nothing is due")
			}
			j.checkpoint("")
			if names, hidden := j.visible(); len(names) != 1 || hidden != 0 {
				t.Errorf("%q and %d hidden files when it was due", names, hidden)
			}
			j.end()
			j.wantBounded(10)
		})
	}
}

// TestRollManyWindows has more windows than files may be open, and more than an encoder gathers.
func TestRollManyWindows(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name+f.ext, func(t *testing.T) {
			j := newJob(t, f, nil)
			for e := range 2 {
				b := f.batch(t, 500*e, 500*(e+1), true)
				for i := range b.Starts {
					b.Starts[i] = int64(i%100) * 1000
				}
				if err := j.encoder[e].Write(context.Background(), b); err != nil {
					t.Fatal(err)
				}
			}
			j.checkpoint("decide")
			j.end()
			j.wantBounded(1000)
		})
	}
}

// TestRollOtherColumns goes on with other columns, and with another compression: not in the same file.
func TestRollOtherColumns(t *testing.T) {
	avro := formats[slices.IndexFunc(formats, func(f format) bool { return f.name == "Avro" })]
	j := newJob(t, avro, map[string]any{"codec": "null"})
	j.put(0, 10, false)
	j.checkpoint("")
	j.config["codec"] = "deflate"
	j.restart()
	j.put(10, 20, false)
	j.checkpoint("")
	j.schema = append(slices.Clone(j.schema), column.Field{Name: "more", Type: column.BoolType.OrNull()})
	j.restart()
	b := j.batch(t, 20, 30, false)
	b.Cols = append(b.Cols, &column.Vector{Type: column.BoolType.OrNull(), N: 10, Valid: make([]byte, 2), Bools: make([]bool, 10)})
	if err := j.encoder[0].Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	j.end()
	names, hidden := j.visible()
	rows := j.rows(t, filepath.Join(j.dir, "*"))
	if len(names) != 3 || hidden != 0 || len(rows) != 30 {
		t.Errorf("%q, %d hidden files, %d rows %q", names, hidden, len(rows), rows)
	}

	record := formats[slices.IndexFunc(formats, func(f format) bool { return f.name == "TFRecord" })]
	j = newJob(t, record, map[string]any{"compression_type": "GZIP"})
	j.put(0, 10, false)
	j.checkpoint("")
	j.config["compression_type"] = "UNCOMPRESSED"
	j.restart()
	j.put(10, 20, false)
	j.end()
	if names, _ := j.visible(); len(names) != 2 {
		t.Errorf("%q, wanted two files", names)
	}
}

// TestRolledFilesReadByOthers has fastavro and pyarrow read what was rolled through a crash.
func TestRolledFilesReadByOthers(t *testing.T) {
	for _, f := range formats {
		if f.name != "Avro" && f.name != "Parquet" {
			continue
		}
		if f.write["codec"] == "zstandard" { // for which fastavro wants a further package
			f.write = map[string]any{"codec": "deflate"}
		}
		t.Run(fmt.Sprint(f.name, f.write), func(t *testing.T) {
			j := newJob(t, f, map[string]any{"roll_bytes": int64(2000)})
			for i := range 10 {
				j.put(20*i, 20*(i+1), true)
				j.checkpoint([]string{"", "decide", "commit"}[i%3])
			}
			j.end()
			names, _ := j.visible()
			var got []string
			for line := range strings.Lines(others(t, j.dir, names)) {
				var row []any
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				got = append(got, fmt.Sprintf("%v|%v|%v", row...))
			}
			slices.Sort(got)
			if want := j.bounded(t, 200); !slices.Equal(got, want) {
				t.Errorf("%d rows %.2000q\nwanted %d: %.2000q", len(got), got, len(want), want)
			}
		})
	}
}
