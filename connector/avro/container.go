package avro

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// Limits of a container.
const (
	maxHeaderBytes = 16 << 20
	maxBlockBytes  = 256 << 20 // of one block, compressed or not
)

var magic = []byte("Obj\x01")

const syncBytes = 16

// header is the beginning of a file.
type header struct {
	file   string
	codec  string
	schema *node
	sync   [syncBytes]byte
}

// countingReader counts the bytes read from a file, so that a fault has an offset.
type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// corrupt is a failure that names a file and an offset within it.
func corrupt(path string, at int64, format string, args ...any) error {
	return &diag.Failure{Class: diag.Corrupt, Code: diag.BadRecord, Origin: path, Err: fmt.Errorf("byte %d: %w", at, fmt.Errorf(format, args...)),
		Hint: "The file is damaged, or was not written to its end: write it again."}
}

// readHeader reads the beginning of a file.
func readHeader(path string, r *countingReader) (*header, error) {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r, start); err != nil || !bytes.Equal(start, magic) {
		return nil, corrupt(path, 0, "it is no Avro container file: it does not begin with \"Obj\" and 1")
	}
	meta, err := readMeta(r)
	if err != nil {
		return nil, corrupt(path, r.n, "the header cannot be read: %w", ended(err))
	}
	h := &header{file: path, codec: string(meta["avro.codec"])}
	if _, err := io.ReadFull(r, h.sync[:]); err != nil {
		return nil, corrupt(path, r.n, "the header cannot be read: %w", ended(err))
	}
	if !knownCodec(h.codec) {
		return nil, corrupt(path, 0, "its codec is %q; null, deflate, snappy and zstandard can be read", h.codec)
	}
	h.schema, err = parseSchema(meta["avro.schema"])
	if err != nil {
		return nil, corrupt(path, 0, "%w", err)
	}
	return h, nil
}

func knownCodec(codec string) bool {
	switch codec {
	case "", "null", "deflate", "snappy", "zstandard":
		return true
	}
	return false
}

// ended calls the end of a file by its name.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends")
	}
	return err
}

// readMeta reads the map of strings to bytes of a header.
func readMeta(r *countingReader) (map[string][]byte, error) {
	meta := map[string][]byte{}
	for {
		n, err := readLong(r)
		if err != nil {
			return nil, err
		}
		if n < 0 {
			if _, err := readLong(r); err != nil {
				return nil, err
			}
			n = -n
		}
		if n <= 0 {
			return meta, nil
		}
		for ; n > 0; n-- {
			key, err := readBytes(r)
			if err != nil {
				return nil, err
			}
			if meta[string(key)], err = readBytes(r); err != nil {
				return nil, err
			}
			if r.n > maxHeaderBytes {
				return nil, fmt.Errorf("it is longer than %d MiB", maxHeaderBytes>>20)
			}
		}
	}
}

func readLong(r io.ByteReader) (int64, error) {
	u, err := binary.ReadUvarint(r)
	return int64(u>>1) ^ -int64(u&1), err
}

func readBytes(r *countingReader) ([]byte, error) {
	n, err := readLong(r)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxHeaderBytes {
		return nil, fmt.Errorf("a text is %d bytes long", n)
	}
	return readN(r, nil, n)
}

// readN appends n bytes to dst. Memory grows with what is there, not with what is promised.
func readN(r io.Reader, dst []byte, n int64) ([]byte, error) {
	const step = 1 << 20
	for n > 0 {
		k, from := min(n, step), len(dst)
		dst = append(dst, make([]byte, k)...)
		if _, err := io.ReadFull(r, dst[from:]); err != nil {
			return dst, err
		}
		n -= k
	}
	return dst, nil
}

// block is a run of records within a morsel's data, compressed.
type block struct {
	records  int64
	from, to int
	at       int64 // byte of the file
	first    int64 // number of its first record within the file
}

// container reads the blocks of one file.
type container struct {
	*header
	stream  *file.Stream
	r       countingReader
	records int64
}

