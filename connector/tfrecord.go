package connector

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// A TFRecord file is a run of records: the length (8 bytes, little endian), its checksum (4), the bytes, their checksum
// (4). Checksums are CRC-32C, masked so that a record may itself hold records.
const (
	tfHeaderBytes = 12
	tfFooterBytes = 4
)

func maskedChecksum(b []byte) uint32 {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) // made once, at the first call
	return (sum>>15 | sum<<17) + 0xa282ead8
}

const tfCompressions = "AUTO, UNCOMPRESSED, GZIP, ZSTD, BZIP2"

// tfCompression reads the key compression_type, in any case of letters.
func tfCompression(config map[string]any) (file.Compression, error) {
	name, ok := config["compression_type"].(string)
	if !ok {
		return file.Auto, nil
	}
	c, ok := file.CompressionNames[strings.ToLower(name)]
	if !ok {
		return 0, &catalog.Problem{Key: "compression_type", Code: diag.BadValue, Text: fmt.Sprintf("no compression is named %q", name),
			Hint: "Known compressions: " + tfCompressions + "."}
	}
	return c, nil
}

// ReadFromTFRecord reads TFRecord files.
var ReadFromTFRecord = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromTFRecord",
	Summary: "Reads the records of TFRecord files, as bytes.",
	Doc: `A row has one field, record: the bytes of a record.

**Time**: rows have no event time; see AssignTimestamps.

**Errors**: a record whose bytes do not have their checksum, or that is longer than 256 MiB, is an error record. A length that does not have its checksum,
or a file that ends within a record, fails the job and names the file and the byte: what follows cannot be told apart.

**Cost**: one pass; checksums are computed in parallel.`,
	Source: beamIO + "#readfromtfrecord",
	Fields: []catalog.Field{
		{Name: "file_pattern", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as data/*.tfrecord."},
		{Name: "compression_type", Type: catalog.Text, Default: "AUTO", Doc: "How the files are compressed: " + tfCompressions + "; AUTO goes by the extension."},
		{Name: "validate", Type: catalog.Boolean, Default: "true", Doc: "Whether files must exist when the pipeline is checked."},
	},
	Example: `# Run the example of WriteToTFRecord first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromTFRecord
      config:
        file_pattern: names.tfrecord*
# Expected:
#  Row(record=b'ada')
#  Row(record=b'grace')
`,
	Open: func(config map[string]any) (catalog.Source, error) {
		s := &tfSource{}
		s.pattern, _ = config["file_pattern"].(string)
		var err error
		if s.compression, err = tfCompression(config); err != nil {
			return nil, err
		}
		if validate, ok := config["validate"].(bool); !ok || validate {
			s.paths, err = file.Find("file_pattern", s.pattern)
		}
		return s, err
	},
})

// tfSource is ReadFromTFRecord with its configuration understood.
type tfSource struct {
	pattern     string
	paths       []string // nil: not looked for yet
	compression file.Compression
}

// Schema returns the one field.
func (s *tfSource) Schema(context.Context) (column.Schema, error) {
	return column.Schema{{Name: "record", Type: column.BytesType}}, nil
}

// Open begins reading. Without the field, records are only counted.
func (s *tfSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	paths := s.paths
	if paths == nil {
		var err error
		if paths, err = file.Find("file_pattern", s.pattern); err != nil {
			return nil, err
		}
	}
	sizes := file.NewLines(paths, s.compression, nil) // for the total alone
	_, total := sizes.Progress()
	return &tfReader{paths: paths, compression: s.compression, columns: len(fields), total: total}, nil
}

// tfReader hands out runs of records, with headers and footers. The Part of a morsel is the byte of the file at which it begins.
type tfReader struct {
	paths       []string
	compression file.Compression
	columns     int
	next        int
	path        string
	stream      *file.Stream
	r           *bufio.Reader
	at          int64
	done        atomic.Int64
	total       int64
}

// maxTFRecordBytes limits a record.
const maxTFRecordBytes = 256 << 20

// Next fills m with whole records.
func (r *tfReader) Next(_ context.Context, m *catalog.Morsel) error {
	for {
		if r.stream == nil {
			if r.next == len(r.paths) {
				return io.EOF
			}
			if err := r.open(); err != nil {
				return err
			}
		}
		m.File, m.Line, m.Part, m.Data = r.path, 0, r.at, m.Data[:0]
		ended := false
		for len(m.Data) < file.MorselBytes && !ended {
			var err error
			if m.Data, ended, err = r.record(m.Data); err != nil {
				return err
			}
		}
		if ended {
			if err := r.Close(); err != nil {
				return err
			}
		}
		if len(m.Data) > 0 {
			return nil
		}
	}
}

func (r *tfReader) open() error {
	r.path = r.paths[r.next]
	r.next++
	stream, err := file.OpenStream(r.path, r.compression, &r.done)
	if err != nil {
		return err
	}
	r.stream, r.r, r.at = stream, bufio.NewReaderSize(stream, 1<<16), 0
	return nil
}

// record appends the next record with its header and footer to data.
func (r *tfReader) record(data []byte) (_ []byte, ended bool, err error) {
	var header [tfHeaderBytes]byte
	n, err := io.ReadFull(r.r, header[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return data, true, nil
	}
	if err != nil {
		return data, false, r.fault(err)
	}
	if maskedChecksum(header[:8]) != binary.LittleEndian.Uint32(header[8:]) {
		return data, false, r.fault(errors.New("the length of a record does not have its checksum"))
	}
	size := binary.LittleEndian.Uint64(header[:8])
	if size > maxTFRecordBytes {
		return data, false, r.fault(fmt.Errorf("a record of %d bytes is longer than %d MiB, the most that is read", size, maxTFRecordBytes>>20))
	}
	from := len(data)
	data = append(data, header[:]...)
	for need := int(size) + tfFooterBytes; need > 0; { // memory grows with what is there, not with what is promised
		step := min(need, 1<<20)
		at := len(data)
		data = append(data, make([]byte, step)...)
		if _, err := io.ReadFull(r.r, data[at:]); err != nil {
			return data, false, r.fault(err)
		}
		need -= step
	}
	r.at += int64(len(data) - from)
	return data, false, nil
}

// fault names the file and the byte at which the record begins.
func (r *tfReader) fault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends within a record")
	}
	var known *diag.Failure
	if errors.As(err, &known) {
		return err
	}
	return &diag.Failure{Class: diag.Corrupt, Code: diag.BadRecord, Origin: r.path, Err: fmt.Errorf("byte %d: %w", r.at, err),
		Hint: "The file is damaged, no TFRecord file, or compressed: see compression_type."}
}

// NewDecoder returns a decoder for one worker.
func (r *tfReader) NewDecoder() catalog.Decoder {
	d := &tfDecoder{record: column.Vector{Type: column.BytesType}}
	if r.columns > 0 {
		d.cols = []*column.Vector{&d.record}
	}
	return d
}

// Progress returns the bytes of files read and to read.
func (r *tfReader) Progress() (done, total int64) { return r.done.Load(), r.total }

// Close closes the file that is open.
func (r *tfReader) Close() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream = nil
	return err
}

type tfDecoder struct {
	record column.Vector
	cols   []*column.Vector // the record, or nothing
	rows   []int32
}

// Decode checks the records of m and passes them on.
func (d *tfDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	origin := &column.Origin{File: m.File}
	at, _ := m.Part.(int64)
	d.reset()
	for data, row := m.Data, int32(0); len(data) > 0; row++ {
		size := uint64(0)
		if len(data) >= tfHeaderBytes {
			size = binary.LittleEndian.Uint64(data)
		}
		if len(data) < tfHeaderBytes+tfFooterBytes || size > uint64(len(data)-tfHeaderBytes-tfFooterBytes) {
			return fmt.Errorf("%s: byte %d: a record is cut short", m.File, at)
		}
		record, footer := data[tfHeaderBytes:tfHeaderBytes+size], data[tfHeaderBytes+size:]
		data = footer[tfFooterBytes:]
		if maskedChecksum(record) != binary.LittleEndian.Uint32(footer) {
			bad := catalog.BadRecord{Record: record, File: m.File, Row: row, Msg: fmt.Sprintf("the record at byte %d does not have its checksum", at)}
			if err := out.Bad(bad); err != nil {
				return err
			}
		} else {
			d.put(record, row)
		}
		at += int64(tfHeaderBytes + size + tfFooterBytes)
		if len(d.rows) == out.BatchRows() || len(d.record.Data) > maxBatchText {
			if err := d.flush(ctx, origin, out); err != nil {
				return err
			}
		}
	}
	return d.flush(ctx, origin, out)
}

func (d *tfDecoder) put(record []byte, row int32) {
	if len(d.cols) > 0 {
		d.record.Data = append(d.record.Data, record...)
		d.record.Offsets = append(d.record.Offsets, int32(len(d.record.Data)))
	}
	d.rows = append(d.rows, row)
}

func (d *tfDecoder) reset() {
	d.rows, d.record.Data, d.record.Offsets = d.rows[:0], d.record.Data[:0], append(d.record.Offsets[:0], 0)
}

func (d *tfDecoder) flush(ctx context.Context, origin *column.Origin, out catalog.Out) error {
	if len(d.rows) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.record.N = len(d.rows)
	err := out.Batch(&column.Batch{N: len(d.rows), Cols: d.cols, Origin: origin, Rows: d.rows})
	d.reset()
	return err
}

// WriteToTFRecord writes TFRecord files.
var WriteToTFRecord = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToTFRecord",
	Summary: "Writes rows of one field of bytes to TFRecord files.",
	Doc: `The field is bytes, or a string, which is written as UTF-8.

**Nulls** fail the job: a record is bytes.

**Files**: PREFIX-SSSSS-of-NNNNNSUFFIX, under that name only when complete. The order of records is not promised.

` + file.RollDoc + ` PATH is PREFIX with SUFFIX.

**Cost**: one pass; workers make checksums in parallel.`,
	Source: beamIO + "#writetotfrecord",
	Fields: append([]catalog.Field{
		{Name: "file_path_prefix", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names."},
		{Name: "file_name_suffix", Type: catalog.Text, Default: `""`, Doc: "The end of the files' names."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write; 0 is 1."},
		{Name: "shard_name_template", Type: catalog.Text, Default: "-SSSSS-of-NNNNN", Doc: "How shards are numbered: runs of S are the number, runs of N how many there are."},
		{Name: "compression_type", Type: catalog.Text, Default: "AUTO", Doc: "How to compress: AUTO (by the names), UNCOMPRESSED, GZIP, ZSTD."},
	}, file.RollFields()...),
	Example: `pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{name: ada}, {name: grace}]
    - type: WriteToTFRecord
      config:
        file_path_prefix: names.tfrecord
`,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		return bindTFSink(config, env)
	},
	Check: func(_ map[string]any, schema column.Schema) error {
		if err := oneField(schema); err != nil {
			return err
		}
		if k := schema[0].Type.Kind; k != column.Bytes && k != column.String && k != column.Any {
			return &catalog.Problem{Code: diag.TypeMismatch, Text: fmt.Sprintf("wanted bytes or a string, field %q is %s", schema[0].Name, schema[0].Type),
				Hint: "Convert it before: str(…) or str(…).encode()."}
		}
		return nil
	},
})

// tfSink is WriteToTFRecord with its configuration understood.
type tfSink struct{ file.Target }

func bindTFSink(config map[string]any, env *catalog.SinkEnv) (*tfSink, error) {
	var o file.ShardOptions
	prefix, _ := config["file_path_prefix"].(string)
	o.Suffix, _ = config["file_name_suffix"].(string)
	template, given := config["shard_name_template"].(string)
	var errTemplate, errCompression error
	switch o.Template = template; {
	case given && template == "":
		errTemplate = &catalog.Problem{Key: "shard_name_template", Code: diag.Unsupported, Text: "files without a number cannot be written",
			Hint: "Leave the template out, or give one such as -SS-of-NN."}
	case given && template != file.DefaultTemplate && env != nil && env.Stream:
		errTemplate = &catalog.Problem{Key: "shard_name_template", Code: diag.Unsupported, Text: "\"shard_name_template\" is not for a stream: nobody knows how many files there will be",
			Hint: "Leave it out."}
	}
	o.Compression, errCompression = tfCompression(config)
	target, err := file.BindFiles(prefix, o, config, env)
	return &tfSink{target}, errors.Join(errTemplate, errCompression, err)
}

// Open begins writing.
func (s *tfSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if err := oneField(schema); err != nil {
		return nil, err
	}
	return s.Create(nil, func(out file.Output) catalog.Encoder { return &tfEncoder{file.NewGather(out)} })
}

type tfEncoder struct{ rows *file.Gather }

// Write appends the rows of b.
func (e *tfEncoder) Write(_ context.Context, b *column.Batch) error {
	v := b.Cols[0]
	var err error
	b.Each(func(i int) {
		if err != nil {
			return
		}
		var record []byte
		if v.IsNull(i) {
			err = errors.New("a record is null, wanted bytes")
			return
		}
		if v.Type.Kind == column.Bytes || v.Type.Kind == column.String {
			record = v.Bin(i)
		} else if record, err = recordBytes(v.Value(i)); err != nil {
			return
		}
		err = e.rows.End(appendTFRecord(e.rows.Begin(b, i), record))
	})
	return err
}

// recordBytes returns what a value of unknown type is as a record.
func recordBytes(v column.Value) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("a record is %s, wanted bytes", column.TypeOf(v))
}

func appendTFRecord(dst, record []byte) []byte {
	from := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(record)))
	dst = binary.LittleEndian.AppendUint32(dst, maskedChecksum(dst[from:]))
	dst = append(dst, record...)
	return binary.LittleEndian.AppendUint32(dst, maskedChecksum(record))
}

// Flush hands the records on.
func (e *tfEncoder) Flush(context.Context) error { return e.rows.Flush() }
