package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// openRequest and loadRequest are the heads of requests, hello and signature those of their answers. Paths are bytes, since they
// need not be UTF-8.
type (
	openRequest struct {
		Path        []byte
		Preload     [][]byte
		MemoryLimit int64
	}
	hello struct {
		Version   string
		Providers []string
	}
	// loadRequest has the bytes of the graph as its payload, padded, if Path is empty.
	loadRequest struct {
		Name         string
		Path         []byte
		Size         int // of the graph, without the padding
		Threads      int
		Providers    []infer.Provider
		Fallback     bool
		Optimization infer.Level
		NoArena      bool
		Config       map[string]string
		Log          bool // somebody wants to hear
	}
	logEntry struct{ Level, Text string }
)

// failure is the head of an answer that is an error.
type failure struct {
	Text  string
	Cause *infer.Error // nil: there is none in it
}

func failureOf(err error) failure {
	f := failure{Text: err.Error()}
	errors.As(err, &f.Cause)
	return f
}

// remoteError is an error that came from a child.
type remoteError struct{ failure }

func (e *remoteError) Error() string { return e.Text }

// Unwrap returns what the runtime in the child said.
func (e *remoteError) Unwrap() error {
	if e.Cause == nil {
		return nil
	}
	return e.Cause
}

// The tags of values.
const (
	tagNone     = 0
	tagTensor   = 1 // element type, rank, dimensions, bytes in the payload
	tagSequence = 2 // number of elements, elements
	tagMap      = 3 // keys and values, two tensors
)

// maxDepth is how deep values may be nested. ONNX has sequences of maps at most.
const maxDepth = 8

func (m *message) count(n int) { m.head = binary.AppendUvarint(m.head, uint64(n)) }

// numbers adds a list of numbers; nil and the empty list are two things.
func (m *message) numbers(list []int) {
	if list == nil {
		m.count(0)
		return
	}
	m.count(len(list) + 1)
	for _, n := range list {
		m.head = binary.AppendVarint(m.head, int64(n))
	}
}

