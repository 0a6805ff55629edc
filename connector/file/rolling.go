package file

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/leat-project/leat/internal/vfs"
)

// rolling is one open file of a Roll.
//
// What is added goes to memory, compressed, and from there to disk, so that a disk that is full for a while costs nothing but time.
type rolling struct {
	name   string // the final one
	path   string
	window int64
	opened time.Time
	file   vfs.File
	bytes  int64 // on disk
	c      Compression
	out    bytes.Buffer   // not on disk yet
	member io.WriteCloser // of a compressed file: what ends with the epoch
	whole  io.Closer      // of a format that has an end; nil: it has none, or it has been written
	pieces int            // that workers make of it
}

// add takes whole records. It cannot fail: they go to memory.
func (f *rolling) add(p []byte) {
	if len(p) == 0 {
		return
	}
	if f.c == None {
		f.out.Write(p)
		return
	}
	if f.member == nil {
		f.member = newMember(f.c, &f.out)
	}
	_, _ = f.member.Write(p) // to memory
}

// newMember begins a compressed member: a file is a run of them, each readable without the next.
func newMember(c Compression, to io.Writer) io.WriteCloser {
	if c == Gzip {
		return gzip.NewWriter(to)
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil { // only options can be wrong
		panic(err)
	}
	return z
}

// drain writes what is in memory. What could not be written stays there.
func (f *rolling) drain() error {
	for f.out.Len() > 0 {
		n, err := f.file.Write(f.out.Bytes())
		f.bytes += int64(n)
		f.out.Next(n)
		if err != nil {
			return cannotWrite(f.path, err)
		}
	}
	return nil
}

// flush ends the member and writes what is in memory: the file could end here.
func (f *rolling) flush() error {
	if f.member != nil {
		_ = f.member.Close() // to memory
		f.member = nil
	}
	return f.drain()
}

// end writes the end of a file whose format has one.
func (f *rolling) end() error {
	if f.whole == nil {
		return nil
	}
	err := f.whole.Close()
	f.whole = nil
	if err != nil {
		return cannotWrite(f.path, err)
	}
	return nil
}

// naming makes the names of a sink's files in a stream, and knows them again.
type naming struct {
	dir, stem, ext string
	known          *regexp.Regexp
}

// inProgress ends the names of files that are not committed.
const inProgress = ".inprogress"

// windowLayout is how a window's start stands in a name: without colons, which some file systems refuse.
const windowLayout = "2006-01-02T15-04-05Z"

func newNaming(path string) naming {
	n := naming{dir: filepath.Dir(path), stem: filepath.Base(path)}
	for range 2 { // .json.gz is one extension
		ext := filepath.Ext(n.stem)
		if ext == n.stem || n.ext != "" && ext == "" {
			break
		}
		if n.ext != "" && compressions[n.ext] == None {
			break
		}
		n.stem, n.ext = strings.TrimSuffix(n.stem, ext), ext+n.ext
	}
	n.known = regexp.MustCompile(`\A` + regexp.QuoteMeta(n.stem) + `-(?:-?\d{4,}-\d\d-\d\dT\d\d-\d\d-\d\dZ-)?(\d{5,})` + regexp.QuoteMeta(n.ext) + `\z`)
	return n
}

var compressions = map[string]Compression{".gz": Gzip, ".zst": Zstd, ".bz2": Bzip2}

// final returns the name of a file: the stem, its window where it has one, its part.
func (n naming) final(window, part int64) string {
	if window <= GlobalWindow {
		return fmt.Sprintf("%s-%05d%s", n.stem, part, n.ext)
	}
	return fmt.Sprintf("%s-%s-%05d%s", n.stem, time.UnixMilli(window).UTC().Format(windowLayout), part, n.ext)
}

// temp returns the hidden name of a file until it is committed. Find does not find it.
func (n naming) temp(final string) string { return temporary + final + inProgress }

// parse returns the part of a file of this sink, and whether it is not committed.
func (n naming) parse(name string) (part int64, temp, ok bool) {
	if rest, hidden := strings.CutPrefix(name, temporary); hidden {
		if name, temp = strings.CutSuffix(rest, inProgress); !temp {
			return 0, false, false
		}
	}
	found := n.known.FindStringSubmatch(name)
	if found == nil {
		return 0, false, false
	}
	part, err := strconv.ParseInt(found[1], 10, 64)
	return part, temp, err == nil
}
