package task

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// sound is an input that is fed from sound files.
type sound struct {
	input int // within the graph
	rate  int64
}

// MaxSamples is how many samples of sound a row may have: some 13 hours at 16 kHz.
const MaxSamples = 1 << 29

func (m *tensorModel) readSound(s *Setup) error {
	config, ok := s.Config["audio"].(map[string]any)
	if !ok {
		return nil
	}
	name, _ := config["input"].(string)
	rate, _ := config["rate"].(int64)
	k := slices.IndexFunc(m.graph.Inputs, func(v model.ValueInfo) bool { return v.Name == name })
	if k < 0 || rate < 1 || !m.graph.Inputs[k].DType.IsFloat() {
		return &catalog.Problem{Key: "audio", Code: diag.BadValue, Text: fmt.Sprintf("wanted {input, rate}, the input one of %v that takes floats, found %v", names(m.graph.Inputs), config)}
	}
	m.audio = &sound{input: k, rate: rate}
	return nil
}

// readConstants reads the inputs that are the same for all rows.
func (m *tensorModel) readConstants(s *Setup) error {
	given, _ := s.Config["constants"].(map[string]any)
	m.constants = map[int]*infer.Tensor{}
	for name, v := range given {
		k := slices.IndexFunc(m.graph.Inputs, func(v model.ValueInfo) bool { return v.Name == name })
		if k < 0 {
			return &catalog.Problem{Key: "constants", Code: diag.BadValue, Text: fmt.Sprintf("the graph has no input %q", name), Hint: diag.DidYouMean(name, "inputs", names(m.graph.Inputs))}
		}
		t, err := constant(&m.graph.Inputs[k], v)
		if err != nil {
			return &catalog.Problem{Key: "constants", Code: diag.BadValue, Text: err.Error()}
		}
		if slices.ContainsFunc(m.states, func(r remembered) bool { return r.input == k }) {
			return &catalog.Problem{Key: "constants", Code: diag.BadValue, Text: fmt.Sprintf("the input %q is one of \"state\"", name)}
		}
		m.constants[k] = t
	}
	return nil
}

// constant makes a tensor of a number, a string, or nested lists of them.
func constant(info *model.ValueInfo, v any) (*infer.Tensor, error) {
	f := &feed{info: info}
	var e elements
	e.reset(info.DType)
	boxed := boxedConstant(v)
	if err := f.appendBoxed(&e, boxed, info.Name); err != nil {
		return nil, err
	}
	shape := boxedNesting(boxed)
	if len(shape) == 0 && len(info.Shape) > 0 && !slices.ContainsFunc(info.Shape, func(n int64) bool { return n > 1 }) {
		shape = slices.Repeat([]int64{1}, len(info.Shape)) // a number for [1] or [batch]
	}
	if info.Shape != nil && len(shape) != len(info.Shape) || infer.Elements(shape) != int64(e.len()) {
		return nil, fmt.Errorf("the input %q is %s, found %v", info.Name, info, v)
	}
	return e.tensor(shape).Clone(), nil
}

func boxedConstant(v any) column.Value {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	out := &column.ListValue{}
	for _, e := range list {
		out.Elems = append(out.Elems, boxedConstant(e))
	}
	return out
}

// cut makes items of a row: of a sound, or of an input that is run in pieces.
func (w *tensorWork) cut(row int) error {
	m := w.m
	at := -1
	switch {
	case m.chunk != nil:
		at = m.chunk.input
	case m.audio != nil:
		at = m.audio.input
	}
	k := slices.IndexFunc(m.feeds, func(f *feed) bool { return f.at == at })
	if k < 0 || len(m.feeds[k].cols) != 1 {
		return fmt.Errorf("the input that is cut has to be fed from one column")
	}
	f := m.feeds[k]
	samples, err := w.samples(f, row)
	if err != nil {
		return err
	}
	if m.chunk == nil {
		if n, fixed := f.count(); fixed && n != int64(len(samples)) {
			return wrongCount(f.info, n, int64(len(samples)))
		}
		shape, err := f.unfold(int64(len(samples)))
		if err != nil {
			return err
		}
		w.add(row, samples)
		w.shapes = append(w.shapes, make([][]int64, len(m.feeds)))
		w.shapes[len(w.shapes)-1][k] = shape
		return nil
	}
	n := infer.Elements(f.item)
	if n <= 0 {
		return &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: %s cannot be cut into pieces of %d", f.info.Name, f.info, m.chunk.size)}
	}
	for from := 0; from == 0 || from < len(samples); from += int(n) {
		piece := samples[from:min(from+int(n), len(samples))]
		if len(piece) < int(n) {
			piece = append(slices.Clone(piece), make([]float64, int(n)-len(piece))...)
		}
		w.add(row, piece)
	}
	return nil
}