// value adds a value.
func (m *message) value(v infer.Value, depth int) error {
	switch v := v.(type) {
	case nil:
		m.head = append(m.head, tagNone)
		return nil
	case *infer.Tensor:
		return m.tensor(v)
	case *infer.Sequence:
		if depth == maxDepth {
			return fmt.Errorf("wanted sequences within at most %d others, found more", maxDepth-1)
		}
		m.head = append(m.head, tagSequence)
		m.count(len(v.Elems))
		for i, e := range v.Elems {
			if err := m.value(e, depth+1); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case *infer.Map:
		if v.Keys == nil || v.Values == nil {
			return errors.New("a map wants keys and values")
		}
		m.head = append(m.head, tagMap)
		if err := m.tensor(v.Keys); err != nil {
			return err
		}
		return m.tensor(v.Values)
	}
	return fmt.Errorf("wanted a tensor, a sequence or a map, found %T", v)
}

func (m *message) tensor(t *infer.Tensor) error {
	if t == nil {
		return errors.New("wanted a tensor, found nil")
	}
	if err := t.Check(); err != nil {
		return err
	}
	data := t.Data
	if t.DType == model.String {
		var err error
		if data, err = packStrings(t.Strings); err != nil {
			return err
		}
	}
	m.head = append(m.head, tagTensor, byte(t.DType))
	m.count(len(t.Shape))
	for _, d := range t.Shape {
		m.head = binary.AppendUvarint(m.head, uint64(d))
	}
	m.count(len(data))
	return m.add(data)
}

// packStrings puts strings one after another, each after its length.
func packStrings(list []string) ([]byte, error) {
	size := int64(0)
	for _, s := range list {
		size += int64(len(s)) + binary.MaxVarintLen32
	}
	if size > infer.MaxTensorBytes {
		return nil, errTooLarge
	}
	data := make([]byte, 0, size)
	for _, s := range list {
		data = append(binary.AppendUvarint(data, uint64(len(s))), s...)
	}
	return data, nil
}

// decoder reads the values of a frame. Tensors are views of the payload, strings are copies.
type decoder struct {
	head, payload []byte
	strings       int64 // that were read
}

// errHead is the error for a head that is not what it should be.
var errHead = fmt.Errorf("%w: the description of the values", errDamaged)

func (d *decoder) uvarint() (uint64, error) {
	v, n := binary.Uvarint(d.head)
	if n <= 0 {
		return 0, errHead
	}
	d.head = d.head[n:]
	return v, nil
}

// count reads how many things follow, each of which takes a byte at least.
func (d *decoder) count() (int, error) {
	n, err := d.uvarint()
	if err != nil || n > uint64(len(d.head)) {
		return 0, errHead
	}
	return int(n), nil
}

func (d *decoder) byte() (byte, error) {
	if len(d.head) == 0 {
		return 0, errHead
	}
	b := d.head[0]
	d.head = d.head[1:]
	return b, nil
}

// numbers reads what message.numbers wrote.
func (d *decoder) numbers() ([]int, error) {
	n, err := d.uvarint()
	if err != nil || n == 0 {
		return nil, err
	}
	if n-1 > uint64(len(d.head)) {
		return nil, errHead
	}
	list := make([]int, n-1)
	for i := range list {
		v, size := binary.Varint(d.head)
		if size <= 0 || int64(int(v)) != v {
			return nil, errHead
		}
		list[i], d.head = int(v), d.head[size:]
	}
	return list, nil
}

// values reads a list of values, up to the end of the frame.
func (d *decoder) values() ([]infer.Value, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	values, err := d.list(n, 0)
	if err == nil && len(d.head)+len(d.payload) > 0 {
		return nil, errHead
	}
	return values, err
}

func (d *decoder) list(n, depth int) ([]infer.Value, error) {
	values := make([]infer.Value, n)
	for i := range values {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func (d *decoder) value(depth int) (infer.Value, error) {
	tag, err := d.byte()
	if err != nil {
		return nil, err
	}
	switch tag {
	case tagNone:
		return nil, nil
	case tagTensor:
		return d.tensor()
	case tagSequence:
		n, err := d.count()
		if err != nil || depth == maxDepth {
			return nil, errHead
		}
		elems, err := d.list(n, depth+1)
		return &infer.Sequence{Elems: elems}, err
	case tagMap:
		var parts [2]*infer.Tensor
		for i := range parts {
			if tag, err := d.byte(); err != nil || tag != tagTensor {
				return nil, errHead
			}
			if parts[i], err = d.tensor(); err != nil {
				return nil, err
			}
		}
		return &infer.Map{Keys: parts[0], Values: parts[1]}, nil
	}
	return nil, errHead
}

// tensor reads a tensor after its tag.
func (d *decoder) tensor() (*infer.Tensor, error) {
	dtype, err := d.byte()
	if err != nil {
		return nil, err
	}
	rank, err := d.count()
	if err != nil {
		return nil, err
	}
	t := &infer.Tensor{DType: model.DType(dtype), Shape: make([]int64, rank)}
	for i := range t.Shape {
		v, err := d.uvarint()
		if err != nil || v > math.MaxInt64 {
			return nil, errHead
		}
		t.Shape[i] = int64(v)
	}
	size, err := d.uvarint()
	if err != nil || size > uint64(len(d.payload)) {
		return nil, errHead
	}
	if size > 0 {
		padded := (size + wordSize - 1) / wordSize * wordSize // within the payload, which is padded as well
		t.Data, d.payload = d.payload[:size:size], d.payload[padded:]
	}
	if t.DType == model.String {
		if err := d.unpackStrings(t); err != nil {
			return nil, err
		}
	}
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return t, nil
}

// maxStrings is how many strings the tensors of a frame may have: in memory, a string takes two words besides its bytes.
const maxStrings = infer.MaxTensorBytes / (2 * wordSize)

// unpackStrings makes strings of a tensor's data.
func (d *decoder) unpackStrings(t *infer.Tensor) error {
	data, all := t.Data, string(t.Data)
	t.Data = nil
	n := t.Len()
	d.strings += max(n, 0)
	if n < 0 || n > int64(len(data)) || d.strings > maxStrings {
		return errHead
	}
	t.Strings = make([]string, n)
	at := 0
	for i := range t.Strings {
		size, width := binary.Uvarint(data[at:])
		if width <= 0 || size > uint64(len(data)-at-width) {
			return errHead
		}
		at += width + int(size)
		t.Strings[i] = all[at-int(size) : at]
	}
	if at != len(data) {
		return errHead
	}
	return nil
}

// jsonMessage makes a message whose head is JSON.
func jsonMessage(v any) (*message, error) {
	head, err := json.Marshal(v)
	return &message{head: head}, err
}
