package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/internal/number"
	"github.com/leat-project/leat/model"
)

// inferRequest is a request of the Open Inference Protocol, version 2, in JSON. What else one may hold, such as parameters, is
// passed over, as the protocol allows.
type inferRequest struct {
	ID      string          `json:"id"`
	Inputs  []requestTensor `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"`
}

// requestTensor is a tensor whose data is flat or nested as the shape.
type requestTensor struct {
	Name     string          `json:"name"`
	Shape    []int64         `json:"shape"`
	Datatype string          `json:"datatype"`
	Data     json.RawMessage `json:"data"`
}

// Limits on requests.
const (
	maxRequestBytes = 1 << 30 // of JSON
	maxRank         = 64      // dimensions of a tensor
)

// parseRequest reads a request and makes its tensors.
func parseRequest(text []byte) (*inferRequest, map[string]*infer.Tensor, error) {
	var r inferRequest
	if err := json.Unmarshal(text, &r); err != nil {
		return &r, nil, fmt.Errorf("the request: %w", err)
	}
	tensors, total := map[string]*infer.Tensor{}, int64(0)
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if in.Name == "" {
			return &r, nil, fmt.Errorf("inputs[%d]: wanted a name", i)
		}
		if tensors[in.Name] != nil {
			return &r, nil, fmt.Errorf("the input %q is there twice", in.Name)
		}
		t, err := in.tensor()
		if err != nil {
			return &r, nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if total += int64(len(t.Data)); total > infer.MaxTensorBytes {
			return &r, nil, fmt.Errorf("the inputs have more than %d bytes", infer.MaxTensorBytes)
		}
		tensors[in.Name] = t
	}
	return &r, tensors, nil
}

// datatypes are the names that the protocol has for element types, for errors.
const datatypes = "BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64 or BYTES"

// tensor reads the data.
func (in *requestTensor) tensor() (*infer.Tensor, error) {
	d := model.DTypeOf(in.Datatype)
	n := infer.Elements(in.Shape)
	switch {
	case d == model.Undefined:
		return nil, fmt.Errorf("wanted the datatype %s, found %q", datatypes, in.Datatype)
	case in.Shape == nil:
		return nil, errors.New("wanted a shape, as in [1, 3]; [] is that of one element")
	case len(in.Shape) > maxRank || n < 0:
		return nil, fmt.Errorf("a tensor cannot have the shape %v", in.Shape)
	case in.Data == nil:
		return nil, errors.New("wanted data")
	case n > int64(len(in.Data)): // an element takes a character at least; so no memory is made for what is not there
		return nil, wrongElements(in.Shape, n, -1)
	}
	e := newElements(d, int(n))
	r := &dataReader{d: json.NewDecoder(bytes.NewReader(in.Data)), shape: in.Shape, left: n, e: e}
	r.d.UseNumber()
	if err := r.read(); err != nil {
		return nil, err
	}
	return e.tensor(in.Shape), nil
}

func wrongElements(shape []int64, want, found int64) error {
	if found < 0 {
		return fmt.Errorf("the shape %v has %d elements, and data has fewer", shape, want)
	}
	return fmt.Errorf("the shape %v has %d elements, found %d", shape, want, found)
}

// dataReader reads the elements of a tensor, in a flat list or in lists nested as the shape.
type dataReader struct {
	d     *json.Decoder
	shape []int64
	left  int64 // elements to come
	e     *elements
}

func (r *dataReader) read() error {
	want := r.left
	token, err := r.d.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('[') {
		if len(r.shape) > 0 {
			return fmt.Errorf("wanted data as a list, found %s", tokenText(token))
		}
		return r.element(token)
	}
	if nested, err := r.list(0); err != nil {
		return err
	} else if !nested && r.left != 0 {
		return wrongElements(r.shape, want, want-r.left)
	}
	return nil
}

// list reads what follows a bracket. A flat list may stand for a tensor of any shape.
func (r *dataReader) list(depth int) (nested bool, err error) {
	count := int64(0)
	for ; r.d.More(); count++ {
		token, err := r.d.Token()
		if err != nil {
			return false, err
		}
		if token == json.Delim('[') {
			if count > 0 && !nested || depth+1 >= len(r.shape) {
				return false, fmt.Errorf("wanted data as one flat list or nested as the shape %v, found a list too deep", r.shape)
			}
			nested = true
			if _, err := r.list(depth + 1); err != nil {
				return false, err
			}
			continue
		}
		if nested {
			return false, fmt.Errorf("wanted data as one flat list or nested as the shape %v, found a single value among lists", r.shape)
		}
		if err := r.element(token); err != nil {
			return false, err
		}
	}
	if _, err := r.d.Token(); err != nil {
		return false, err
	}
	innermost := depth == len(r.shape)-1
	if (nested || depth > 0) && (count != r.shape[depth] || !nested && !innermost && count > 0) {
		return false, fmt.Errorf("wanted lists nested as the shape %v, found one of %d at level %d", r.shape, count, depth+1)
	}
	return nested || depth > 0, nil
}

