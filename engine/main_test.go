package engine

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain fails where a run left a goroutine behind: whoever starts one waits for it.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// A goroutine that has signalled its end may take a moment to be gone.
	for range 100 {
		if runtime.NumGoroutine() <= before {
			os.Exit(code)
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	fmt.Fprintf(os.Stderr, "goroutines were left behind:\n%s", stacks[:runtime.Stack(stacks, true)])
	os.Exit(1)
}
