package avro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

const beamIO = "https://beam.apache.org/releases/yamldoc/current/"

// ReadFromAvro reads Avro object container files.
var ReadFromAvro = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromAvro",
	Summary: "Reads rows from Avro files.",
	Doc: `The fields are those of the files' schema: int and long are int, float and double are float, records are rows, enums are
strings, fixed is bytes. A union with null may be null; a union of several types is of any type, and so is a record within itself. Files whose
schemas differ give the fields of all; a field that a file lacks is null.

**Time**: timestamps of any unit are timestamps, floored to milliseconds. Dates and times of the day are strings as ISO 8601 has them. A decimal of up to 15 digits is a
float, which prints the same digits; a longer one is a string, so that no digit is lost. Rows have no event time; see AssignTimestamps.

**Errors**: a record with a string that is not UTF-8 is an error record. Where a block cannot be decompressed or ends within a record, the
rest of that block is one error record that names the file, the block's byte and the record's number. Damage between blocks fails the job.

` + file.WatchDoc + `

**Cost**: one pass; blocks are decoded in parallel, and only the fields that the pipeline uses. Codecs: null, deflate, snappy, zstandard.`,
	Source: beamIO + "#readfromavro",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as data/*.avro."},
		file.WatchField(),
	},
	Example: `# Run the example of WriteToAvro first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromAvro
      config:
        path: readings.avro*
# Expected:
#  Row(device='pump-1', celsius=61.5, tags=['a', 'b'])
#  Row(device='pump-2', celsius=None, tags=[])
`,
	Open: func(config map[string]any) (catalog.Source, error) {
		in, err := file.FindInput(config, false)
		return &source{in}, err
	},
})

// source is ReadFromAvro with its files found.
type source struct{ file.Input }

// maxSchemaFiles limits how many files a schema is made of.
const maxSchemaFiles = 64

// Schema returns the fields of the files.
func (s *source) Schema(ctx context.Context) (column.Schema, error) {
	if err := s.Sampled("Put a file there before: its schema is that of the rows."); err != nil {
		return nil, err
	}
	all := column.NullType
	for i, path := range s.Paths {
		if i == maxSchemaFiles {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := open(path, nil)
		if err != nil {
			return nil, problemOf(err)
		}
		t := c.schema.typ
		if err := c.stream.Close(); err != nil {
			return nil, err
		}
		if i == 0 {
			all = t
		} else {
			all = column.Unify(all, t)
		}
	}
	return all.Fields, nil
}

// problemOf makes a failure of reading one of checking.
func problemOf(err error) error {
	var f *diag.Failure
	if !errors.As(err, &f) {
		return err
	}
	return &catalog.Problem{Key: "path", Code: diag.BadFile, Text: fmt.Sprintf("cannot read %q: %v", f.Origin, f.Err), Hint: f.Hint}
}

func open(path string, done *atomic.Int64) (*container, error) {
	return openContainer(path, func() (*file.Stream, error) { return file.OpenStream(path, file.None, done) })
}

// Open begins reading the named fields.
func (s *source) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	_, total := file.OpenLines(s.Input, file.None, nil).Progress()
	return &reader{Cursor: file.NewCursor(s.Input), fields: fields, total: total}, nil
}

// reader hands out blocks.
type reader struct {
	*file.Cursor
	fields column.Schema
	file   *container
	done   atomic.Int64
	total  int64
}

// piece is the Part of a morsel: blocks of one file.
type piece struct {
	*header
	blocks []block
}

// Next fills m with whole blocks, compressed.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	for {
		if r.file == nil {
			if err := r.open(ctx); err != nil {
				return err
			}
		}
		p := &piece{header: r.file.header}
		m.File, m.Line, m.Part, m.Data = r.file.header.file, 0, p, m.Data[:0]
		done := false
		for len(m.Data) < file.MorselBytes {
			data, b, err := r.file.next(m.Data)
			if m.Data = data; errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				return err
			}
			p.blocks = append(p.blocks, b)
		}
		r.Mark(m, r.file.r.n, r.file.records, done)
		if done {
			if err := r.closeFile(); err != nil {
				return err
			}
		}
		if len(p.blocks) > 0 {
			return nil
		}
	}
}

func (r *reader) open(ctx context.Context) error {
	path, at, records, err := r.Cursor.Open(ctx)
	if err != nil {
		return err
	}
	c, err := open(path, &r.done)
	if err != nil {
		return err
	}
	r.file = c
	if at > 0 {
		if err := c.skip(at, records); err != nil {
			return err
		}
	}
	if err := fits(r.fields, c.schema); err != nil {
		return errors.Join(&diag.Failure{Code: diag.TypeMismatch, Origin: path, Err: err,
			Hint: "The files of a pattern must have schemas that go together; read them apart, and Flatten them."}, r.closeFile())
	}
	return nil
}

// fits reports whether the wanted fields can be read from records of a file.
func fits(wanted column.Schema, n *node) error {
	for _, f := range wanted {
		i := n.typ.Fields.Index(f.Name)
		if i < 0 {
			if !f.Type.MayBeNull() {
				return fmt.Errorf("the file has no field %q", f.Name)
			}
			continue
		}
		if have := n.typ.Fields[i].Type; !column.Holds(f.Type, have) {
			return fmt.Errorf("field %q is %s in the file, wanted %s", f.Name, have, f.Type)
		}
	}
	return nil
}

// Progress returns the bytes of files read and to read.
func (r *reader) Progress() (done, total int64) { return r.done.Load(), r.total }

// Close closes the file that is open, and what the cursor keeps.
func (r *reader) Close() error { return errors.Join(r.closeFile(), r.Cursor.Close()) }

func (r *reader) closeFile() error {
	if r.file == nil {
		return nil
	}
	err := r.file.stream.Close()
	r.file = nil
	return err
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder {
	d := &decoder{fields: r.fields, outs: make([]*output, len(r.fields)), cols: make([]*column.Vector, len(r.fields))}
	for i, f := range r.fields {
		d.outs[i] = newOutput(f.Type)
	}
	return d
}

// decoder reads blocks into the columns that are wanted.
type decoder struct {
	fields column.Schema
	outs   []*output
	cols   []*column.Vector
	expand expander

	header *header
	plan   []int // for each field of the file its place among the wanted ones, or -1
	absent []int // wanted fields that the file lacks

	n      int
	rows   []int32
	origin *column.Origin
}

// maxBatchBytes limits what the columns of a batch take.
const maxBatchBytes = 16 << 20

// Decode passes the records of m on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	p := m.Part.(*piece)
	d.bind(p.header)
	d.origin = &column.Origin{File: m.File}
	d.reset()
	row := int32(0)
	for _, b := range p.blocks {
		if err := d.block(ctx, p, b, m.Data[b.from:b.to], &row, out); err != nil {
			return err
		}
	}
	return d.flush(ctx, out)
}

func (d *decoder) bind(h *header) {
	if d.header == h {
		return
	}
	d.header, d.plan, d.absent = h, d.plan[:0], d.absent[:0]
	for _, name := range h.schema.names {
		d.plan = append(d.plan, d.fields.Index(name))
	}
	for i, f := range d.fields {
		if h.schema.typ.Fields.Index(f.Name) < 0 {
			d.absent = append(d.absent, i)
		}
	}
}

// block reads the records of one block, which are numbered from row on.
func (d *decoder) block(ctx context.Context, p *piece, b block, data []byte, row *int32, out catalog.Out) error {
	bad := func(record []byte, i int64, err error) error {
		return out.Bad(catalog.BadRecord{Record: record, File: p.file, Row: *row,
			Msg: fmt.Sprintf("record %d, in the block at byte %d: %v", b.first+i, b.at, err)})
	}
	expanded, err := d.expand.expand(p.codec, data)
	if err != nil {
		err = bad(data, 0, fmt.Errorf("the block of %d records cannot be decompressed: %w", b.records, err))
		*row++
		return err
	}
	c := cursor{data: expanded}
	for i := range b.records {
		from := c.pos
		c.depth = 0
		d.record(&c)
		switch {
		case c.err != nil:
			d.trim()
			err := bad(expanded[from:], i, fmt.Errorf("%w; the rest of the block is lost", c.err))
			*row++
			return err
		case c.fault != nil:
			d.trim()
			if err := bad(expanded[from:c.pos], i, c.fault); err != nil {
				return err
			}
			c.fault = nil
		default:
			d.n++
			d.rows = append(d.rows, *row)
		}
		*row++
		if d.n == out.BatchRows() || d.n&0xff == 0xff && d.size() > maxBatchBytes {
			if err := d.flush(ctx, out); err != nil {
				return err
			}
		}
	}
	if c.pos != len(expanded) {
		return bad(expanded[c.pos:], b.records, errors.New("bytes are left after the last record"))
	}
	return nil
}

func (d *decoder) record(c *cursor) {
	for i, child := range d.header.schema.children {
		if at := d.plan[i]; at >= 0 {
			child.read(c, d.outs[at])
		} else {
			child.skip(c)
		}
	}
	for _, i := range d.absent {
		d.outs[i].null()
	}
}

func (d *decoder) trim() {
	for _, o := range d.outs {
		o.trim(d.n)
	}
}

func (d *decoder) size() int {
	n := 0
	for _, o := range d.outs {
		n += o.size()
	}
	return n
}

func (d *decoder) reset() {
	d.n, d.rows = 0, d.rows[:0]
	for _, o := range d.outs {
		o.reset()
	}
}

func (d *decoder) flush(ctx context.Context, out catalog.Out) error {
	if d.n == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, o := range d.outs {
		d.cols[i] = o.finish()
	}
	err := out.Batch(&column.Batch{N: d.n, Cols: d.cols, Origin: d.origin, Rows: d.rows})
	d.reset()
	return err
}
