// Package infertest gives tests a runtime. It has no use outside tests.
package infertest

import (
	"os"
	"sync"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/local"
)

var runtimes = sync.OnceValue(func() *local.Runtimes {
	return local.New(local.Options{Offline: os.Getenv("LEAT_OFFLINE") != ""})
})

// Opener returns an opener of runtimes, which installs ONNX Runtime on first use. Where that cannot be, as without a network, the test is
// skipped and says so.
func Opener(t testing.TB) infer.Opener {
	t.Helper()
	if _, err := runtimes().Open(t.Context(), infer.Need{}); err != nil {
		t.Skipf("SKIPPED: models cannot be run here: %v", err)
	}
	return runtimes().Open
}
