package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// shared opens a source that shares the rig's topic with others.
func (r *rig) shared(keys map[string]any) *readSource {
	config := stringly(map[string]any{"assignment": "group", "consumer_config": map[string]any{"group.id": r.topic, "fetch.max.wait.ms": int64(50), "metadata.max.age.ms": int64(200),
		"session.timeout.ms": int64(6000), "heartbeat.interval.ms": int64(200)}})
	maps.Copy(config, keys)
	return r.source(config)
}

// process is a member of the group with all it has read, in the way of an engine: it acknowledges what is durable.
type process struct {
	*reading
	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	had    map[string]bool // partitions that gave rows
}

// join begins to read. Without acks nothing is ever durable.
func (r *rig) join(s *readSource, acks bool) *process {
	r.t.Helper()
	p := &process{reading: r.begin(s, nil), done: make(chan struct{}), had: map[string]bool{}}
	ctx, cancel := context.WithCancel(r.t.Context())
	p.cancel = cancel
	go func() {
		defer close(p.done)
		p.err = p.read(ctx, acks)
	}()
	r.t.Cleanup(func() { p.cancel(); <-p.done })
	return p
}

func (p *process) read(ctx context.Context, acks bool) error {
	for {
		var m catalog.Morsel
		if err := p.r.Next(ctx, &m); err != nil {
			return err
		}
		p.mu.Lock()
		err := p.d.Decode(ctx, &m, p.reading)
		if p.positions == nil {
			p.positions = map[string]string{}
		}
		p.positions[m.Partition] = m.Position
		p.had[m.Partition] = true
		positions := maps.Clone(p.positions)
		p.mu.Unlock()
		if err == nil && acks {
			err = p.r.(catalog.Acknowledger).Acknowledge(ctx, positions)
		}
		if err != nil {
			return err
		}
	}
}

// count returns how many rows there are, and of how many partitions.
func (p *process) count() (rows, partitions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rows), len(p.had)
}

// leave ends the process in order.
func (p *process) leave() {
	p.t.Helper()
	p.cancel()
	<-p.done
	if !errors.Is(p.err, context.Canceled) {
		p.t.Errorf("it ended with %v", p.err)
	}
	if err := p.r.Close(); err != nil {
		p.t.Error(err)
	}
}

// wait waits until something is so.
func (r *rig) wait(what string, so func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// fill writes n records to each of the partitions, and returns what a reader makes of them.
func (r *rig) fill(partitions, from, n int) (want []string) {
	r.t.Helper()
	var records []*kgo.Record
	for p := range partitions {
		for i := range n {
			records = append(records, &kgo.Record{Partition: int32(p), Value: fmt.Appendf(nil, "v%d", from+i)})
			want = append(want, fmt.Sprintf("%d:%d v%d", p, from+i, from+i))
		}
	}
	r.produce(records...)
	return want
}

// unique sorts rows and says how many of them came again.
func unique(all ...[]string) (rows []string, again int) {
	rows = slices.Concat(all...)
	n := len(rows)
	slices.Sort(rows)
	rows = slices.Compact(rows)
	return rows, n - len(rows)
}

func (r *rig) wantAll(want []string, again int, got ...[]string) {
	r.t.Helper()
	rows, more := unique(got...)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		r.t.Errorf("read %d rows, wanted %d", len(rows), len(want))
	}
	if more > again {
		r.t.Errorf("%d rows came again, wanted at most %d", more, again)
	}
}

// committed is what the group knows.
func (r *rig) committed() map[string]int64 {
	r.t.Helper()
	offsets, err := r.admin().FetchOffsets(r.t.Context(), r.topic)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { out[fmt.Sprint(o.Partition)] = o.At })
	return out
}

func TestGroupSharesPartitions(t *testing.T) {
	rig := newRig(t, 4, nil)
	want := rig.fill(4, 0, 100)
	a := rig.join(rig.shared(nil), true)
	rig.wait("one reads all", func() bool { rows, _ := a.count(); return rows == 400 })
	b := rig.join(rig.shared(nil), true)
	reads := func(p *process, n int) bool { return len(p.r.(catalog.Partitioned).Partitions()) == n }
	rig.wait("each has two partitions", func() bool { return reads(a, 2) && reads(b, 2) })
	want = append(want, rig.fill(4, 100, 100)...)
	rig.wait("both read", func() bool { rowsA, _ := a.count(); rowsB, _ := b.count(); return rowsA+rowsB >= 800 })
	if rows, partitions := b.count(); rows != 200 || partitions != 2 {
		t.Errorf("the second has %d rows of %d partitions", rows, partitions)
	}
	a.leave()
	if got, want := rig.committed(), (map[string]int64{"0": 200, "1": 200, "2": 200, "3": 200}); !maps.Equal(got, want) {
		t.Errorf("committed: %v", got)
	}
	rig.wait("the other takes over", func() bool { return reads(b, 4) })
	want = append(want, rig.fill(4, 200, 50)...)
	rig.wait("it reads all", func() bool { rows, _ := b.count(); return rows == 400 })
	b.leave()
	rig.wantAll(want, 0, a.rows, b.rows)
}

