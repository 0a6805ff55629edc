package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// Limits of ReadFromFiles.
const (
	// DefaultFileBytes is the largest file that is read whole where max_bytes is not given.
	DefaultFileBytes = 64 << 20
	// MaxFileBytes is the largest max_bytes: a column of bytes can hold no more than 2 GiB.
	MaxFileBytes = 1 << 30
	// maxMorselFiles is how many files one worker takes at once: enough to fill a model's batch, few enough that a small
	// folder keeps several workers busy.
	maxMorselFiles = 32
	// maxMorselFileBytes limits the bytes of these files, where they are read. A larger file is a morsel of its own.
	maxMorselFileBytes = 4 << 20
)

// ReadFromFiles reads whole files.
var ReadFromFiles = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromFiles",
	Summary: "Reads whole files, such as images, a row each.",
	Doc: `A row has the fields path (as found: relative where path is), bytes (the content as it lies: nothing is decompressed), media_type (such as
image/png), size (in bytes) and modified (when the file was last written, a timestamp). Files are taken in the order of their paths.

**Files**: a folder stands for all files below it, without hidden ones (names that begin with a dot) and without following links to
folders; the pattern FOLDER/** finds the hidden ones, too. Archives are files like others and are not unpacked.

**Media types** go by the first 512 bytes, as the [MIME Sniffing Standard](https://mimesniff.spec.whatwg.org/) has it, and beyond it FLAC,
TIFF, AVIF, HEIF and M4A. What these leave open (plain text, XML, zip, Ogg, unknown bytes, an empty file) goes by the extension where that
fits; else it is application/octet-stream. There are no parameters such as charset.

**Time**: rows have no event time; see AssignTimestamps, which takes modified.

**Errors**: what cannot be read (no permission, gone since it was found, no regular file, changed meanwhile, larger than max_bytes, a path
that is not UTF-8) is an error record; its element is the path.

` + file.WatchDoc + `

**Cost**: files are read in parallel, a worker holding up to 4 MiB of small ones or one large one. Where nothing reads bytes, only the
first 512 bytes are read, for media_type; where nothing reads that either, files are not opened, and one without permission is a row.`,
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, a folder, or a pattern such as photos/*.jpg."},
		{Name: "max_bytes", Type: catalog.Integer, Default: "67108864", Doc: "The size of the largest file that is read; 64 MiB by default, 1 GiB at most."},
		file.WatchField(),
	},
	Example: `# Run the example of WriteToText first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromFiles
      config:
        path: greetings.txt*
    - type: MapToFields
      config:
        fields: {path: path, media_type: media_type, size: size}
# Expected:
#  Row(path='greetings.txt-00000-of-00001', media_type='text/plain', size=12)
`,
	Open: func(config map[string]any) (catalog.Source, error) {
		s := &filesSource{most: DefaultFileBytes}
		if n, ok := config["max_bytes"].(int64); ok {
			s.most = n
		}
		var errMost, err error
		if s.most < 1 || s.most > MaxFileBytes {
			errMost = problem("max_bytes", "wanted 1 to %d bytes, found %d", MaxFileBytes, s.most)
		}
		s.Input, err = file.ListInput(config)
		return s, errors.Join(err, errMost)
	},
})

// filesSource is ReadFromFiles with its files found.
type filesSource struct {
	file.Input
	most int64 // bytes of one file
}

// Schema returns the fields, which are always the same.
func (s *filesSource) Schema(context.Context) (column.Schema, error) {
	return column.Schema{
		{Name: "path", Type: column.StringType}, {Name: "bytes", Type: column.BytesType}, {Name: "media_type", Type: column.StringType},
		{Name: "size", Type: column.IntType}, {Name: "modified", Type: column.TimeType},
	}, nil
}

// Open begins reading. What the fields do not need of a file is not read.
func (s *filesSource) Open(ctx context.Context, fields column.Schema) (catalog.Reader, error) {
	r := &filesReader{filesSource: s, Cursor: file.NewCursor(s.Input), fields: fields, total: -1}
	switch {
	case fields.Index("bytes") >= 0:
		r.depth = readAllBytes
	case fields.Index("media_type") >= 0:
		r.depth = readHead
	}
	if s.Unbounded() {
		return r, nil
	}
	r.total = 0
	for _, path := range s.Paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.total += sizeOf(path)
	}
	return r, nil
}

// sizeOf returns the size of a regular file; 0 where it cannot be told.
func sizeOf(path string) int64 {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// readDepth is how much of a file is read.
type readDepth uint8

const (
	readNothing readDepth = iota
	readHead              // sniffBytes
	readAllBytes
)

// filesReader hands out runs of files. The Part of a morsel is a fileRun.
type filesReader struct {
	*filesSource
	*file.Cursor
	fields column.Schema
	depth  readDepth
	done   atomic.Int64
	total  int64
}

// fileRun is files that one worker reads.
type fileRun []oneFile

// oneFile is a file, and its size when reading began; 0 where it could not be told.
type oneFile struct {
	path string
	size int64
}

// Next fills m with the next files: those that are there at once, up to a limit.
func (r *filesReader) Next(ctx context.Context, m *catalog.Morsel) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := r.Cursor.Pass(ctx)
	if err != nil {
		return err
	}
	run := fileRun{{path, sizeOf(path)}}
	held := run[0].size
	for len(run) < maxMorselFiles {
		path, ok := r.Cursor.Peek()
		if !ok {
			break
		}
		size := sizeOf(path)
		held += size
		if r.depth == readAllBytes && held > maxMorselFileBytes {
			break
		}
		if _, err := r.Cursor.Pass(ctx); err != nil {
			return err
		}
		run = append(run, oneFile{path, size})
	}
	m.File, m.Line, m.Data, m.Part = "", 0, m.Data[:0], run
	r.Mark(m, 0, 0, true)
	return nil
}

// Progress returns the bytes of files done and to do, whether or not they have to be read.
func (r *filesReader) Progress() (done, total int64) { return r.done.Load(), r.total }

// Close closes what the cursor keeps: decoders open the files.
func (r *filesReader) Close() error { return r.Cursor.Close() }

// NewDecoder returns a decoder for one worker.
func (r *filesReader) NewDecoder() catalog.Decoder {
	d := &filesDecoder{r: r}
	all, _ := r.Schema(context.Background())
	d.path, d.bytes, d.media = column.Vector{Type: all[0].Type}, column.Vector{Type: all[1].Type}, column.Vector{Type: all[2].Type}
	d.size, d.modified = column.Vector{Type: all[3].Type}, column.Vector{Type: all[4].Type}
	for _, f := range r.fields {
		d.cols = append(d.cols, []*column.Vector{&d.path, &d.bytes, &d.media, &d.size, &d.modified}[all.Index(f.Name)])
	}
	return d
}

// filesDecoder makes all the columns that it can, and passes those on that are wanted.
type filesDecoder struct {
	r                                  *filesReader
	path, bytes, media, size, modified column.Vector
	cols                               []*column.Vector
	rows                               []int32
	head                               [sniffBytes]byte
}

// Decode reads the files of m and passes them on.
func (d *filesDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	run := m.Part.(fileRun)
	origin := &column.Origin{}
	if len(run) == 1 {
		origin.File = strings.ToValidUTF8(run[0].path, "\ufffd")
	}
	d.reset()
	for i, f := range run {
		if err := ctx.Err(); err != nil {
			return err
		}
		path, row := f.path, int32(i)
		err := d.add(path, row)
		d.r.done.Add(f.size)
		if err != nil {
			bad := catalog.BadRecord{Record: []byte(path), Msg: err.Error(), File: strings.ToValidUTF8(path, "\ufffd"), Row: row}
			if err := out.Bad(bad); err != nil {
				return err
			}
		}
		if len(d.rows) == out.BatchRows() || len(d.bytes.Data) > maxBatchText {
			if err := d.flush(origin, out); err != nil {
				return err
			}
		}
	}
	return d.flush(origin, out)
}

// add appends a file to the columns, or nothing where it cannot be read.
func (d *filesDecoder) add(path string, row int32) error {
	if !utf8.ValidString(path) {
		return errors.New("the path is not UTF-8: rename the file to read it")
	}
	held := len(d.bytes.Data)
	content, info, err := d.read(path)
	if err != nil {
		d.bytes.Data = d.bytes.Data[:held]
		return err
	}
	size := info.Size()
	if d.r.depth == readAllBytes {
		size = int64(len(content)) // files of /proc say 0
	}
	appendText(&d.path, path)
	appendText(&d.media, mediaType(path, content))
	d.bytes.Offsets = append(d.bytes.Offsets, int32(len(d.bytes.Data)))
	d.size.Ints = append(d.size.Ints, size)
	d.modified.Ints = append(d.modified.Ints, int64(instantOf(info.ModTime())))
	d.rows = append(d.rows, row)
	return nil
}

func appendText(v *column.Vector, s string) {
	v.Data = append(v.Data, s...)
	v.Offsets = append(v.Offsets, int32(len(v.Data)))
}

// instantOf floors to milliseconds. File systems can hold times beyond the ends of event time.
func instantOf(t time.Time) column.Instant {
	switch {
	case t.Before(time.UnixMilli(int64(column.MinInstant))):
		return column.MinInstant
	case t.After(time.UnixMilli(int64(column.MaxInstant))):
		return column.MaxInstant
	}
	return column.Instant(t.UnixMilli())
}

// read reads of a file what is wanted: all of it, which it appends to the column of bytes, its head, or nothing.
func (d *filesDecoder) read(path string) (content []byte, info fs.FileInfo, err error) {
	info, err = os.Stat(path) // before it is opened, as to open a pipe waits for its writer
	if err != nil {
		return nil, nil, cannotRead(err)
	}
	switch size := info.Size(); {
	case info.IsDir():
		return nil, nil, errors.New("it is a folder: one that cannot be listed, or that took the place of a file")
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is a pipe, a device or a socket, wanted a regular file")
	case size > d.r.most:
		return nil, nil, fmt.Errorf("the file has %d bytes, more than the %d of max_bytes", size, d.r.most)
	case d.r.depth == readNothing:
		return nil, info, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, cannotRead(err)
	}
	defer f.Close()
	if d.r.depth == readHead {
		n, err := io.ReadFull(f, d.head[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, nil, cannotRead(err)
		}
		return d.head[:n], info, nil
	}
	from := len(d.bytes.Data)
	if d.bytes.Data, err = appendFile(d.bytes.Data, f, info.Size(), d.r.most); err != nil {
		return nil, nil, err
	}
	content = d.bytes.Data[from:]
	return content, info, unchanged(f, info, int64(len(content)))
}

// appendFile appends the content of a file to dst.
func appendFile(dst []byte, f io.Reader, size, most int64) ([]byte, error) {
	from := len(dst)
	dst = slices.Grow(dst, int(size)+1) // the byte more meets the end of the file
	for {
		n, err := f.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case int64(len(dst)-from) > most:
			return dst, fmt.Errorf("the file has more than the %d bytes of max_bytes", most)
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, cannotRead(err)
		case len(dst) == cap(dst):
			dst = slices.Grow(dst, sniffBytes)
		}
	}
}

// unchanged returns an error where a file of which n bytes have been read is not what it was before.
func unchanged(f *os.File, before fs.FileInfo, n int64) error {
	after, err := f.Stat()
	if err != nil {
		return cannotRead(err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || n != after.Size() && after.Size() > 0 {
		return errors.New("the file changed while it was read")
	}
	return nil
}

// cannotRead is an error of the system without the path, which a record names anyway.
func cannotRead(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("the file cannot be read: %w", err)
}

func (d *filesDecoder) reset() {
	if cap(d.bytes.Data) > 2*maxBatchText {
		d.bytes.Data = nil // what one large file took is not held for good
	}
	for _, v := range []*column.Vector{&d.path, &d.bytes, &d.media} {
		v.Data, v.Offsets = v.Data[:0], append(v.Offsets[:0], 0)
	}
	d.rows, d.size.Ints, d.modified.Ints = d.rows[:0], d.size.Ints[:0], d.modified.Ints[:0]
}

func (d *filesDecoder) flush(origin *column.Origin, out catalog.Out) error {
	if len(d.rows) == 0 {
		return nil
	}
	for _, v := range []*column.Vector{&d.path, &d.bytes, &d.media, &d.size, &d.modified} {
		v.N = len(d.rows)
	}
	err := out.Batch(&column.Batch{N: len(d.rows), Cols: d.cols, Origin: origin, Rows: d.rows})
	d.reset()
	return err
}