func (r *dataReader) element(token json.Token) error {
	if r.left == 0 {
		return wrongElements(r.shape, infer.Elements(r.shape), infer.Elements(r.shape)+1)
	}
	r.left--
	if !r.e.add(token) {
		return fmt.Errorf("wanted %s, found %s", r.e.wants(), tokenText(token))
	}
	return nil
}

// tokenText writes a token for an error.
func tokenText(token json.Token) string {
	text := fmt.Sprint(token)
	switch token := token.(type) {
	case nil:
		text = "null"
	case string:
		text = strconv.Quote(token)
	}
	return cut(text, maxCellWidth)
}

// elements gathers the elements of a tensor.
type elements struct {
	dtype   model.DType
	bools   []bool
	ints    []int64
	uints   []uint64
	floats  []float64
	strings []string
}

// newElements makes room for n elements.
func newElements(d model.DType, n int) *elements {
	e := &elements{dtype: d}
	switch {
	case d == model.Bool:
		e.bools = make([]bool, 0, n)
	case d == model.String:
		e.strings = make([]string, 0, n)
	case d.IsFloat():
		e.floats = make([]float64, 0, n)
	case e.unsigned():
		e.uints = make([]uint64, 0, n)
	default:
		e.ints = make([]int64, 0, n)
	}
	return e
}

func (e *elements) unsigned() bool {
	return e.dtype == model.Uint8 || e.dtype == model.Uint16 || e.dtype == model.Uint32 || e.dtype == model.Uint64
}

// wants says what an element has to be.
func (e *elements) wants() string {
	switch {
	case e.dtype == model.Bool:
		return "true or false"
	case e.dtype == model.String:
		return "a string"
	case e.dtype.IsFloat():
		return fmt.Sprintf(`a number that fits %s, or "NaN", "Infinity", "-Infinity"`, e.dtype.Datatype())
	}
	return "a whole number that fits " + e.dtype.Datatype()
}

// add appends an element and reports whether it fits.
func (e *elements) add(token json.Token) bool {
	switch {
	case e.dtype == model.Bool:
		b, ok := token.(bool)
		e.bools = append(e.bools, b)
		return ok
	case e.dtype == model.String:
		s, ok := token.(string)
		e.strings = append(e.strings, s)
		return ok
	case e.dtype.IsFloat():
		f, ok := floatOf(token, e.dtype)
		e.floats = append(e.floats, f)
		return ok
	}
	text, ok := token.(json.Number)
	if !ok {
		return false
	}
	bits := int(8 * e.dtype.Bytes(1))
	var err error
	if e.unsigned() {
		var u uint64
		u, err = strconv.ParseUint(string(text), 10, bits)
		e.uints = append(e.uints, u)
	} else {
		var i int64
		i, err = strconv.ParseInt(string(text), 10, bits)
		e.ints = append(e.ints, i)
	}
	return err == nil
}

// maxFinite is the largest number of a floating-point type that rounds to a finite one.
var maxFinite = map[model.DType]float64{model.Float16: 65519.99, model.BFloat16: 3.3961e38, model.Float32: math.MaxFloat32, model.Float64: math.MaxFloat64}

// floatOf reads a number. Protobuf's JSON has the names of those that JSON lacks.
func floatOf(token json.Token, d model.DType) (float64, bool) {
	switch token := token.(type) {
	case json.Number:
		bits := 64
		if d != model.Float64 {
			bits = 32 // rounded once
		}
		f, err := strconv.ParseFloat(string(token), bits)
		return f, err == nil && math.Abs(f) <= maxFinite[d]
	case string:
		switch token {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
	}
	return 0, false
}

// tensor returns what was gathered.
func (e *elements) tensor(shape []int64) *infer.Tensor {
	switch e.dtype {
	case model.Bool:
		return infer.NewTensor(e.bools, shape...)
	case model.String:
		return infer.NewStrings(e.strings, shape...)
	case model.Float64:
		return infer.NewTensor(e.floats, shape...)
	case model.Float32:
		return convert[float32](e.floats, shape)
	case model.Float16, model.BFloat16:
		halves := make([]uint16, len(e.floats))
		for i, f := range e.floats {
			if e.dtype == model.Float16 {
				halves[i] = infer.ToHalf(float32(f))
			} else {
				halves[i] = infer.ToBFloat16(float32(f))
			}
		}
		t := infer.NewTensor(halves, shape...)
		t.DType = e.dtype
		return t
	case model.Int8:
		return convert[int8](e.ints, shape)
	case model.Int16:
		return convert[int16](e.ints, shape)
	case model.Int32:
		return convert[int32](e.ints, shape)
	case model.Int64:
		return infer.NewTensor(e.ints, shape...)
	case model.Uint8:
		return convert[uint8](e.uints, shape)
	case model.Uint16:
		return convert[uint16](e.uints, shape)
	case model.Uint32:
		return convert[uint32](e.uints, shape)
	}
	return infer.NewTensor(e.uints, shape...)
}

func convert[T, U int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64](values []U, shape []int64) *infer.Tensor {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return infer.NewTensor(out, shape...)
}

// appendAnswer appends the tensor of an answer, its data flat.
func appendAnswer(dst []byte, name string, t *infer.Tensor) ([]byte, error) {
	datatype := t.DType.Datatype()
	if datatype == "" {
		return nil, fmt.Errorf("the protocol has no datatype for the output %q, which is %s", name, t.DType)
	}
	dst = appendJSONString(append(dst, `{"name":`...), name)
	dst = append(dst, `,"shape":[`...)
	for i, n := range t.Shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = number.AppendInt(dst, n)
	}
	dst = append(dst, `],"datatype":"`+datatype+`","data":[`...)
	dst, err := appendElements(dst, t)
	return append(dst, "]}"...), err
}

