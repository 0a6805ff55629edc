package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestFaultBrokers kills one of three brokers after the other under a pipeline, starts it again, and moves leaders.
func TestFaultBrokers(t *testing.T) {
	brokers := newBrokers(t, 3)
	servers, direct := addresses(brokers)
	f := newFeedOn(t, direct, 3, "brokers", 5)
	dir := t.TempDir()
	file, job := f.pipeline(dir, map[string]string{"servers": servers})
	p := start(t, dir, file, "--on-stop", "drain")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	f.begun(p, job, ctx)
	kills, rows, moved := 1, scale(200_000), 0 // each takes some 20 s
	if full() {
		kills = 20
	}
	rng := rand.New(rand.NewPCG(6, 6))
	for range kills {
		began := time.Now()
		b := brokers[rng.IntN(len(brokers))]
		led := f.ledBy(b)
		b.kill()
		moved += led
		f.send(rows / kills / 2)
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		b.start(t)
		f.send(rows / kills / 2)
		b.await(t, 3)
		back := time.Since(began)
		f.whole(ctx)
		moved += f.prefer(ctx)
		t.Logf("killed a broker that led %d partitions; it was back after %.1f s, had caught up after %.1f s; %d of %d rows are checkpointed",
			led, back.Seconds(), time.Since(began).Seconds(), f.consumed(job), f.sent)
	}
	until(ctx, t, "all rows to be read", func() bool { return f.consumed(job) == int64(f.sent) })
	p.stop(t)
	t.Logf("the run: %s", p.log)
	t.Logf("%d brokers killed and started again, %d times a partition got another leader", kills, moved)
	if moved == 0 {
		t.Error("no partition got another leader")
	}
	f.compare("topic", f.results())
	f.compare("table", f.rows())
}

// ledBy counts the partitions that a broker leads.
func (f *feed) ledBy(b *broker) (n int) {
	topics, err := f.admin.Metadata(f.t.Context(), f.in(), f.out())
	if err != nil {
		return 0
	}
	node := int32(-1)
	for _, at := range topics.Brokers {
		if b.address == net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port))) {
			node = at.NodeID
		}
	}
	topics.Topics.EachPartition(func(p kadm.PartitionDetail) {
		if p.Leader == node {
			n++
		}
	})
	return n
}

// whole waits until all brokers have all that was written: only then may the next one be killed.
func (f *feed) whole(ctx context.Context) {
	until(ctx, f.t, "replicas to catch up", func() bool {
		topics, err := f.admin.Metadata(ctx) // all topics, those of offsets and transactions too
		behind := err != nil
		if !behind {
			topics.Topics.EachPartition(func(p kadm.PartitionDetail) { behind = behind || len(p.ISR) < len(p.Replicas) })
		}
		return !behind
	})
}

// prefer gives partitions back to the brokers that are to lead them, and returns how many moved.
func (f *feed) prefer(ctx context.Context) (moved int) {
	results, err := f.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, kadm.TopicsSet{
		f.in(): {0: {}, 1: {}, 2: {}, 3: {}}, f.out(): {0: {}, 1: {}, 2: {}, 3: {}}})
	if err != nil {
		f.t.Logf("leaders could not be moved: %v", err)
		return 0
	}
	for _, partitions := range results {
		for _, r := range partitions {
			if r.Err == nil {
				moved++
			}
		}
	}
	return moved
}