// TestGroupReadsAgain has a process that goes before what it has read is durable: another one reads that again.
func TestGroupReadsAgain(t *testing.T) {
	rig := newRig(t, 2, nil)
	want := rig.fill(2, 0, 30)
	a := rig.join(rig.shared(nil), false)
	rig.wait("one reads", func() bool { rows, _ := a.count(); return rows == 60 })
	a.leave()
	b := rig.join(rig.shared(nil), true)
	rig.wait("the other reads that again", func() bool { rows, _ := b.count(); return rows == 60 })
	b.leave()
	rig.wantAll(want, 0, b.rows)
	c := rig.join(rig.shared(nil), true)
	want = rig.fill(2, 30, 10)
	rig.wait("a third goes on", func() bool { rows, _ := c.count(); return rows >= 20 })
	c.leave()
	rig.wantAll(want, 0, c.rows)
}

// TestGroupForgetsOldPositions acknowledges what an earlier assignment has read: it counts no more.
func TestGroupForgetsOldPositions(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.fill(1, 0, 20)
	a := rig.join(rig.shared(nil), false)
	rig.wait("one reads", func() bool { rows, _ := a.count(); return rows == 20 })
	a.leave()
	b := rig.join(rig.shared(nil), false)
	rig.wait("the other reads", func() bool { rows, _ := b.count(); return rows == 20 })
	for _, old := range []map[string]string{a.positions, {partitionName(rig.topic, 0): "7"}, {partitionName(rig.topic, 3): "7" + positionMark}} {
		if err := b.r.(catalog.Acknowledger).Acknowledge(t.Context(), old); err != nil {
			t.Fatal(err)
		}
	}
	if got := rig.committed(); len(got) > 0 {
		t.Errorf("committed: %v", got)
	}
	if err := b.r.(catalog.Acknowledger).Acknowledge(t.Context(), b.positions); err != nil {
		t.Fatal(err)
	}
	if got := rig.committed(); got["0"] != 20 {
		t.Errorf("committed: %v", got)
	}
	b.leave()
}

// TestGroupLatest begins at the end, and knows that end even if nothing comes.
func TestGroupLatest(t *testing.T) {
	rig := newRig(t, 2, nil)
	rig.fill(2, 0, 10)
	a := rig.join(rig.shared(map[string]any{"auto_offset_reset_config": "latest"}), false)
	rig.wait("it begins", func() bool { return len(rig.committed()) == 2 })
	a.leave()
	want := rig.fill(2, 10, 10)
	b := rig.join(rig.shared(map[string]any{"auto_offset_reset_config": "latest"}), true)
	rig.wait("it reads what came since", func() bool { rows, _ := b.count(); return rows >= 20 })
	b.leave()
	rig.wantAll(want, 0, b.rows)
}

// TestGroupOfPattern reads topics and partitions that come while it runs.
func TestGroupOfPattern(t *testing.T) {
	rig := newRig(t, 1, nil)
	a := rig.join(rig.shared(map[string]any{"topic": "/" + rig.topic + ".*/"}), true)
	rig.wait("it reads the one", func() bool { return len(a.r.(catalog.Partitioned).Partitions()) == 1 })
	other := *rig
	other.topic += "-more"
	if _, err := rig.admin().CreateTopic(t.Context(), 1, 1, nil, other.topic); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = rig.admin().DeleteTopic(context.Background(), other.topic) })
	if _, err := rig.admin().UpdatePartitions(t.Context(), 2, rig.topic); err != nil {
		t.Fatal(err)
	}
	rig.wait("it reads the new ones", func() bool { return len(a.r.(catalog.Partitioned).Partitions()) == 3 })
	rig.fill(2, 0, 10)
	other.fill(1, 0, 10)
	rig.wait("it reads all", func() bool { rows, partitions := a.count(); return rows == 30 && partitions == 3 })
	a.leave()
}

// TestGroupUnderLoad has members come and go while rows are written.
func TestGroupUnderLoad(t *testing.T) {
	rig := newRig(t, 4, nil)
	all := []*process{rig.join(rig.shared(nil), true)}
	var want []string
	for i := range 12 {
		want = append(want, rig.fill(4, i*250, 250)...)
		switch i % 3 {
		case 0:
			all = append(all, rig.join(rig.shared(nil), true))
		case 2:
			all[i/3].leave()
		}
	}
	got := func() (out [][]string) {
		for _, p := range all {
			p.mu.Lock()
			out = append(out, slices.Clone(p.rows))
			p.mu.Unlock()
		}
		return out
	}
	rig.wait("all rows", func() bool { rows, _ := unique(got()...); return len(rows) == len(want) })
	all[len(all)-1].leave()
	rig.wantAll(want, len(want), got()...)
}

