package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Target is where a sink writes: shards, or in a stream files that roll, or standard output.
type Target struct {
	Path     string
	Shards   ShardOptions
	roll     *RollOptions // nil: all input ends
	standard bool
}

// RollFields are the keys of sinks in streams whose files can be gone on with.
func RollFields() []catalog.Field {
	return []catalog.Field{
		RollBytesField(),
		{Name: "roll_every", Type: catalog.Length, Default: "1m", Doc: "In a stream: a file is complete at the first checkpoint after so long."},
	}
}

// RollBytesField is the key that limits the files of sinks in streams.
func RollBytesField() catalog.Field {
	return catalog.Field{Name: "roll_bytes", Type: catalog.Integer, Default: "134217728", Doc: "In a stream: a file is complete when it has so many bytes."}
}

// RollDoc says how sinks write files in a stream.
const RollDoc = `**In a stream** rows go to hidden files, which get their names at the first checkpoint after they are complete (roll_bytes, roll_every, and when the stream
ends): PATH without its extension, the start of the window (2026-01-31T12-00-00Z; left out without windows), a number that rises, and the extension. Each row
is in them once, whatever happens. At most 64 windows have a file open at once: of one more, the oldest file is complete.`

// BindTarget reads the keys path, num_shards, roll_bytes and roll_every; the path Dash is standard output. The error is *catalog.Problems.
func BindTarget(config map[string]any, env *catalog.SinkEnv) (Target, error) {
	path, _ := config["path"].(string)
	if path != Dash {
		return BindFiles(path, ShardOptions{}, config, env)
	}
	t := Target{Path: path, standard: true}
	var errShards error
	t.Shards.Num, errShards = NumShards(config)
	if t.Shards.Num > 1 {
		errShards = manyShards("standard output")
	}
	_, errRoll := bindRoll(config)
	return t, join(errShards, errRoll)
}

// BindFiles reads the keys num_shards, roll_bytes and roll_every of a sink that writes files of that path, whatever its key is called. The error is
// *catalog.Problems.
func BindFiles(path string, o ShardOptions, config map[string]any, env *catalog.SinkEnv) (Target, error) {
	t := Target{Path: path, Shards: o}
	var errShards, errCheck error
	t.Shards.Num, errShards = NumShards(config)
	roll, errRoll := bindRoll(config)
	if errShards == nil {
		errCheck = t.Shards.Check(t.Path)
	}
	if env != nil && env.Stream {
		roll.Keep = env.Dir != ""
		t.roll = &roll
	}
	if t.roll != nil && t.Shards.Num > 1 {
		errShards = manyShards("a stream: its files are numbered as they come")
	}
	return t, join(errShards, errRoll, errCheck)
}

func manyShards(where string) error {
	return &catalog.Problem{Key: "num_shards", Code: diag.BadValue, Text: "\"num_shards\" is not for " + where, Hint: "Leave it out."}
}

// join is errors.Join that leaves one error alone as it is.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
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
	if t.standard {
		return nil
	}
	return t.Shards.Targets(t.Path)
}

// Guarantee is what the target promises in a stream.
func (t Target) Guarantee() catalog.Guarantee {
	if t.standard {
		return catalog.AtLeastOnce
	}
	return catalog.ExactlyOnce
}

// Create begins writing. header is that of each file, encoder makes one for a worker.
func (t Target) Create(header []byte, encoder func(Output) catalog.Encoder) (catalog.Writer, error) {
	switch {
	case t.standard:
		return &standardWriter{standardOutput{to: os.Stdout, header: header}, encoder}, nil
	case t.roll != nil:
		return t.rolls(header, nil, func(r *Roll) catalog.Encoder { return encoder(r) }), nil
	}
	o := t.Shards
	o.Header = header
	shards, err := Create(t.Path, o)
	if err != nil {
		return nil, err
	}
	return &shardsWriter{shards, encoder}, nil
}

// CreateWhole begins writing files of a format that has an end, such as Parquet: see RollOptions.Whole. It returns nil where all input ends: such
// formats write shards as Containers then.
func (t Target) CreateWhole(whole func(io.Writer) io.Closer, encoder func(*Roll) catalog.Encoder) catalog.Writer {
	if t.roll == nil {
		return nil
	}
	return t.rolls(nil, whole, encoder)
}

func (t Target) rolls(header []byte, whole func(io.Writer) io.Closer, encoder func(*Roll) catalog.Encoder) catalog.Writer {
	o := *t.roll
	o.Header, o.Whole, o.FS, o.Compression = header, whole, t.Shards.FS, t.Shards.Compression
	return &rollWriter{NewRoll(t.Path+t.Shards.Suffix, o), encoder}
}

type shardsWriter struct {
	*Shards
	encoder func(Output) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (w *shardsWriter) NewEncoder() catalog.Encoder { return w.encoder(w.Shards) }

type rollWriter struct {
	*Roll
	encoder func(*Roll) catalog.Encoder
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
