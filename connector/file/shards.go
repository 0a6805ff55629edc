package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/vfs"
)

// ShardOptions say what the files of a sink look like.
type ShardOptions struct {
	Num         int    // of shards; 0: 1
	Suffix      string // after the numbers
	Template    string // of the numbers, S and N stand for digits; "": -SSSSS-of-NNNNN
	Compression Compression
	Header      []byte // of each shard
	FS          vfs.FS // nil: the machine's
}

// DefaultTemplate is how shards are numbered, as in Beam: out.json-00000-of-00001.
const DefaultTemplate = "-SSSSS-of-NNNNN"

// MaxShards is how many files a sink writes at most: all are open for the whole run.
const MaxShards = 1000

// NumShards reads "num_shards": how many files a sink is to write. It is 1 where the configuration says nothing or 0,
// which in Beam leaves it to the runner.
func NumShards(config map[string]any) (int, error) {
	n, _ := config["num_shards"].(int64)
	if n < 0 || n > MaxShards {
		return 0, &catalog.Problem{Key: "num_shards", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 1 to %d for \"num_shards\", found %d", MaxShards, n)}
	}
	return max(1, int(n)), nil
}

// Check reports, as a *catalog.Problem, what Create would refuse, without touching a file. Sinks call it when they are
// bound, so that it is known before anything runs.
func (o ShardOptions) Check(path string) error {
	switch {
	case path == "":
		return &catalog.Problem{Key: "path", Code: diag.BadValue, Text: "the path is empty", Hint: "Name the file to write, such as out/events.json."}
	case o.Num < 0 || o.Num > MaxShards:
		return &catalog.Problem{Key: "num_shards", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 1 to %d, found %d", MaxShards, o.Num)}
	case o.Num > 1 && o.Template != "" && !strings.Contains(o.Template, "S"):
		return &catalog.Problem{Key: "shard_name_template", Code: diag.BadValue,
			Text: fmt.Sprintf("%d shards would have one name: the template %q has no S", o.Num, o.Template), Hint: "Write \"-SSSSS-of-NNNNN\"."}
	case FinalCompression(path, o) == Bzip2:
		return &catalog.Problem{Key: "path", Code: diag.Unsupported, Text: "bzip2 is read, but not written", Hint: "Write .zst or .gz."}
	}
	if info, err := os.Stat(o.name(path, 0)); err == nil && info.IsDir() {
		return cannotWrite(o.name(path, 0), errFolder)
	}
	return nil
}

var errFolder = errors.New("it is a folder")

// count is the number of shards.
func (o ShardOptions) count() int { return max(1, o.Num) }

// name returns the final name of shard i.
func (o ShardOptions) name(path string, i int) string {
	template := o.Template
	if template == "" {
		template = DefaultTemplate
	}
	return path + number(template, i, o.count()) + o.Suffix
}

// Targets returns the final names of all shards.
func (o ShardOptions) Targets(path string) []string {
	names := make([]string, o.count())
	for i := range names {
		names[i] = o.name(path, i)
	}
	return names
}

// FinalCompression returns the compression of the files that path and o name: by the extension of their names, the
// shard's number left out.
func FinalCompression(path string, o ShardOptions) Compression {
	if c := o.Compression.Of(o.name(path, 0)); c != None || o.Suffix != "" {
		return c
	}
	return o.Compression.Of(path)
}

// Shards writes the files of one sink. They have temporary, hidden names beside the final ones until Commit.
type Shards struct {
	fs     vfs.FS
	shards []*shard
	turn   atomic.Int64
}

// shard is one file.
type shard struct {
	fs     vfs.FS
	mu     sync.Mutex
	path   string // the final name
	temp   string
	file   vfs.File
	w      io.Writer
	finish func() error // of the compressor
	bytes  int64
	state  shardState
	failed error // what made the file useless
}

type shardState uint8

const (
	writing  shardState = iota
	complete            // on disk and closed, under its temporary name
	final
	gone
)

// Create makes the shards' temporary files. Folders that are missing are made. An error is a *catalog.Problem.
func Create(path string, o ShardOptions) (*Shards, error) {
	if err := o.Check(path); err != nil {
		return nil, err
	}
	s := &Shards{fs: o.FS}
	if s.fs == nil {
		s.fs = vfs.OS
	}
	for i := range o.count() {
		sh, err := createShard(s.fs, o.name(path, i), o.Header, FinalCompression(path, o))
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

// temporary is how the names of unfinished files begin. Find does not find them.
const temporary = ".leat-"

func createShard(fsys vfs.FS, path string, header []byte, c Compression) (*shard, error) {
	dir := filepath.Dir(path)
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, cannotWrite(path, err)
	}
	sh := &shard{fs: fsys, path: path, temp: filepath.Join(dir, fmt.Sprintf("%s%016x.part", temporary, rand.Uint64()))}
	var err error
	if sh.file, err = fsys.Create(sh.temp); err != nil {
		return nil, cannotWrite(path, err)
	}
	if err := sh.compress(c); err != nil {
		return nil, errors.Join(cannotWrite(path, err), sh.abort())
	}
	if _, err := sh.Write(header); err != nil {
		return nil, errors.Join(err, sh.abort())
	}
	return sh, nil
}

// cannotWrite says why a file cannot be written, and what helps.
func cannotWrite(path string, err error) error {
	hint := "Check the folder and its disk, or write to another one."
	switch {
	case errors.Is(err, errFolder):
		hint = "Choose another path, or remove the folder."
	case errors.Is(err, fs.ErrPermission):
		hint = "Choose a folder that you may write to."
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "Free space on that disk, or write to another one."
	case errors.Is(err, syscall.EROFS):
		hint = "That disk can only be read: write to another one."
	case errors.Is(err, syscall.EMFILE):
		hint = "Lower num_shards, or raise the limit of open files (ulimit -n)."
	}
	return &catalog.Problem{Key: "path", Code: diag.CannotWrite, Text: fmt.Sprintf("cannot write %q: %v", path, cause(err)), Hint: hint}
}

func (s *shard) compress(c Compression) error {
	s.finish = func() error { return nil }
	counted := (*countedWriter)(s)
	switch c {
	case Gzip:
		z := gzip.NewWriter(counted)
		s.w, s.finish = z, z.Close
	case Zstd:
		z, err := zstd.NewWriter(counted, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		s.w, s.finish = z, z.Close
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

// Write appends to the file. An error is a *catalog.Problem, and stays: a file with a gap is never completed. The
// caller holds mu.
func (s *shard) Write(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	n, err := s.w.Write(p)
	if err != nil {
		s.failed = cannotWrite(s.path, err)
	}
	return n, s.failed
}

// Write appends whole records to one of the shards. It may be called by several workers at once; p is not kept.
func (s *Shards) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	sh := s.shards[int(s.turn.Add(1)-1)%len(s.shards)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, err := sh.Write(p)
	return err
}

// Container returns the writer of shard i, for a format that writes a file as a whole, and its lock.
func (s *Shards) Container(i int) (io.Writer, sync.Locker) { return s.shards[i], &s.shards[i].mu }

// Len returns the number of shards.
func (s *Shards) Len() int { return len(s.shards) }

// Verify completes the temporary files: after it, only a rename is left.
func (s *Shards) Verify(ctx context.Context) error {
	for _, sh := range s.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sh.complete(); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) complete() error {
	if s.state != writing || s.failed != nil {
		return s.failed
	}
	err := s.finish()
	if err == nil {
		err = s.file.Sync()
	}
	if closing := s.file.Close(); err == nil {
		err = closing
	}
	s.state = complete
	if err != nil {
		s.failed = cannotWrite(s.path, err)
	}
	return s.failed
}

// Commit gives the files their final names, replacing files of those names. Shards of an earlier run with another
// number of shards stay, as in Beam. Where one shard cannot get its name, or the names may not outlast a crash, those
// that had got theirs are removed, so that no part of an output is taken for the whole.
func (s *Shards) Commit(ctx context.Context) (catalog.Written, error) {
	var w catalog.Written
	if err := s.Verify(ctx); err != nil {
		return w, err
	}
	for _, sh := range s.shards {
		if err := s.fs.Rename(sh.temp, sh.path); err != nil {
			return catalog.Written{}, errors.Join(cannotWrite(sh.path, err), s.undo())
		}
		sh.state = final
		w.Files = append(w.Files, sh.path)
		w.Bytes += sh.bytes
	}
	synced := ""
	for _, sh := range s.shards { // a template with a slash gives shards different folders
		dir := filepath.Dir(sh.path)
		if dir == synced {
			continue
		}
		if err := s.fs.SyncDir(dir); err != nil {
			return catalog.Written{}, errors.Join(cannotWrite(sh.path, err), s.undo())
		}
		synced = dir
	}
	return w, nil
}

// undo removes everything, committed shards included.
func (s *Shards) undo() error {
	var errs []error
	for _, sh := range s.shards {
		if sh.state == final {
			sh.state = gone
			errs = append(errs, s.fs.Remove(sh.path))
		}
	}
	return errors.Join(append(errs, s.Abort())...)
}

// Abort removes what has not been committed. It may be called more than once.
func (s *Shards) Abort() error {
	var errs []error
	for _, sh := range s.shards {
		errs = append(errs, sh.abort())
	}
	return errors.Join(errs...)
}

func (s *shard) abort() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == final || s.state == gone {
		return nil
	}
	if s.state == writing {
		s.file.Close() // what could not be written is thrown away
	}
	s.state, s.failed = gone, fmt.Errorf("%q has been given up", s.path)
	if err := s.fs.Remove(s.temp); err != nil {
		return fmt.Errorf("cannot remove the unfinished file %q: %w", s.temp, cause(err))
	}
	return nil
}

// FlushBytes is how much an encoder gathers before it hands it to its shard.
const FlushBytes = 256 << 10