// TestGroupMember is a process of TestGroupKilled.
func TestGroupMember(t *testing.T) {
	broker, topic, file := os.Getenv("LEAT_TEST_MEMBER_OF"), os.Getenv("LEAT_TEST_MEMBER_TOPIC"), os.Getenv("LEAT_TEST_MEMBER_FILE")
	if broker == "" {
		t.Skip("for TestGroupKilled")
	}
	rig := &rig{t: t, broker: broker, topic: topic, config: map[string]any{"bootstrap_servers": broker, "topic": topic}}
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	r := rig.begin(rig.shared(nil), nil)
	for n := 1; ; n++ {
		if err := r.morsel(); err != nil {
			t.Fatal(err)
		}
		for _, row := range r.rows {
			fmt.Fprintln(out, row)
		}
		r.rows = nil
		if n%5 != 0 { // what it has read since is not durable
			continue
		}
		if err := out.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := r.r.(catalog.Acknowledger).Acknowledge(t.Context(), r.positions); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroupKilled kills a member as kill -9 does: when the brokers have missed it for long enough, the other one takes over.
func TestGroupKilled(t *testing.T) {
	rig := newRig(t, 4, nil)
	file := filepath.Join(t.TempDir(), "rows")
	cmd := exec.Command(os.Args[0], "-test.run=^TestGroupMember$", "-test.count=1")
	cmd.Env = append(os.Environ(), "LEAT_TEST_MEMBER_OF="+rig.broker, "LEAT_TEST_MEMBER_TOPIC="+rig.topic, "LEAT_TEST_MEMBER_FILE="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill := func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	defer kill()
	a := rig.join(rig.shared(nil), true)
	reads := func(n int) func() bool {
		return func() bool { return len(a.r.(catalog.Partitioned).Partitions()) == n }
	}
	rig.wait("the two share", reads(2))
	var want []string
	written := 0
	put := func() {
		want = append(want, rig.fill(4, written, 40)...)
		written += 40
	}
	rig.wait("the other one reads", func() bool { put(); return len(lines(t, file)) > 500 })
	put()
	kill()
	put()
	rig.wait("the partitions come here", reads(4))
	put()
	theirs := lines(t, file)
	rig.wait("all rows", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		rows, _ := unique(theirs, a.rows)
		return len(rows) >= len(want)
	})
	a.leave()
	rig.wantAll(want, len(theirs), theirs, a.rows)
	if len(theirs) == 0 || len(theirs) >= len(want) {
		t.Errorf("the other one has read %d rows of %d", len(theirs), len(want))
	}
}

// lines are the whole lines of a file.
func lines(t *testing.T, file string) (out []string) {
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	s := bufio.NewScanner(strings.NewReader(string(text[:strings.LastIndexByte(string(text), '\n')+1])))
	for s.Scan() {
		out = append(out, s.Text())
	}
	return out
}

func TestGroupProblems(t *testing.T) {
	for _, c := range []struct {
		name string
		keys map[string]any
		code diag.Code
	}{
		{"no name", map[string]any{}, diag.MissingKey},
		{"a heartbeat too slow", map[string]any{"consumer_config": map[string]any{"group.id": "g", "session.timeout.ms": int64(1000), "heartbeat.interval.ms": int64(2000)}}, diag.BadValue},
		{"an end", map[string]any{"until": "latest", "consumer_config": map[string]any{"group.id": "g"}}, diag.Unsupported},
		{"a time", map[string]any{"max_read_time_seconds": int64(1), "consumer_config": map[string]any{"group.id": "g"}}, diag.Unsupported},
	} {
		config := map[string]any{"bootstrap_servers": "localhost:1", "topic": "t", "assignment": "group"}
		maps.Copy(config, c.keys)
		_, err := newReadSource(config)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Code != c.code || p.Key != "assignment" && p.Key != "consumer_config" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	config := map[string]any{"bootstrap_servers": "localhost:1", "topic": "t", "assignment": "group", "consumer_config": map[string]any{"group.id": "g"}}
	s, err := newReadSource(config)
	if err != nil {
		t.Fatal(err)
	}
	if s.Guarantee() != catalog.AtLeastOnce || !s.Shared() {
		t.Errorf("it promises %s", s.Guarantee())
	}
}

// TestGroupChanged has a checkpoint of the other assignment.
func TestGroupChanged(t *testing.T) {
	rig := newRig(t, 1, nil)
	var p *catalog.Problem
	in, err := rig.shared(nil).Open(t.Context(), payloadSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	err = in.(catalog.Resumable).Resume(t.Context(), catalog.Resume{Positions: map[string]string{partitionName(rig.topic, 0): "5"}})
	if !errors.As(err, &p) || p.Code != diag.StateMismatch {
		t.Errorf("from checkpoint to group: %v", err)
	}
	r := rig.begin(rig.source(stringly(nil)), map[string]string{partitionName(rig.topic, 0): strconv.Itoa(5) + positionMark + "x"})
	if err := r.morsel(); !errors.As(err, &p) || p.Code != diag.StateMismatch {
		t.Errorf("from group to checkpoint: %v", err)
	}
}