func appendElements(dst []byte, t *infer.Tensor) ([]byte, error) {
	switch t.DType {
	case model.String:
		for i, s := range t.Strings {
			if !utf8.ValidString(s) {
				return nil, fmt.Errorf("element %d of an output is not UTF-8, which JSON has no form for", i)
			}
		}
		return each(dst, t.Strings, appendJSONString), nil
	case model.Bool:
		return each(dst, infer.View[bool](t), strconv.AppendBool), nil
	case model.Uint64:
		return each(dst, infer.View[uint64](t), func(dst []byte, u uint64) []byte { return strconv.AppendUint(dst, u, 10) }), nil
	case model.Int64:
		return each(dst, infer.View[int64](t), number.AppendInt), nil
	case model.Float32:
		return each(dst, infer.View[float32](t), func(dst []byte, f float32) []byte { return appendFloat(dst, float64(f), 32) }), nil
	}
	wide, err := t.Floats(nil) // exact for the types that are left
	if t.DType.IsInteger() {
		return each(dst, wide, func(dst []byte, f float64) []byte { return number.AppendInt(dst, int64(f)) }), err
	}
	bits := 64
	if t.DType != model.Float64 {
		bits = 32
	}
	return each(dst, wide, func(dst []byte, f float64) []byte { return appendFloat(dst, f, bits) }), err
}

// each appends values with commas between them.
func each[T any](dst []byte, values []T, f func([]byte, T) []byte) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f(dst, v)
	}
	return dst
}

// appendFloat appends the shortest text that reads back as the number of so many bits.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	text := strconv.AppendFloat(nil, f, 'g', -1, bits)
	dst = append(dst, text...)
	if !bytes.ContainsAny(text, ".e") {
		dst = append(dst, ".0"...) // for readers that tell integers from floats
	}
	return dst
}

// fitsModel reports why a tensor cannot be an input of the model, or nil.
func fitsModel(t *infer.Tensor, in *model.ValueInfo) error {
	fits := len(in.Shape) == len(t.Shape) || in.Shape == nil
	for i := range in.Shape {
		fits = fits && (in.Shape[i] < 0 || in.Shape[i] == t.Shape[i])
	}
	switch {
	case in.Kind != model.TensorValue:
		return fmt.Errorf("input %q: the model takes %s, which the protocol has no form for", in.Name, in)
	case in.DType != t.DType:
		return fmt.Errorf("input %q: the model takes the datatype %s, found %s", in.Name, in.DType.Datatype(), t.DType.Datatype())
	case !fits:
		return fmt.Errorf("input %q: the model takes %s, found the shape %v", in.Name, in, t.Shape)
	}
	return nil
}

// arrange puts the tensors of a request into the order of the model's inputs, and finds the numbers of the outputs asked for.
func (r *inferRequest) arrange(tensors map[string]*infer.Tensor, s infer.Session) (inputs []infer.Value, outputs []int, err error) {
	known := map[string]bool{}
	infos := s.Inputs()
	for i := range infos {
		in := &infos[i]
		known[in.Name] = true
		t := tensors[in.Name]
		switch {
		case t == nil && in.Kind == model.OptionalValue:
			inputs = append(inputs, nil)
			continue
		case t == nil:
			return nil, nil, fmt.Errorf("the request lacks the input %q, %s", in.Name, in)
		}
		if err := fitsModel(t, in); err != nil {
			return nil, nil, err
		}
		inputs = append(inputs, t)
	}
	for _, in := range r.Inputs {
		if !known[in.Name] {
			return nil, nil, fmt.Errorf("the model has no input %q; it takes %s", in.Name, namesOf(infos))
		}
	}
	for i, out := range r.Outputs {
		k := indexOf(s.Outputs(), out.Name)
		if k < 0 {
			return nil, nil, fmt.Errorf("outputs[%d]: the model has no output %q; it gives %s", i, out.Name, namesOf(s.Outputs()))
		}
		outputs = append(outputs, k)
	}
	for k := range s.Outputs() {
		if len(r.Outputs) == 0 {
			outputs = append(outputs, k)
		}
	}
	return inputs, outputs, nil
}

func indexOf(values []model.ValueInfo, name string) int {
	for i := range values {
		if values[i].Name == name {
			return i
		}
	}
	return -1
}

func namesOf(values []model.ValueInfo) string {
	var names []string
	for i := range values {
		names = append(names, strconv.Quote(values[i].Name))
	}
	return strings.Join(names, ", ")
}