// openContainer opens a file and reads its header.
func openContainer(path string, open func() (*file.Stream, error)) (*container, error) {
	stream, err := open()
	if err != nil {
		return nil, err
	}
	c := &container{stream: stream, r: countingReader{r: bufio.NewReaderSize(stream, 1<<18)}}
	if c.header, err = readHeader(path, &c.r); err != nil {
		stream.Close()
		return nil, err
	}
	return c, nil
}

// skip passes over the blocks before a byte of the file, which hold so many records.
func (c *container) skip(at, records int64) error {
	if _, err := io.CopyN(io.Discard, &c.r, at-c.r.n); err != nil {
		return corrupt(c.file, c.r.n, "what comes before byte %d cannot be read: %w", at, ended(err))
	}
	c.records = records
	return nil
}

// next appends the next block to data, or returns io.EOF.
func (c *container) next(data []byte) ([]byte, block, error) {
	b := block{at: c.r.n, from: len(data), first: c.records}
	fail := func(err error) ([]byte, block, error) {
		return data, b, corrupt(c.file, b.at, "the block cannot be read: %w", ended(err))
	}
	var err error
	if b.records, err = readLong(&c.r); err != nil {
		if errors.Is(err, io.EOF) && c.r.n == b.at {
			return data, b, io.EOF
		}
		return fail(err)
	}
	size, err := readLong(&c.r)
	if err != nil {
		return fail(err)
	}
	if b.records < 0 || size < 0 || size > maxBlockBytes {
		return fail(fmt.Errorf("it claims %d records in %d bytes", b.records, size))
	}
	if data, err = readN(&c.r, data, size); err != nil {
		return fail(err)
	}
	b.to = len(data)
	var sync [syncBytes]byte
	if _, err := io.ReadFull(&c.r, sync[:]); err != nil {
		return fail(err)
	}
	if sync != c.sync {
		return fail(errors.New("it does not end in the file's marker"))
	}
	c.records += b.records
	return data, b, nil
}

// expander decompresses blocks. Each worker has its own.
type expander struct {
	flate io.ReadCloser
	zstd  *zstd.Decoder
	buf   bytes.Buffer
	out   []byte
}

func (e *expander) expand(codec string, data []byte) ([]byte, error) {
	switch codec {
	case "deflate":
		return e.inflate(data)
	case "snappy":
		return e.snappy(data)
	case "zstandard":
		if e.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlockBytes))
			if err != nil {
				return nil, err
			}
			e.zstd = d
		}
		var err error
		e.out, err = e.zstd.DecodeAll(data, e.out[:0])
		return e.out, err
	}
	return data, nil
}

func (e *expander) inflate(data []byte) ([]byte, error) {
	if e.flate == nil {
		e.flate = flate.NewReader(bytes.NewReader(data))
	} else if err := e.flate.(flate.Resetter).Reset(bytes.NewReader(data), nil); err != nil {
		return nil, err
	}
	e.buf.Reset()
	n, err := io.Copy(&e.buf, io.LimitReader(e.flate, maxBlockBytes+1))
	if err == nil && n > maxBlockBytes {
		err = errTooLarge
	}
	return e.buf.Bytes(), err
}

var errTooLarge = fmt.Errorf("it is larger than %d MiB", maxBlockBytes>>20)

// snappy expands a block, which a CRC of the expanded bytes follows.
func (e *expander) snappy(data []byte) ([]byte, error) {
	if len(data) < 4 {
		return nil, errors.New("it is too short")
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	n, err := snappy.DecodedLen(body)
	if err != nil {
		return nil, err
	}
	if n > maxBlockBytes {
		return nil, errTooLarge
	}
	if e.out, err = snappy.Decode(e.out[:cap(e.out)], body); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(e.out) != sum {
		return nil, errors.New("its checksum is wrong")
	}
	return e.out, nil
}

// appendHeader appends the beginning of a file.
func appendHeader(dst []byte, schema []byte, codec string, sync [syncBytes]byte) []byte {
	dst = append(dst, magic...)
	dst = appendLong(dst, 2)
	for _, s := range []string{"avro.schema", string(schema), "avro.codec", codec} {
		dst = appendText(dst, []byte(s))
	}
	dst = appendLong(dst, 0)
	return append(dst, sync[:]...)
}

func appendLong(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

func appendText(dst, text []byte) []byte {
	return append(appendLong(dst, int64(len(text))), text...)
}
