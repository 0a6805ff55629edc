package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/local"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/plan"
	leattask "github.com/leat-project/leat/task"
)

// tensorCase is a model that is run on tensors: by RunInference on columns that are ready, and by the session alone.
type tensorCase struct {
	name    string
	file    string // of the model
	batch   int    // rows of a run
	batches int    // of batchRows rows, that the source hands out
	columns bool   // a column for each number, else one column of lists
}

// batchRows is how many rows the source hands out at once: what a reader does.
func (c *tensorCase) batchRows() int { return max(c.batch, min(engine.DefaultBatchRows, 64*c.batch)) }

// tensorCases makes the models.
func tensorCases(dir string, scale float64) ([]tensorCase, error) {
	write := func(name string, graph []byte) (string, error) {
		file := filepath.Join(dir, name)
		return file, os.WriteFile(file, graph, 0o644)
	}
	small, err := write("mlp.onnx", perceptron(64, 256, 256, 10))
	if err != nil {
		return nil, err
	}
	widths := []int{512}
	for range 18 {
		widths = append(widths, 512)
	}
	large, err := write("stack.onnx", perceptron(widths...))
	if err != nil {
		return nil, err
	}
	times := func(n int) int { return max(int(float64(n)*scale), 1) }
	cases := []tensorCase{
		{name: "tensor 64 columns", file: small, batch: 64, batches: times(40), columns: true},
		{name: "tensor list of 64", file: small, batch: 64, batches: times(40)},
		{name: "tensor 64 columns, 256 at once", file: small, batch: 256, batches: times(40), columns: true},
		{name: "tensor 18 layers of 512", file: large, batch: 64, batches: times(4)},
	}
	if detector := filepath.Join(shared(), "data/onnx/models/yolox_nano.onnx"); exists(detector) {
		cases = append(cases, tensorCase{name: "tensor yolox_nano", file: detector, batch: 1, batches: times(2)})
	} else {
		skipped("tensor yolox_nano", "there is no "+detector)
	}
	return cases, nil
}

