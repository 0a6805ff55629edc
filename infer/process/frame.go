package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unsafe"

	"github.com/leat-project/leat/infer"
)

// kind says what a frame is.
type kind uint8

// The kinds of frame. Requests are answered by one frame with their number.
const (
	kindOpen   kind = iota + 1 // request: open the library
	kindLoad                   // request: load a graph
	kindRun                    // request: run it
	kindCancel                 // end the request with this number; not answered
	kindDone                   // answer
	kindError                  // answer
	kindLog                    // something to tell the user; belongs to no request
)

// A frame is a header, a head that says what it is about, and a payload of bulk data whose pieces are padded to words.
//
//	magic uint32, kind uint32, id uint64, length of the head uint64, length of the payload uint64; little-endian
const (
	magic      = 0x7461656c // "leat": anything else that is written to the pipe is told from a frame
	headerSize = 32
	wordSize   = 8
)

// maxHead is the most bytes that the head of a frame may have: enough for a million maps in a sequence.
const maxHead = 16 << 20

// maxBlind is how much memory is reserved for a payload on the word of its header. Beyond it, memory grows as data comes.
const maxBlind = 16 << 20

// smallPayload is the size up to which a frame is put together and written at once.
const smallPayload = 32 << 10

// message is a frame to be written. Its parts are used where they lie.
type message struct {
	head  []byte
	parts [][]byte
	size  int64 // of the parts, padded
}

// errTooLarge is the error for values beyond the limit.
var errTooLarge = fmt.Errorf("the tensors are beyond the limit of %d bytes", infer.MaxTensorBytes)

// add adds a part to the payload.
func (m *message) add(part []byte) error {
	if len(part) == 0 {
		return nil
	}
	padded := (int64(len(part)) + wordSize - 1) / wordSize * wordSize
	if padded > infer.MaxTensorBytes-m.size {
		return errTooLarge
	}
	m.size += padded
	m.parts = append(m.parts, part)
	return nil
}

// check reports whether the message can be sent.
func (m *message) check() error {
	if len(m.head) > maxHead {
		return fmt.Errorf("the description of the values takes %d bytes, which is beyond the limit of %d; use fewer rows in a batch", len(m.head), maxHead)
	}
	return nil
}

// frame is a frame that was read.
type frame struct {
	kind    kind
	id      uint64
	head    []byte
	payload []byte // at a word's boundary
}

// pipe reads and writes frames. One goroutine may read, one may write at a time.
type pipe struct {
	in      *bufio.Reader
	out     io.Writer
	scratch []byte    // of the writer
	buffers sync.Pool // of payloads: *[]uint64
}

func newPipe(in io.Reader, out io.Writer) *pipe {
	return &pipe{in: bufio.NewReaderSize(in, smallPayload), out: out}
}

// write writes a frame that was checked. Small ones take one call of the system.
func (p *pipe) write(k kind, id uint64, m *message) error {
	b := binary.LittleEndian.AppendUint32(p.scratch[:0], magic)
	b = binary.LittleEndian.AppendUint32(b, uint32(k))
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(m.head)))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size))
	b = append(b, m.head...)
	for _, part := range m.parts {
		if len(part) > smallPayload {
			if err := p.flush(b); err != nil {
				return err
			}
			if err := p.flush(part); err != nil {
				return err
			}
			b = b[:0]
		} else {
			b = append(b, part...)
		}
		b = append(b, make([]byte, -len(part)&(wordSize-1))...)
		if len(b) > smallPayload {
			if err := p.flush(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	p.scratch = b[:0]
	if cap(b) > maxBlind { // of an unusually long head
		p.scratch = nil
	}
	return p.flush(b)
}

func (p *pipe) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := p.out.Write(b)
	return err
}

// errDamaged is the error for bytes that are no frames.
var errDamaged = errors.New("wanted a frame, found other data")

// read reads a frame: io.EOF where there is none any more, an error that wraps errDamaged where there is something else. It takes
// memory for what was read, and maxBlind beyond it at most.
func (p *pipe) read() (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(p.in, header[:1]); err != nil {
		return frame{}, err
	}
	if _, err := io.ReadFull(p.in, header[1:]); err != nil {
		return frame{}, short(err)
	}
	k := binary.LittleEndian.Uint32(header[4:])
	head, payload := binary.LittleEndian.Uint64(header[16:]), binary.LittleEndian.Uint64(header[24:])
	switch {
	case binary.LittleEndian.Uint32(header[:]) != magic || k < uint32(kindOpen) || k > uint32(kindLog):
		return frame{}, fmt.Errorf("%w: %q", errDamaged, header[:])
	case head > maxHead || payload > uint64(infer.MaxTensorBytes) || payload%wordSize != 0:
		return frame{}, fmt.Errorf("%w: a head of %d bytes and a payload of %d", errDamaged, head, payload)
	}
	f := frame{kind: kind(k), id: binary.LittleEndian.Uint64(header[8:]), head: make([]byte, head)}
	if _, err := io.ReadFull(p.in, f.head); err != nil {
		return frame{}, short(err)
	}
	var err error
	f.payload, err = p.readPayload(int(payload))
	return f, err
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readPayload reads n bytes into memory that recycle takes back.
func (p *pipe) readPayload(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var b []byte
	if used, ok := p.buffers.Get().(*[]uint64); ok && len(*used)*wordSize >= n {
		b = bytesOf(*used)
	} else {
		b = bytesOf(make([]uint64, min(n, maxBlind)/wordSize))
	}
	for have := 0; ; {
		end := min(n, len(b))
		if _, err := io.ReadFull(p.in, b[have:end]); err != nil {
			return nil, short(err)
		}
		if end == n {
			return b[:n], nil
		}
		have = end
		grown := bytesOf(make([]uint64, min(n, 2*len(b))/wordSize))
		copy(grown, b)
		b = grown
	}
}

// recycle takes the memory of a payload back, which must not be used after it.
func (p *pipe) recycle(payload []byte) {
	if words := cap(payload) / wordSize; words > 0 {
		buffer := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(payload))), words)
		p.buffers.Put(&buffer)
	}
}

// bytesOf views words as bytes: memory that suits elements of every type.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*wordSize)
}
