package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// ShardOptions say what the files of a sink look like.
type ShardOptions struct {
	Num         int    // of shards; 0: 1
	Suffix      string // after the numbers
	Template    string // of the numbers, S and N stand for digits; "": -SSSSS-of-NNNNN
	Compression Compression
	Header      []byte // of each shard
}

// DefaultTemplate is how shards are numbered, as in Beam: out.json-00000-of-00001.
const DefaultTemplate = "-SSSSS-of-NNNNN"

// Shards writes the files of one sink. They have temporary, hidden names beside the final ones until Commit.
type Shards struct {
	shards []*shard
	turn   atomic.Int64
}

// shard is one file.
type shard struct {
	mu     sync.Mutex
	path   string // the final name
	temp   string
	file   *os.File
	w      io.Writer
	finish func() error // of the compressor
	bytes  int64
	state  shardState
}

type shardState uint8

const (
	writing shardState = iota
	complete
	final
	gone
)

// Create makes the shards' temporary files. Folders that are missing are made. An error is a *catalog.Problem at key
// "path".
func Create(path string, o ShardOptions) (*Shards, error) {
	if o.Num <= 0 {
		o.Num = 1
	}
	if o.Template == "" {
		o.Template = DefaultTemplate
	}
	s := &Shards{}
	for i := range o.Num {
		sh, err := createShard(path+number(o.Template, i, o.Num)+o.Suffix, o.Header, FinalCompression(path, o))
		if err != nil {
			return nil, errors.Join(err, s.Abort())
		}
		s.shards = append(s.shards, sh)
	}
	return s, nil
}

// number fills in a template: runs of S with the shard's number, runs of N with how many there are.
func number(template string, i, n int) string {
	var b strings.Builder
	for at := 0; at < len(template); {
		c := template[at]
		run := 1
		for at+run < len(template) && template[at+run] == c {
			run++
		}
		switch c {
		case 'S':
			fmt.Fprintf(&b, "%0*d", run, i)
		case 'N':
			fmt.Fprintf(&b, "%0*d", run, n)
		default:
			b.WriteString(template[at : at+run])
		}
		at += run
	}
	return b.String()
}

func createShard(path string, header []byte, c Compression) (*shard, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, cannotWrite(path, errors.New("it is a folder"))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, cannotWrite(path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, cannotWrite(path, err)
	}
	sh := &shard{path: path, temp: f.Name(), file: f, finish: func() error { return nil }}
	if err := sh.compress(c, path); err != nil {
		return nil, errors.Join(err, sh.abort())
	}
	if _, err := sh.w.Write(header); err != nil {
		return nil, errors.Join(cannotWrite(path, err), sh.abort())
	}
	return sh, nil
}

func cannotWrite(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = "Choose a folder that you may write to."
	case strings.Contains(err.Error(), "no space left"):
		hint = "Free space on that disk, or write to another one."
	}
	return &catalog.Problem{Key: "path", Code: diag.CannotWrite, Text: fmt.Sprintf("cannot write %q: %v", path, cause(err)), Hint: hint}
}

func (s *shard) compress(c Compression, path string) error {
	counted := (*countedWriter)(s)
	switch c {
	case Gzip:
		z := gzip.NewWriter(counted)
		s.w, s.finish = z, z.Close
	case Zstd:
		z, err := zstd.NewWriter(counted, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return cannotWrite(path, err)
		}
		s.w, s.finish = z, z.Close
	case Bzip2:
		return &catalog.Problem{Key: "path", Code: diag.Unsupported, Text: "bzip2 is read, but not written", Hint: "Write .zst or .gz."}
	default:
		s.w = counted
	}
	return nil
}

type countedWriter shard

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.bytes += int64(n)
	return n, err
}

// FinalCompression returns the compression of the files that path and o name: by the extension of path, or of the suffix.
func FinalCompression(path string, o ShardOptions) Compression {
	if c := o.Compression.Of(path); c != None {
		return c
	}
	return o.Compression.Of(o.Suffix)
}

// Write appends whole records to one of the shards. It may be called by several workers at once; p is not kept.
func (s *Shards) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	sh := s.shards[int(s.turn.Add(1)-1)%len(s.shards)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, err := sh.w.Write(p); err != nil {
		return cannotWrite(sh.path, err)
	}
	return nil
}

// Container returns the writer of shard i, for a format that writes a file as a whole, and its lock.
func (s *Shards) Container(i int) (io.Writer, sync.Locker) { return s.shards[i].w, &s.shards[i].mu }

// Len returns the number of shards.
func (s *Shards) Len() int { return len(s.shards) }

// Verify completes the temporary files: after it, only a rename is left.
func (s *Shards) Verify(context.Context) error {
	for _, sh := range s.shards {
		if sh.state != writing {
			continue
		}
		err := sh.finish()
		if err == nil {
			err = sh.file.Sync()
		}
		if err == nil {
			err = sh.file.Chmod(0o644)
		}
		if closing := sh.file.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return cannotWrite(sh.path, err)
		}
		sh.state = complete
	}
	return nil
}

// Commit gives the files their final names, replacing files of those names. Shards of an earlier run with another
// number of shards stay, as in Beam.
func (s *Shards) Commit(ctx context.Context) (catalog.Written, error) {
	var w catalog.Written
	if err := s.Verify(ctx); err != nil {
		return w, err
	}
	for _, sh := range s.shards {
		if err := os.Rename(sh.temp, sh.path); err != nil {
			return w, cannotWrite(sh.path, err)
		}
		sh.state = final
		w.Files = append(w.Files, sh.path)
		w.Bytes += sh.bytes
	}
	return w, nil
}

// Abort removes what has not been committed.
func (s *Shards) Abort() error {
	var errs []error
	for _, sh := range s.shards {
		errs = append(errs, sh.abort())
	}
	return errors.Join(errs...)
}

func (s *shard) abort() error {
	var err error
	switch s.state {
	case writing:
		err = errors.Join(s.file.Close(), os.Remove(s.temp))
	case complete:
		err = os.Remove(s.temp)
	}
	if s.state != final {
		s.state = gone
	}
	return err
}

// FlushBytes is how much an encoder gathers before it hands it to its shard.
const FlushBytes = 256 << 10
