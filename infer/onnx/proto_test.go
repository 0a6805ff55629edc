package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Messages of onnx.proto, written and read by field numbers, so that tests make the models that they need.

func number(field protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), uint64(v))
}

// message is a field that holds a message or a string, given in parts.
func message[T []byte | string](field protowire.Number, parts ...T) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

// texts are the strings of a repeated field.
func texts(field protowire.Number, list ...string) []byte {
	var b []byte
	for _, s := range list {
		b = append(b, message(field, s)...)
	}
	return b
}

// tensorType is a TypeProto. Dimensions are numbers or names; no dimensions at all (nil) leave the rank open.
func tensorType(d int, dims ...any) []byte {
	var shape []byte
	for _, dim := range dims {
		switch dim := dim.(type) {
		case int:
			shape = append(shape, message(1, number(1, dim))...)
		case string:
			shape = append(shape, message(1, message(2, dim))...)
		}
	}
	return message(1, number(1, d), message(2, shape))
}

func anyRank(d int) []byte               { return message(1, number(1, d)) }
func sequenceType(elem []byte) []byte    { return message(4, message(1, elem)) }
func optionalType(elem []byte) []byte    { return message(9, message(1, elem)) }
func mapType(k int, value []byte) []byte { return message(5, number(1, k), message(2, value)) }

func input(name string, typ []byte) []byte  { return message(11, message(1, name), message(2, typ)) }
func output(name string, typ []byte) []byte { return message(12, message(1, name), message(2, typ)) }

// node is a field of a graph. settings (AttributeProto) come from the functions below.
func node(op string, in, out []string, settings ...[]byte) []byte {
	return nodeOf("", op, in, out, settings...)
}

func nodeOf(domain, op string, in, out []string, settings ...[]byte) []byte {
	parts := [][]byte{texts(1, in...), texts(2, out...), message(4, op), message(7, domain)}
	return message(1, append(parts, settings...)...)
}

func stringsSetting(name string, v ...string) []byte {
	return message(5, message(1, name), texts(9, v...), number(20, 8))
}

func graphSetting(name string, parts ...[]byte) []byte {
	return message(5, message(1, name), message(6, append(parts, message(2, "inner"))...), number(20, 5))
}

// initializer is a field of a graph: a tensor of floats or integers.
func initializer(name string, t *infer.Tensor) []byte {
	var b []byte
	for _, d := range t.Shape {
		b = append(b, number(1, int(d))...)
	}
	return message(5, b, number(2, int(t.DType)), message(8, name), message(9, t.Data))
}

// modelOf is a model of one graph.
func modelOf(parts ...[]byte) []byte {
	opsets := append(message(8, number(2, 17)), message(8, message(1, "ai.onnx.ml"), number(2, 3))...)
	return slices.Concat(number(1, 10), opsets, message(7, append(parts, message(2, "test"))...))
}

// identity is a model that gives what it gets.
func identity(typ []byte) []byte {
	return modelOf(node("Identity", []string{"x"}, []string{"y"}), input("x", typ), output("y", typ))
}

// eachField calls f with the fields of a message: the bytes of a length-delimited one, else the number.
func eachField(b []byte, f func(num protowire.Number, data []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var data []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			v = uint64(w)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(num, data, v); err != nil {
			return err
		}
	}
	return nil
}

// varints appends the numbers of a repeated field, packed or not.
func varints(to []uint64, data []byte, v uint64) []uint64 {
	if data == nil {
		return append(to, v)
	}
	for len(data) > 0 {
		n, size := protowire.ConsumeVarint(data)
		if size < 0 {
			return to
		}
		to, data = append(to, n), data[size:]
	}
	return to
}

// readTensor reads a TensorProto.
func readTensor(b []byte) (*infer.Tensor, error) {
	t := &infer.Tensor{Shape: []int64{}}
	var raw []byte
	var integers []uint64 // of int32_data, int64_data and uint64_data
	hasRaw := false
	err := eachField(b, func(num protowire.Number, data []byte, v uint64) error {
		switch num {
		case 1:
			for _, d := range varints(nil, data, v) {
				t.Shape = append(t.Shape, int64(d))
			}
		case 2:
			t.DType = model.DType(v)
		case 4:
			if data == nil {
				data = binary.LittleEndian.AppendUint32(nil, uint32(v))
			}
			raw = append(raw, data...)
		case 5, 7, 11:
			integers = varints(integers, data, v)
		case 6:
			t.Strings = append(t.Strings, string(data))
		case 9:
			raw, hasRaw = append(raw, data...), true
		case 10:
			raw = append(raw, data...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !hasRaw && len(integers) > 0 {
		raw = packed(t.DType, integers)
	}
	t.Data = raw
	return t.Clone(), nil // aligned
}

// packed lays integers out as elements of a type lie in memory. Elements of less than a byte are packed already.
func packed(d model.DType, integers []uint64) []byte {
	size := max(1, int(d.Bytes(1)))
	var out []byte
	for _, n := range integers {
		out = append(out, binary.LittleEndian.AppendUint64(nil, n)[:size]...)
	}
	return out
}

// readValue reads the message that holds a value of the kind.
func readValue(b []byte, kind model.ValueKind) (infer.Value, error) {
	switch kind {
	case model.TensorValue:
		return readTensor(b)
	case model.SequenceValue:
		s := &infer.Sequence{}
		return s, eachField(b, func(num protowire.Number, data []byte, _ uint64) error {
			inner, ok := elementKinds[num]
			if !ok {
				return nil
			}
			v, err := readValue(data, inner)
			s.Elems = append(s.Elems, v)
			return err
		})
	case model.OptionalValue:
		var held infer.Value
		err := eachField(b, func(num protowire.Number, data []byte, _ uint64) (err error) {
			if inner, ok := elementKinds[num]; ok {
				held, err = readValue(data, inner)
			}
			return err
		})
		return held, err
	}
	return nil, fmt.Errorf("values of kind %d are not stored in these cases", kind)
}

// elementKinds are the fields of SequenceProto and OptionalProto that hold values.
var elementKinds = map[protowire.Number]model.ValueKind{3: model.TensorValue, 5: model.SequenceValue, 6: model.MapValue, 7: model.OptionalValue}

// spinning is a model that adds 1 to x as often as its input n says.
func spinning() []byte {
	body := graphSetting("body",
		node("Identity", []string{"go"}, []string{"on"}),
		node("Add", []string{"before", "one"}, []string{"after"}),
		input("i", tensorType(7)), input("go", tensorType(9)), input("before", tensorType(1)),
		output("on", tensorType(9)), output("after", tensorType(1)))
	return modelOf(
		node("Loop", []string{"n", "", "x"}, []string{"y"}, body),
		initializer("one", infer.NewTensor([]float32{1})),
		input("n", tensorType(7)), input("x", tensorType(1)), output("y", tensorType(1)))
}

// classifier is a model whose output is a sequence of maps, from names of classes to scores.
func classifier() []byte {
	return modelOf(
		nodeOf("ai.onnx.ml", "ZipMap", []string{"x"}, []string{"y"}, stringsSetting("classlabels_strings", "bad", "good")),
		input("x", tensorType(1, "n", 2)), output("y", sequenceType(mapType(8, tensorType(1)))))
}