func (w *tensorWork) add(row int, piece []float64) {
	w.rows, w.pieces = append(w.rows, int32(row)), append(w.pieces, piece)
}

// samples returns the numbers that a row feeds to the input that is cut.
func (w *tensorWork) samples(f *feed, row int) ([]float64, error) {
	v := w.in.Cols[f.cols[0]]
	if w.m.audio != nil && w.m.audio.input == f.at && !v.IsNull(row) {
		if v.Type.Kind == column.Bytes {
			return readWAV(v.Bin(row), w.m.audio.rate)
		}
		if b, ok := v.Value(row).([]byte); ok {
			return readWAV(b, w.m.audio.rate)
		}
	}
	var e elements
	e.reset(model.Float64)
	err := f.appendValue(&e, v, row, f.info.Name)
	return e.f64, err
}

// appendItem appends what an item feeds to an input.
func (w *tensorWork) appendItem(f *feed, e *elements, item int32) error {
	at := -1
	if w.m.audio != nil {
		at = w.m.audio.input
	}
	if w.m.chunk != nil {
		at = w.m.chunk.input
	}
	if w.pieces == nil || f.at != at {
		return f.append(e, w.in, int(w.rows[item]))
	}
	for _, x := range w.pieces[item] {
		if !e.float(x) {
			return unfit(f.info.Name, e.dtype, x)
		}
	}
	return nil
}

// readWAV reads a WAV file of integers of 8 to 32 bits or floats as samples from -1 to 1, several channels averaged to one.
func readWAV(b []byte, rate int64) ([]float64, error) {
	bad := func(format string, args ...any) error {
		return &expr.Exception{Class: "ValueError", Msg: "the sound cannot be read: " + fmt.Sprintf(format, args...)}
	}
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, bad("wanted a WAV file")
	}
	var format, channels, bits uint16
	for rest := b[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:8]))
		body := rest[8:min(int64(len(rest)), 8+size)]
		switch id {
		case "fmt ":
			if len(body) < 16 {
				return nil, bad("its header is cut off")
			}
			format, channels, bits = binary.LittleEndian.Uint16(body), binary.LittleEndian.Uint16(body[2:]), binary.LittleEndian.Uint16(body[14:])
			if found := int64(binary.LittleEndian.Uint32(body[4:])); found != rate {
				return nil, bad("wanted %d samples a second, found %d", rate, found)
			}
			if format == 0xfffe && len(body) >= 26 { // extensible: the format stands behind
				format = binary.LittleEndian.Uint16(body[24:])
			}
		case "data":
			if int64(len(body)) < size && size != math.MaxUint32 {
				return nil, bad("it is cut off: wanted %d bytes of sound, found %d", size, len(body))
			}
			samples, err := pcm(body, format, int(channels), int(bits))
			if err != nil {
				return nil, bad("%v", err)
			}
			return samples, nil
		}
		rest = rest[min(int64(len(rest)), 8+size+size&1):]
	}
	return nil, bad("it holds no sound")
}

func pcm(b []byte, format uint16, channels, bits int) ([]float64, error) {
	const integers, floats = 1, 3
	width := bits / 8
	switch {
	case format == 0 && channels == 0 && bits == 0:
		return nil, fmt.Errorf("its header is missing")
	case channels < 1:
		return nil, fmt.Errorf("it has no channel")
	case format == integers && (bits == 8 || bits == 16 || bits == 24 || bits == 32), format == floats && (bits == 32 || bits == 64):
	default:
		return nil, fmt.Errorf("wanted integers or floats, uncompressed, found format %d of %d bits", format, bits)
	}
	n := len(b) / (width * channels)
	if n > MaxSamples {
		return nil, fmt.Errorf("it has %d samples, at most %d are allowed", n, MaxSamples)
	}
	out := make([]float64, n)
	for i := range out {
		var sum float64
		for c := range channels {
			sum += sample(b[(i*channels+c)*width:], format == floats, bits)
		}
		out[i] = sum / float64(channels)
		if !(math.Abs(out[i]) <= math.MaxFloat32) { // NaN, too
			return nil, fmt.Errorf("its sample %d is %v", i, out[i])
		}
	}
	return out, nil
}

func sample(b []byte, float bool, bits int) float64 {
	switch {
	case float && bits == 32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case float:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case bits == 8:
		return (float64(b[0]) - 128) / 128
	case bits == 16:
		return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15)
	case bits == 24:
		return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)>>8) / (1 << 23)
	}
	return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31)
}
