//go:build unix

package model_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leat-project/leat/model"
)

// TestNamedPipe: a named pipe in a package is an error; opening it would wait for ever.
func TestNamedPipe(t *testing.T) {
	for _, name := range []string{"config.json", "extra.json"} {
		dir := folder(t, map[string][]byte{"model.onnx": graph()})
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		p, err := model.Open(dir, model.Options{})
		if err == nil {
			_, err = p.ID()
		}
		if err == nil || !strings.Contains(err.Error(), name+" is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
