package onnx

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// emptySequence makes a sequence of no elements. The library's functions cannot; a graph can: of one node, loaded and run each time, since
// such a sequence is rare.
func (r *Runtime) emptySequence(elem *model.ValueInfo) (pointer, error) {
	if elem.Kind != model.TensorValue {
		return 0, fmt.Errorf("an empty sequence of %s cannot be made: only one of tensors can", elem)
	}
	setting := field(1, "dtype") + "\x18" + string(rune(elem.DType)) + "\xa0\x01\x02" // i, type INT
	return r.made("SequenceEmpty", setting, field(4, field(1, field(1, "\x08"+string(rune(elem.DType))))))
}

// made returns what a node without inputs gives; output is its type.
func (r *Runtime) made(op, setting, output string) (pointer, error) {
	node := field(2, "s") + field(4, op) + field(5, setting)
	graph := field(1, node) + field(2, "g") + field(12, field(1, "s")+field(2, output))
	file := "\x08\x08" + field(8, "\x10\x0f") + field(7, graph) // ir_version 8, opset 15
	loaded, err := r.Load(context.Background(), infer.Source{Name: op, Bytes: []byte(file)}, infer.Options{})
	if err != nil {
		return 0, err
	}
	s := loaded.(*session)
	defer s.Close()
	c := newCall(s)
	if err := c.prepare(nil, nil); err != nil {
		return 0, err
	}
	err = c.run(context.Background())
	return c.outputs[0], err
}

// field is a length-delimited field of a message; numbers below 16 and bodies below 128 bytes take a byte each.
func field(number byte, body string) string {
	return string([]byte{number<<3 | 2, byte(len(body))}) + body
}
