package onnx

import (
	"testing"

	"github.com/leat-project/leat/infer"
)

// loadBytes makes a session that ends with the test.
func loadBytes(t testing.TB, r *Runtime, graph []byte) infer.Session {
	t.Helper()
	s, err := r.Load(t.Context(), infer.Source{Name: "test", Bytes: graph}, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
