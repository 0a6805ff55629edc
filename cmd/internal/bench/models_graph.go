package main

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// perceptron is an ONNX graph from x, [n, first width], to y, [n, last width]: dense layers with Relu between them, and made-up weights.
func perceptron(widths ...int) []byte {
	graph := slices.Concat(text(2, "perceptron"), message(11, matrixOf("x", widths[0])), message(12, matrixOf("y", widths[len(widths)-1])))
	from := "x"
	for i, width := range widths[1:] {
		w, b, dense, to := fmt.Sprint("w", i), fmt.Sprint("b", i), fmt.Sprint("dense", i), fmt.Sprint("relu", i)
		if last := i+2 == len(widths); last {
			dense, to = "y", ""
		}
		graph = append(graph, message(5, weights(w, widths[i], width))...)
		graph = append(graph, message(5, weights(b, width))...)
		graph = append(graph, message(1, node("Gemm", dense, from, w, b))...)
		if to != "" {
			graph = append(graph, message(1, node("Relu", to, dense))...)
		}
		from = to
	}
	const irVersion, opset = 8, 17
	return slices.Concat(varint(1, irVersion), message(8, varint(2, opset)), message(7, graph))
}

// Messages of onnx.proto, by their field numbers, as protobuf writes them.

func varint(field, v int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), uint64(v))
}

func message(field int, body []byte) []byte {
	const lengthDelimited = 2
	b := binary.AppendUvarint(nil, uint64(field)<<3|lengthDelimited)
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

func text(field int, s string) []byte { return message(field, []byte(s)) }

const onnxFloat = 1 // TensorProto.FLOAT

// matrixOf is a ValueInfoProto of float[n, width].
func matrixOf(name string, width int) []byte {
	shape := slices.Concat(message(1, text(2, "n")), message(1, varint(1, width)))
	return slices.Concat(text(1, name), message(2, message(1, slices.Concat(varint(1, onnxFloat), message(2, shape)))))
}

// node is a NodeProto of one output.
func node(operator, output string, inputs ...string) []byte {
	var b []byte
	for _, in := range inputs {
		b = append(b, text(1, in)...)
	}
	return slices.Concat(b, text(2, output), text(4, operator))
}

// weights is a TensorProto of small numbers that repeat.
func weights(name string, shape ...int) []byte {
	size := 1
	var b []byte
	for _, d := range shape {
		size *= d
		b = append(b, varint(1, d)...)
	}
	values := make([]float32, size)
	for i := range values {
		values[i] = float32(i%7-3) / 32
	}
	return slices.Concat(b, varint(2, onnxFloat), text(8, name), message(9, littleEndian(values)))
}
