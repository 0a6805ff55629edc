package connector_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/leat-project/leat/column"
	_ "github.com/leat-project/leat/connector"
	_ "github.com/leat-project/leat/connector/avro"
	"github.com/leat-project/leat/connector/contract"
	_ "github.com/leat-project/leat/connector/parquet"
	"github.com/leat-project/leat/diag"
)

// neverWaits is why readers of files keep their place when they are closed from elsewhere.
const neverWaits = "a reader of files is closed by who calls its Next, once that has returned: the engine ends Next by its context first"

// watched makes a folder that a source watches, into which files come.
func watched(connector, ext string, keys map[string]any, write func(messages []contract.Message) []byte, wrong ...contract.Wrong) contract.SourceCase {
	config := func(dir string) map[string]any {
		c := map[string]any{"path": filepath.Join(dir, "*"+ext), "watch": "5ms", "schema": column.RowOf(contract.RowSchema)}
		maps.Copy(c, keys)
		return c
	}
	return contract.SourceCase{
		Bound: contract.Bound{
			Connector: connector, Config: func(string) map[string]any { return config(os.TempDir()) }, Wrong: wrong,
			Skip: map[string]string{"Close": neverWaits},
		},
		Resumes: true, Partitions: true,
		Start: func(t *testing.T) *contract.Place {
			dir := t.TempDir()
			n := 0
			return &contract.Place{Config: config(dir), Put: func(t *testing.T, messages []contract.Message) {
				n++
				name := filepath.Join(dir, fmt.Sprintf("%05d%s", n, ext))
				if err := os.WriteFile(name+".tmp", write(messages), 0o666); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(name+".tmp", name); err != nil {
					t.Fatal(err)
				}
			}}
		},
	}
}

func TestContractWatch(t *testing.T) {
	t.Run("JSON", func(t *testing.T) {
		c := watched("ReadFromJson", ".json", nil, func(messages []contract.Message) []byte {
			var b bytes.Buffer
			for _, m := range messages {
				b.Write(m.JSON())
				b.WriteByte('\n')
			}
			return b.Bytes()
		}, contract.Wrong{Name: "watch and lines", Set: map[string]any{"watch": "soon", "lines": false}, Want: map[string]diag.Code{"watch": diag.BadDuration, "lines": diag.Unsupported}})
		c.TakesBad = true
		contract.Source(t, c)
	})
}

// files makes a sink of files, which its own source reads.
func files(sink, source, ext string, keys, readKeys map[string]any, wrong ...contract.Wrong) contract.SinkCase {
	config := func(path string) map[string]any {
		c := map[string]any{"path": path, "roll_bytes": int64(1)} // a file is complete with each epoch
		maps.Copy(c, keys)
		return c
	}
	return contract.SinkCase{
		Bound:         contract.Bound{Connector: sink, Config: func(string) map[string]any { return config(filepath.Join(os.TempDir(), "leat-contract"+ext)) }, Wrong: wrong},
		Transactional: true, BoundedUndo: true,
		Start: func(t *testing.T) *contract.Target {
			dir := t.TempDir()
			x := &contract.Target{Config: config(filepath.Join(dir, "out"+ext))}
			x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
				pattern := filepath.Join(dir, "out*")
				if names, _ := filepath.Glob(pattern); len(names) == 0 {
					return nil
				}
				c := map[string]any{"path": pattern}
				if readKeys["schema"] != nil {
					c["schema"] = column.RowOf(schema)
				}
				return contract.ReadAll(t, source, c)
			}
			x.Types, x.TypeRows = contract.JSONTypes()
			return x
		},
	}
}

func TestContractFiles(t *testing.T) {
	rolls := contract.Wrong{Name: "files", Set: map[string]any{"roll_bytes": int64(0), "roll_every": "0s", "num_shards": int64(-1)},
		Want: map[string]diag.Code{"roll_bytes": diag.BadValue, "roll_every": diag.BadDuration, "num_shards": diag.BadValue}}
	given := map[string]any{"schema": true}
	t.Run("JSON", func(t *testing.T) { contract.Sink(t, files("WriteToJson", "ReadFromJson", ".json", nil, given, rolls)) })
	t.Run("JSON gzip", func(t *testing.T) {
		contract.Sink(t, files("WriteToJson", "ReadFromJson", ".json.gz", nil, given, rolls))
	})
	csv := files("WriteToCsv", "ReadFromCsv", ".csv", nil, nil, rolls)
	start := csv.Start
	csv.Start = func(t *testing.T) *contract.Target {
		x := start(t)
		x.Types, x.TypeRows = nil, nil // what is in a row is text
		return x
	}
	t.Run("CSV", func(t *testing.T) { contract.Sink(t, csv) })
	t.Run("Avro", func(t *testing.T) { contract.Sink(t, files("WriteToAvro", "ReadFromAvro", ".avro", nil, nil, rolls)) })
	t.Run("Parquet", func(t *testing.T) {
		contract.Sink(t, files("WriteToParquet", "ReadFromParquet", ".parquet", nil, nil, rolls))
	})
}
