package kafka

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPace asks for less where answers do not come in time, and for more as they do.
func TestPace(t *testing.T) {
	all, parts := int32(1<<20), int32(1<<18)
	p := &pace{most: all, parts: parts, share: 1, set: func(a, b int32) { all, parts = a, b }}
	late := fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
	for i, step := range []struct {
		key   int16
		bytes int
		took  time.Duration
		err   error
		want  int32
	}{
		{fetchKey, 700_000, 10 * time.Second, late, 1 << 19},
		{fetchKey, 300_000, 10 * time.Second, late, 1 << 18},
		{fetchKey, 0, 10 * time.Second, late, 1 << 18},     // the broker is silent: that is no matter of size
		{fetchKey, 100_000, time.Second, io.EOF, 1 << 18},  // cut
		{3, 100_000, 10 * time.Second, late, 1 << 18},      // of another request
		{fetchKey, 250_000, 9 * time.Second, nil, 1 << 18}, // in time, and no faster
		{fetchKey, 100, time.Millisecond, nil, 1 << 18},    // little to read says little
		{fetchKey, 250_000, 10 * time.Millisecond, nil, 1 << 19},
		{fetchKey, 500_000, 10 * time.Millisecond, nil, 1 << 20},
		{fetchKey, 1 << 20, 10 * time.Millisecond, nil, 1 << 20},
	} {
		p.OnBrokerRead(kgo.BrokerMetadata{}, step.key, step.bytes, 0, step.took, step.err)
		if all != step.want || parts != step.want/4 {
			t.Errorf("step %d: %d and %d bytes are asked for, wanted %d", i, all, parts, step.want)
		}
	}
	for range 100 {
		p.OnBrokerRead(kgo.BrokerMetadata{}, fetchKey, 1, 0, time.Second, late)
	}
	if all != 1<<20/mostShare {
		t.Errorf("at the least %d bytes", all)
	}
}
