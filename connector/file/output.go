package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Dash is the path that stands for standard input or output.
const Dash = "-"

// Output takes the whole records that encoders of line formats make.
type Output interface {
	// Put appends records of the window that begins then. It may be called by several workers at once; p is not kept.
	Put(window int64, p []byte) error
}

// Put appends whole records to one of the shards, whatever their window.
func (s *Shards) Put(_ int64, p []byte) error { return s.Write(p) }

// Target is where a sink of a line format writes: shards, or in a stream files that roll, or standard output.
type Target struct {
	Path   string
	Shards ShardOptions
	roll   *RollOptions // nil: all input ends
}

// RollFields are the keys of sinks in streams.
func RollFields() []catalog.Field {
	return []catalog.Field{
		{Name: "roll_bytes", Type: catalog.Integer, Default: "134217728", Doc: "In a stream: a file is complete when it has so many bytes."},
		{Name: "roll_every", Type: catalog.Length, Default: "1m", Doc: "In a stream: a file is complete at the first checkpoint after so long."},
	}
}

// BindTarget reads the keys path, num_shards, roll_bytes and roll_every. The error is *catalog.Problems.
func BindTarget(config map[string]any, env *catalog.SinkEnv) (Target, error) {
	t := Target{}
	t.Path, _ = config["path"].(string)
	var errShards, errCheck error
	t.Shards.Num, errShards = NumShards(config)
	roll, errRoll := bindRoll(config)
	if errShards == nil && t.Path != Dash {
		errCheck = t.Shards.Check(t.Path)
	}
	if env != nil && env.Stream && t.Path != Dash {
		roll.Keep = env.Dir != ""
		t.roll = &roll
	}
	if t.Shards.Num > 1 && (t.roll != nil || t.Path == Dash) {
		where := "a stream: its files are numbered as they come"
		if t.Path == Dash {
			where = "standard output"
		}
		errShards = &catalog.Problem{Key: "num_shards", Code: diag.BadValue, Text: "\"num_shards\" is not for " + where, Hint: "Leave it out."}
	}
	return t, join(errShards, errRoll, errCheck)
}

// join is errors.Join that leaves one error alone as it is.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// RefuseStream is the problem of a sink whose format cannot be written in a stream; nil where all input ends.
func RefuseStream(env *catalog.SinkEnv, format string) error {
	if env == nil || !env.Stream {
		return nil
	}
	return &catalog.Problem{Code: diag.Unsupported, Text: format + " files are not written in a stream yet: a file is whole only at its end",
		Hint: "Write JSON, CSV or text, and convert the files later."}
}

func bindRoll(config map[string]any) (o RollOptions, err error) {
	o.Bytes = DefaultRollBytes
	if n, ok := config["roll_bytes"].(int64); ok {
		o.Bytes = n
		if n < 1 {
			err = &catalog.Problem{Key: "roll_bytes", Code: diag.BadValue, Text: fmt.Sprintf("wanted at least 1 byte for \"roll_bytes\", found %d", n)}
		}
	}
	every, errEvery := catalog.Duration(config, "roll_every", DefaultRollEvery)
	if o.Every = every; errEvery == nil && every <= 0 {
		errEvery = &catalog.Problem{Key: "roll_every", Code: diag.BadDuration, Text: "wanted some time for \"roll_every\", found none", Hint: "Write 1m."}
	}
	return o, errors.Join(err, errEvery)
}

// Targets returns the names of the files, so that no two sinks write the same.
func (t Target) Targets() []string {
	if t.Path == Dash {
		return nil
	}
	return t.Shards.Targets(t.Path)
}

// Guarantee is what the target promises in a stream.
func (t Target) Guarantee() catalog.Guarantee {
	if t.Path == Dash {
		return catalog.AtLeastOnce
	}
	return catalog.ExactlyOnce
}

// Create begins writing. header is that of each file, encoder makes one for a worker.
func (t Target) Create(header []byte, encoder func(Output) catalog.Encoder) (catalog.Writer, error) {
	switch {
	case t.Path == Dash:
		return &standardWriter{standardOutput{to: os.Stdout, header: header}, encoder}, nil
	case t.roll != nil:
		o := *t.roll
		o.Header, o.FS = header, t.Shards.FS
		return &rollWriter{NewRoll(t.Path, o), encoder}, nil
	}
	o := t.Shards
	o.Header = header
	shards, err := Create(t.Path, o)
	if err != nil {
		return nil, err
	}
	return &shardsWriter{shards, encoder}, nil
}

