package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// discard counts rows.
type discard struct{ rows int }

func (d *discard) BatchRows() int { return 4096 }
func (d *discard) Batch(b *column.Batch) error {
	d.rows += b.N
	return nil
}
func (d *discard) Bad(catalog.BadRecord) error { return nil }

// BenchmarkJSONFile decodes the first three fields of the file that LEAT_BENCH_JSON names.
func BenchmarkJSONFile(b *testing.B) {
	path := os.Getenv("LEAT_BENCH_JSON")
	if path == "" {
		b.Skip("LEAT_BENCH_JSON names no file")
	}
	source, err := newJSONSource(map[string]any{"path": path})
	if err != nil {
		b.Fatal(err)
	}
	schema, err := source.Schema(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) { benchReader(b, source, nil, false) })
	b.Run("decode", func(b *testing.B) { benchReader(b, source, schema[:min(3, len(schema))], true) })
}

func benchReader(b *testing.B, source *jsonSource, fields column.Schema, decode bool) {
	var size int64
	began := cpuTime(b)
	for b.Loop() {
		r, err := source.Open(context.Background(), fields)
		if err != nil {
			b.Fatal(err)
		}
		d := r.NewDecoder()
		var m catalog.Morsel
		for {
			err := r.Next(context.Background(), &m)
			if err == io.EOF {
				break
			}
			if err == nil && decode {
				err = d.Decode(context.Background(), &m, &discard{})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		_, size = r.Progress()
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpuTime(b)-began).Seconds(), "MB/cpu-s")
}

// cpuTime is what the process has taken so far. On a machine that others use, too, it says more than the time of day.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// jsonShapes are the shapes of records that decoding is measured for: about a megabyte of each. The metric is MB/cpu-s.
var jsonShapes = []struct {
	name   string
	wanted int // fields; 0: all
	line   func(r *rand.Rand) string
}{
	{"plain", 3, func(r *rand.Rand) string { return plainJSON(r) }},
	{"reordered", 3, func(r *rand.Rand) string {
		fields := strings.Split(strings.Trim(plainJSON(r), "{}"), ",")
		r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		return "{" + strings.Join(fields, ",") + "}"
	}},
	{"spaced", 3, func(r *rand.Rand) string {
		return strings.NewReplacer(",", ", ", `":`, `": `).Replace(plainJSON(r))
	}},
	{"escapes", 0, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"device":"d%d","path":"C:\\\\data\\\\file %d.txt","quote":"he said \\\"%d\\\"","url":"http:\\/\\/x.org\\/%d"}`,
			r.IntN(1000), r.IntN(1000), r.IntN(1000), r.IntN(1000))
	}},
	{"nested", 0, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"device":{"id":"d%d","place":{"lat":%.4f,"lon":%.4f}},"ts":%d,"readings":[{"k":"temp","v":%.2f},{"k":"hum","v":%.1f}]}`,
			r.IntN(1000), r.Float64()*90, r.Float64()*180, 1599999999895+r.IntN(1e6), r.Float64()*40, r.Float64()*100)
	}},
	{"40 columns, 3 wanted", 3, wideJSON},
	{"40 columns", 0, wideJSON},
	{"40 columns reordered", 0, func(r *rand.Rand) string {
		fields := strings.Split(strings.Trim(wideJSON(r), "{}"), ",")
		r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		return "{" + strings.Join(fields, ",") + "}"
	}},
	{"long text", 0, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"id":%d,"text":"%s"}`, r.IntN(1e6), strings.Repeat("All work and no play makes Jack a dull boy. ", 20+r.IntN(20)))
	}},
	{"unicode", 0, func(r *rand.Rand) string {
		return fmt.Sprintf(`{"id":%d,"city":"Žďár nad Sázavou","text":"Příliš žluťoučký kůň úpěl ďábelské ódy %d","ja":"色は匂へど散りぬるを"}`, r.IntN(1e6), r.IntN(1e6))
	}},
	{"missing fields", 3, func(r *rand.Rand) string {
		fields := strings.Split(strings.Trim(plainJSON(r), "{}"), ",")
		at := r.IntN(len(fields))
		return "{" + strings.Join(append(fields[:at:at], fields[at+1:]...), ",") + "}"
	}},
}

func plainJSON(r *rand.Rand) string {
	return fmt.Sprintf(`{"device":"d%d","ts":%d,"temp":%.2f,"hum":%.1f,"msg":"battery good room=B%d seq=%09d"}`,
		r.IntN(1000), 1599999999895+r.IntN(1e6), r.Float64()*40, r.Float64()*100, r.IntN(100), r.IntN(1e6))
}

func wideJSON(r *rand.Rand) string {
	fields := make([]string, 40)
	for i := range fields {
		switch i % 3 {
		case 0:
			fields[i] = fmt.Sprintf(`"sensor_%d":%.2f`, i, r.Float64()*100)
		case 1:
			fields[i] = fmt.Sprintf(`"state_%d":"s%d"`, i, r.IntN(1000))
		default:
			fields[i] = fmt.Sprintf(`"count_%d":%d`, i, r.IntN(1e6))
		}
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func BenchmarkJSONShapes(b *testing.B) {
	for _, shape := range jsonShapes {
		b.Run(shape.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			var text bytes.Buffer
			var inferred = column.NullType
			for text.Len() < 1<<20 {
				line := shape.line(r)
				if !json.Valid([]byte(line)) {
					b.Fatalf("not JSON: %s", line)
				}
				s := jsonScanner{text: []byte(line + "\n")}
				if text.Len() < 1<<16 {
					v, _ := s.boxed(0, 0)
					inferred = unifyJSON(inferred, jsonTypeOf(v))
				}
				text.WriteString(line + "\n")
			}
			schema := settle(inferred).Fields
			if shape.wanted > 0 {
				schema = column.Schema{schema[schema.Index(plainOr(schema, "device"))], schema[schema.Index(plainOr(schema, "ts"))], schema[schema.Index(plainOr(schema, "temp"))]}
			}
			d := (&jsonReader{fields: schema, extra: map[string]int64{}}).NewDecoder()
			var morsels []catalog.Morsel
			for rest := text.Bytes(); len(rest) > 0; {
				n := file.SplitLines(rest[:min(len(rest), file.MorselBytes)])
				morsels = append(morsels, catalog.Morsel{Line: 1, Data: rest[:n:n]})
				rest = rest[n:]
			}
			began := cpuTime(b)
			for b.Loop() {
				out := &discard{}
				for i := range morsels {
					if err := d.Decode(context.Background(), &morsels[i], out); err != nil {
						b.Fatal(err)
					}
				}
				if out.rows == 0 {
					b.Fatal("no rows")
				}
			}
			b.ReportMetric(float64(text.Len())*float64(b.N)/1e6/(cpuTime(b)-began).Seconds(), "MB/cpu-s")
		})
	}
}

// plainOr returns the name of a plain record's field, or of the one that stands for it in wide records.
func plainOr(schema column.Schema, name string) string {
	if schema.Index(name) >= 0 {
		return name
	}
	return map[string]string{"device": "state_1", "ts": "count_20", "temp": "sensor_39"}[name]
}

// BenchmarkJSONWrite encodes rows of three fields. Its metric is cpu-ns/row.
func BenchmarkJSONWrite(b *testing.B) {
	const rows = 4096
	r := rand.New(rand.NewPCG(1, 2))
	device, ts, temp := column.NewBuilder(textType), column.NewBuilder(intType), column.NewBuilder(floatType)
	for range rows {
		for builder, v := range map[*column.Builder]column.Value{device: fmt.Sprintf("d%d", r.IntN(1000)), ts: int64(1599999999895 + r.IntN(1e6)),
			temp: float64(r.IntN(4000)) / 100} {
			if err := builder.Append(v); err != nil {
				b.Fatal(err)
			}
		}
	}
	batch := &column.Batch{N: rows, Cols: []*column.Vector{device.Finish(), ts.Finish(), temp.Finish()}}
	fields := newJSONFields(column.Schema{{Name: "device", Type: textType}, {Name: "ts", Type: intType}, {Name: "temp", Type: floatType}})
	var buf []byte
	began := cpuTime(b)
	for b.Loop() {
		buf = buf[:0]
		for i := range rows {
			buf = append(appendJSONRow(buf, fields, batch.Cols, i), '\n')
		}
	}
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/float64(b.N)/rows, "cpu-ns/row")
}
