package kafka

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pace asks for as much at a time as the line carries. An answer that takes longer than the client waits, ten seconds, is lost with its connection, and would be
// asked for again, as large, for ever: where the line is slow, half of it is asked for. It grows again as answers come fast.
type pace struct {
	set   func(all, partition int32)
	most  int32 // bytes of an answer
	parts int32 // of a partition within it

	mu    sync.Mutex
	share int32 // one in so many bytes of what is configured; 1: all
}

const (
	mostShare  = 256
	fastAnswer = time.Second
	fetchKey   = 1 // of the protocol
)

var _ kgo.HookBrokerRead = (*pace)(nil)

// newPacedClient returns a client that fetches.
func newPacedClient(opts ...kgo.Opt) (*kgo.Client, error) {
	p := &pace{share: 1}
	client, err := kgo.NewClient(append(opts, kgo.WithHooks(p))...)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = client.UpdateFetchMaxBytes
	p.most, _ = client.OptValue(kgo.FetchMaxBytes).(int32)
	p.parts, _ = client.OptValue(kgo.FetchMaxPartitionBytes).(int32)
	return client, nil
}

// OnBrokerRead looks at what came of a fetch.
func (p *pace) OnBrokerRead(_ kgo.BrokerMetadata, key int16, bytes int, _, took time.Duration, err error) {
	if key != fetchKey {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil || p.most <= 0 {
		return
	}
	was := p.share
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && bytes > 0:
		p.share = min(2*p.share, mostShare)
	case err == nil && took < fastAnswer && bytes > int(p.most/p.share)/2: // as much as was asked for, or nearly
		p.share = max(p.share/2, 1)
	}
	if p.share != was {
		p.set(max(p.most/p.share, 1), max(p.parts/p.share, 1))
	}
}