// tensors measures all cases and prints a line for each way to run it.
func tensors(ctx context.Context, o *options) error {
	debug.SetGCPercent(200) // as leat run does
	runtimes := local.New(local.Options{})
	defer runtimes.Close()
	runtime, err := runtimes.Open(ctx, infer.Need{})
	if err != nil {
		skipped("tensor", err.Error())
		return nil
	}
	cases, err := tensorCases(o.dir, o.scale)
	if err != nil {
		return err
	}
	for i := range cases {
		c := &cases[i]
		if !wanted(c.name, o.only) {
			continue
		}
		for workers := 1; workers <= 2; workers++ {
			if err := c.measure(ctx, runtime, runtimes.Open, workers, o.runs); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// measure runs a case both ways in turn, and prints what the way through the stream costs over the direct one.
func (c *tensorCase) measure(ctx context.Context, r infer.Runtime, open infer.Opener, workers, runs int) error {
	session, err := r.Load(ctx, infer.Source{Name: c.name, Path: c.file}, infer.Options{})
	if err != nil {
		return err
	}
	defer session.Close()
	rows := readyRows(session.Inputs()[0], c)
	input, err := c.input(rows, session.Inputs()[0])
	if err != nil {
		return err
	}
	var direct, stream []measured
	for range runs + 1 {
		d, err := c.direct(ctx, session, input, workers)
		if err != nil {
			return err
		}
		s, err := c.stream(ctx, rows, open, workers)
		if err != nil {
			return err
		}
		direct, stream = append(direct, d), append(stream, s)
	}
	base, m := median(direct[1:]), median(stream[1:]) // the first ones warm up
	count := float64(c.batches * c.batchRows())
	name := fmt.Sprintf("%s, workers: %d", c.name, workers)
	for _, m := range []struct {
		way string
		measured
	}{{"the session alone", base}, {"leat", m}} {
		fmt.Printf("%-42s %-24s %8.2f %8.2f %8.0f %10.0f %10.2f  wall × %.2f, %.2f ms a run\n", name, m.way, m.wall, m.cpu, count, count/m.cpu,
			base.cpu/m.cpu, m.wall/base.wall, m.wall*1000*float64(workers)*float64(c.batch)/count)
	}
	return nil
}

// direct calls the session on tensors that are ready, as often as the stream does.
func (c *tensorCase) direct(ctx context.Context, s infer.Session, in infer.Value, workers int) (measured, error) {
	var left atomic.Int64
	left.Store(int64(c.batches * c.batchRows() / c.batch))
	errs := make([]error, workers)
	var wg sync.WaitGroup
	clock := startClock()
	for w := range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 && errs[w] == nil {
				results, err := s.Run(ctx, []infer.Value{in}, nil)
				if err == nil {
					results.Close()
				}
				errs[w] = err
			}
		})
	}
	wg.Wait()
	m := clock.stop()
	for _, err := range errs {
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

// stream runs a plan of three nodes: batches that are ready, the model, and a sink that drops them.
func (c *tensorCase) stream(ctx context.Context, rows *readySource, open infer.Opener, workers int) (measured, error) {
	config := map[string]any{"max_batch_size": int64(c.batch)}
	var inputs []*expr.Expr
	if c.columns {
		names := make([]any, len(rows.schema))
		for i, f := range rows.schema {
			names[i] = f.Name
		}
		config["inputs"] = map[string]any{"x": names}
	}
	for _, f := range rows.schema {
		inputs = append(inputs, expr.FieldRef(f))
	}
	p, err := leattask.Open("tensor", c.file, config)
	if err != nil {
		return measured{}, err
	}
	source := *rows
	source.left = c.batches
	sink := &droppedRows{}
	b := plan.NewBuilder(c.name)
	in := b.Source(readyConnector, map[string]any{"source": &source}, rows.schema, false)
	n := b.Infer(in.Main(), &plan.Infer{Task: "tensor", Model: c.file, Config: config, Inputs: inputs, Tag: "inference"}, p.Output())
	b.Sink(droppedConnector, map[string]any{"sink": sink}, n.Main())
	if _, err := engine.Run(ctx, b.Plan, engine.Options{Parallelism: workers, Models: open}); err != nil {
		return measured{}, err
	}
	if want := int64(c.batches * c.batchRows()); sink.rows.Load() != want {
		return measured{}, fmt.Errorf("wanted %d rows, found %d", want, sink.rows.Load())
	}
	return sink.ended.since(source.began), nil
}

// readyRows makes the batch that the source hands out again and again, with the columns that the case feeds an input from.
func readyRows(in model.ValueInfo, c *tensorCase) *readySource {
	n, width := c.batchRows(), 1
	for _, d := range in.Shape[1:] {
		width *= int(d)
	}
	value := func(row, k int) float64 { return math.Sin(float64(row*width + k)) }
	s := &readySource{batch: &column.Batch{N: n}}
	if !c.columns {
		child := &column.Vector{Type: column.FloatType, N: n * width, Floats: make([]float64, 0, n*width)}
		list := &column.Vector{Type: column.ListOf(column.FloatType), N: n, Offsets: []int32{0}, Children: []*column.Vector{child}}
		for row := range n {
			for k := range width {
				child.Floats = append(child.Floats, value(row, k))
			}
			list.Offsets = append(list.Offsets, int32(len(child.Floats)))
		}
		s.schema = column.Schema{{Name: in.Name, Type: list.Type}}
		s.batch.Cols = []*column.Vector{list}
		return s
	}
	for k := range width {
		v := &column.Vector{Type: column.FloatType, N: n, Floats: make([]float64, n)}
		for row := range n {
			v.Floats[row] = value(row, k)
		}
		s.schema = append(s.schema, column.Field{Name: fmt.Sprint("x", k), Type: v.Type})
		s.batch.Cols = append(s.batch.Cols, v)
	}
	return s
}

// input is the tensor of the first rows.
func (c *tensorCase) input(rows *readySource, in model.ValueInfo) (*infer.Tensor, error) {
	shape := append([]int64{int64(c.batch)}, in.Shape[1:]...)
	values := make([]float32, infer.Elements(shape))
	width := len(values) / c.batch
	for i := range values {
		if c.columns {
			values[i] = float32(rows.batch.Cols[i%width].Floats[i/width])
		} else {
			values[i] = float32(rows.batch.Cols[0].Children[0].Floats[i])
		}
	}
	t := infer.NewTensor(values, shape...)
	return t, t.Check()
}

func littleEndian(values []float32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// The connectors of these cases.
const (
	readyConnector   = "Ready"
	droppedConnector = "Dropped"
)

var (
	_ = catalog.AddConnector(catalog.Connector{Name: readyConnector, Source: func(c map[string]any) (catalog.Source, error) {
		return c["source"].(*readySource), nil
	}})
	_ = catalog.AddConnector(catalog.Connector{Name: droppedConnector, Sink: func(c map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		return c["sink"].(*droppedRows), nil
	}})
)

// readySource hands out the same batch a number of times, which costs nothing.
type readySource struct {
	schema column.Schema
	batch  *column.Batch
	left   int
	began  instant // when the first batch was asked for
}

func (s *readySource) Schema(context.Context) (column.Schema, error) { return s.schema, nil }
func (s *readySource) Open(context.Context, column.Schema) (catalog.Reader, error) {
	return s, nil
}
func (s *readySource) NewDecoder() catalog.Decoder { return s }
func (s *readySource) Progress() (int64, int64)    { return 0, -1 }
func (s *readySource) Close() error                { return nil }

func (s *readySource) Next(context.Context, *catalog.Morsel) error {
	if s.began == (instant{}) {
		s.began = startClock()
	}
	if s.left == 0 {
		return io.EOF
	}
	s.left--
	return nil
}

func (s *readySource) Decode(_ context.Context, _ *catalog.Morsel, out catalog.Out) error {
	b := *s.batch
	return out.Batch(&b)
}

// droppedRows counts rows.
type droppedRows struct {
	rows  atomic.Int64
	ended instant
}

func (s *droppedRows) Open(context.Context, column.Schema) (catalog.Writer, error) { return s, nil }
func (s *droppedRows) NewEncoder() catalog.Encoder                                 { return s }
func (s *droppedRows) Flush(context.Context) error                                 { return nil }
func (s *droppedRows) Abort() error                                                { return nil }

func (s *droppedRows) Write(_ context.Context, b *column.Batch) error {
	s.rows.Add(int64(b.Len()))
	return nil
}

func (s *droppedRows) Commit(context.Context) (catalog.Written, error) {
	s.ended = startClock()
	return catalog.Written{}, nil
}

// instant is a time, and the processor time of this process until then.
type instant struct {
	wall time.Time
	cpu  time.Duration
}

func startClock() instant {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return instant{wall: time.Now()}
	}
	return instant{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano())}
}

func (i instant) stop() measured { return startClock().since(i) }

func (i instant) since(start instant) measured {
	return measured{wall: i.wall.Sub(start.wall).Seconds(), cpu: (i.cpu - start.cpu).Seconds()}
}