type shardsWriter struct {
	*Shards
	encoder func(Output) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (w *shardsWriter) NewEncoder() catalog.Encoder { return w.encoder(w.Shards) }

type rollWriter struct {
	*Roll
	encoder func(Output) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (w *rollWriter) NewEncoder() catalog.Encoder { return w.encoder(w.Roll) }

type standardWriter struct {
	standardOutput
	encoder func(Output) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (w *standardWriter) NewEncoder() catalog.Encoder { return w.encoder(&w.standardOutput) }

var (
	_ catalog.Transactional = (*rollWriter)(nil)
	_ catalog.Rolling       = (*rollWriter)(nil)
	_ catalog.Verifier      = (*rollWriter)(nil)
	_ catalog.Verifier      = (*shardsWriter)(nil)
	_ catalog.Syncer        = (*standardWriter)(nil)
)

// standardOutput writes to standard output. What an encoder hands on is written at once and in one piece. When the reader of a pipe has gone, the
// system ends the program at the next write, as it does with other tools.
type standardOutput struct {
	mu     sync.Mutex
	to     io.Writer
	header []byte // not written yet
	bytes  int64
}

// Put writes whole records.
func (s *standardOutput) Put(_ int64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return err
	}
	return s.write(p)
}

// begin writes the header once.
func (s *standardOutput) begin() error {
	header := s.header
	s.header = nil
	return s.write(header)
}

func (s *standardOutput) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := s.to.Write(p)
	s.bytes += int64(n)
	if err != nil {
		return &diag.Failure{Code: diag.CannotWrite, Err: fmt.Errorf("cannot write to standard output: %w", cause(err))}
	}
	return nil
}

// Sync has nothing left to do: what was put has been written. Pipes and terminals keep nothing.
func (s *standardOutput) Sync(context.Context) error { return nil }

// Commit says how much was written. A header comes even where no row does.
func (s *standardOutput) Commit(context.Context) (catalog.Written, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.begin()
	return catalog.Written{Bytes: s.bytes}, err
}

// Abort leaves what was written: it is gone.
func (s *standardOutput) Abort() error { return nil }

// Gather keeps the records of one encoder by window until they make a large piece.
type Gather struct {
	out     Output
	single  []byte           // of rows without windows
	windows map[int64][]byte // of the others
	held    int
	at      int64 // the window that Begin was last called for
}

// NewGather returns the Gather of one worker. Windows are told apart only where the output does.
func NewGather(out Output) *Gather {
	g := &Gather{out: out, at: GlobalWindow}
	if _, ok := out.(*Roll); ok {
		g.windows = map[int64][]byte{}
	}
	return g
}

// Begin returns what row i of b is to be appended to.
func (g *Gather) Begin(b *column.Batch, i int) []byte {
	if g.windows == nil || b.Starts == nil || b.Starts[i] <= GlobalWindow {
		g.at = GlobalWindow
		return g.single
	}
	g.at = b.Starts[i]
	return g.windows[g.at]
}

// End takes back what Begin returned, with the record, and hands all on where it is much.
func (g *Gather) End(buf []byte) error {
	if g.at == GlobalWindow {
		g.single = buf
		if g.held+len(buf) >= FlushBytes {
			return g.Flush()
		}
		return nil
	}
	g.held += len(buf) - len(g.windows[g.at])
	g.windows[g.at] = buf
	if g.held >= FlushBytes || len(g.windows) > maxOpenFiles {
		return g.Flush()
	}
	return nil
}

// Flush hands all records on.
func (g *Gather) Flush() error {
	err := g.out.Put(GlobalWindow, g.single)
	g.single = g.single[:0]
	if len(g.windows) == 0 {
		return err
	}
	errs := []error{err}
	for _, window := range slices.Sorted(maps.Keys(g.windows)) {
		errs = append(errs, g.out.Put(window, g.windows[window]))
	}
	clear(g.windows)
	g.held = 0
	return errors.Join(errs...)
}
