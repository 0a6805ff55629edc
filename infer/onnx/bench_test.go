package onnx

import (
	"context"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// perceptron is a network of dense layers with Relu between them, and made-up weights.
func perceptron(widths ...int64) []byte {
	parts := [][]byte{input("x", tensorType(1, "n", int(widths[0]))), output("y", tensorType(1, "n", int(widths[len(widths)-1])))}
	from, name := "x", 0
	next := func() string {
		name++
		return string(rune('a' + name))
	}
	for i := range widths[1:] {
		w, b, to := next(), next(), next()
		weights, biases := make([]float32, widths[i]*widths[i+1]), make([]float32, widths[i+1])
		for j := range weights {
			weights[j] = float32(j%7-3) / 32
		}
		if i+2 == len(widths) {
			to = "y"
		}
		parts = append(parts, initializer(w, infer.NewTensor(weights, widths[i], widths[i+1])), initializer(b, infer.NewTensor(biases, widths[i+1])),
			node("Gemm", []string{from, w, b}, []string{to}))
		if from = to; to != "y" {
			from = next()
			parts = append(parts, node("Relu", []string{to}, []string{from}))
		}
	}
	return modelOf(parts...)
}

// BenchmarkRun is a run of small models: what leat adds to a call shows best there.
func BenchmarkRun(b *testing.B) {
	r := openRuntime(b)
	mlp := perceptron(64, 256, 256, 10)
	cases := []struct {
		name  string
		graph []byte
		in    *infer.Tensor
	}{
		{"identity", identity(tensorType(int(model.Float32), "n")), infer.NewTensor([]float32{1, 2, 3, 4}, 4)},
		{"mlp-1", mlp, infer.NewTensor(make([]float32, 64), 1, 64)},
		{"mlp-64", mlp, infer.NewTensor(make([]float32, 64*64), 64, 64)},
	}
	for _, c := range cases {
		s := loadBytes(b, r, c.graph)
		cancellable, cancel := context.WithCancel(b.Context())
		defer cancel()
		for _, how := range []struct {
			name string
			ctx  context.Context
		}{{"plain", context.Background()}, {"cancellable", cancellable}} {
			b.Run(c.name+"/"+how.name, func(b *testing.B) {
				b.ReportAllocs()
				inputs := []infer.Value{c.in}
				for b.Loop() {
					results, err := s.Run(how.ctx, inputs, nil)
					if err != nil {
						b.Fatal(err)
					}
					results.Close()
				}
			})
		}
	}
}
