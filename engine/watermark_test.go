package engine

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/internal/vfs"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// script is a source of one partition that says what a test gives it, when the test does.
type script struct {
	pieces     chan []said
	stamped    bool            // rows come with the time of a server, 100 s, beside that of the device
	arrival    bool            // that time is that of this machine
	behind     atomic.Bool     // rows may lie there that have not been read: its server does not answer
	batches    []*column.Batch // the pieces, made beforehand
	batchesOut int
	notes      []string // what was told of the run
}

// said is a row: what a device says, and when.
type said struct {
	device string
	at     int64
}

var saidSchema = column.Schema{{Name: "device", Type: column.StringType}, {Name: "at", Type: column.TimeType}}

var (
	_ = catalog.AddConnector(catalog.Connector{Name: "TestScript", Source: func(c map[string]any) (catalog.Source, error) { return c["script"].(*script), nil }})
	_ = catalog.AddConnector(catalog.Connector{Name: "TestNowhere", Sink: func(map[string]any, *catalog.SinkEnv) (catalog.Sink, error) { return nowhere{}, nil }})
)

func (s *script) Schema(context.Context) (column.Schema, error) { return saidSchema, nil }
func (s *script) Unbounded() bool                               { return true }
func (s *script) Open(context.Context, column.Schema) (catalog.Reader, error) {
	return s, nil
}
func (s *script) Close() error                          { return nil }
func (s *script) Progress() (int64, int64)              { return 0, -1 }
func (s *script) NewDecoder() catalog.Decoder           { return s }
func (s *script) Partitions() []string                  { return []string{"p"} }
func (s *script) CaughtUp(context.Context, string) bool { return !s.behind.Load() }

func (s *script) Next(ctx context.Context, m *catalog.Morsel) error {
	m.Partition = "p"
	if s.batches != nil {
		if s.batchesOut == len(s.batches) {
			return io.EOF
		}
		m.Part = s.batches[s.batchesOut]
		s.batchesOut++
		return nil
	}
	select {
	case p, ok := <-s.pieces:
		if !ok {
			return io.EOF
		}
		m.Part = p
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *script) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	if b, ok := m.Part.(*column.Batch); ok {
		piece := *b
		piece.Origin = &column.Origin{}
		return out.Batch(&piece)
	}
	rows := m.Part.([]said)
	device, at := column.NewBuilder(column.StringType), column.NewBuilder(column.TimeType)
	b := &column.Batch{N: len(rows), Origin: &column.Origin{}}
	for _, r := range rows {
		device.AppendBin([]byte(r.device))
		if err := at.Append(column.Instant(r.at)); err != nil {
			return err
		}
		if s.stamped || s.arrival {
			r.at = 100_000
		}
		b.Times = append(b.Times, r.at)
	}
	b.ServerTimes = s.stamped
	b.Cols = []*column.Vector{device.Finish(), at.Finish()}
	return out.Batch(b)
}

// nowhere drops rows.
type nowhere struct{}

func (nowhere) Open(context.Context, column.Schema) (catalog.Writer, error) { return nowhere{}, nil }
func (nowhere) NewEncoder() catalog.Encoder                                 { return nowhere{} }
func (nowhere) Write(context.Context, *column.Batch) error                  { return nil }
func (nowhere) Flush(context.Context) error                                 { return nil }
func (nowhere) Commit(context.Context) (catalog.Written, error)             { return catalog.Written{}, nil }
func (nowhere) Abort() error                                                { return nil }

// counting is a plan that counts what each device says in a second.
func counting(s *script, mark *plan.Watermark, time *expr.Expr) *plan.Plan {
	b := plan.NewBuilder("test")
	b.At = plan.Meta{Name: "Read"}
	in := b.Source("TestScript", map[string]any{"script": s}, saidSchema, true).Main()
	b.At.Name = "Time"
	in = b.AssignTime(in, time, mark).Main()
	b.At.Name = "Window"
	in = b.Window(in, plan.Windowing{Kind: plan.Fixed, Size: 1000}).Main()
	b.At.Name = "Count"
	in = b.Aggregate(in, []string{"device"}, []plan.Agg{{Name: "n", Fn: "count", Arg: expr.FieldRef(saidSchema[1]), Type: column.IntType}}).Main()
	b.At.Name = "Write"
	b.Sink("TestNowhere", nil, in)
	return b.Plan
}

// play runs a stream through steps, which are rows ([]said), or what to do when those before are in the state (func()). It returns how many rows were
// late, and how many were set aside.
func play(t *testing.T, s *script, mark plan.Watermark, dir string, steps ...any) (late, ahead int64) {
	t.Helper()
	o := Options{Parallelism: 2, Progress: &Progress{}, Stream: StreamOptions{Interval: 10 * time.Millisecond}}
	if dir != "" {
		store, err := state.Open(vfs.OS, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		if o.Stream.Checkpoint, _, err = store.Load(); err != nil {
			t.Fatal(err)
		}
		o.Stream.Store = store
	}
	stop := make(chan struct{})
	o.Stream.Stop = stop
	s.pieces = make(chan []said)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		defer close(stop)
		for _, step := range steps {
			switch step := step.(type) {
			case []said:
				select {
				case s.pieces <- step:
				case <-ctx.Done():
					return
				}
			case func():
				time.Sleep(30 * time.Millisecond) // for what is under way
				step()
			}
		}
		time.Sleep(30 * time.Millisecond)
	}()
	var at *expr.Expr
	if s.stamped || s.arrival {
		at = expr.FieldRef(saidSchema[1])
	}
	o.Stream.Notify = func(_, text string) { s.notes = append(s.notes, text) }
	r, err := Run(ctx, counting(s, &mark, at), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range r.Nodes {
		late, ahead = late+n.Late, ahead+n.Ahead
	}
	return late, ahead
}

// silence lets an "idle" pass several times over.
func silence() { time.Sleep(400 * time.Millisecond) }

// TestSilenceOfTheSource lets nothing be read for longer than "idle": that tells nothing of any device, and makes no row late.
func TestSilenceOfTheSource(t *testing.T) {
	for name, behind := range map[string]bool{"its server is down": true, "there is nothing": false} {
		s := &script{}
		late, _ := play(t, s, plan.Watermark{Per: "device", Idle: 80}, "",
			[]said{{"quick", 20_000}, {"slow", 10_000}}, func() { s.behind.Store(behind); silence(); s.behind.Store(false) },
			[]said{{"slow", 10_500}, {"quick", 20_500}}, []said{{"slow", 11_000}})
		if late != 0 {
			t.Errorf("%s: %d rows were late", name, late)
		}
	}
}

const hour = int64(3_600_000)

// TestFastClockSpeaksFirst lets a device with a fast clock be the first to speak after a lull, and after a restart. No other's row is late for it.
func TestFastClockSpeaksFirst(t *testing.T) {
	mark := plan.Watermark{Per: "device", Idle: 80, Future: hour}
	begin := []said{{"fast", 3 * hour}, {"slow", 10_000}, {"other", 10_000}, {"fast", 3*hour + 1}, {"slow", 11_000}, {"other", 11_000}}
	morning, others := []said{{"fast", 12 * hour}}, []said{{"slow", 9 * hour}, {"other", 9 * hour}}
	for name, restart := range map[string]bool{"lull": false, "restart": true} {
		dir := t.TempDir()
		var late, ahead int64
		if restart {
			play(t, &script{}, mark, dir, begin)
			late, ahead = play(t, &script{}, mark, dir, morning, func() { silence() }, morning, func() { silence() }, others)
		} else {
			late, ahead = play(t, &script{}, mark, dir, begin, func() { silence() }, morning, func() { silence() }, morning, func() { silence() }, others)
		}
		if late != 0 || ahead == 0 {
			t.Errorf("%s: %d rows were late, %d set aside", name, late, ahead)
		}
	}
}

// TestFutureOfServers judges by the time of a server, or by the other devices; never by when leat took a row in.
func TestFutureOfServers(t *testing.T) {
	rows := []said{{"a", 100_000}, {"b", 101_500}, {"c", 99_000}}
	for name, test := range map[string]struct {
		script *script
		per    string
		ahead  int64
		notes  int
	}{
		"a server":                  {&script{stamped: true}, "", 1, 0},
		"a server, and others":      {&script{stamped: true}, "device", 1, 0},
		"this machine":              {&script{arrival: true}, "", 0, 1},
		"this machine, and others":  {&script{arrival: true}, "device", 1, 0},
		"another source's own time": {&script{}, "device", 1, 0},
	} {
		s := test.script
		if _, ahead := play(t, s, plan.Watermark{Future: 1000, Per: test.per, Idle: 5000, Disorder: 5000}, "", rows); ahead != test.ahead || len(s.notes) != test.notes {
			t.Errorf("%s: %d rows were set aside, want %d; told %q", name, ahead, test.ahead, s.notes)
		}
	}
}

// TestClaims judges rows by what the values say in turn. A row in brackets is set aside.
func TestClaims(t *testing.T) {
	for name, test := range map[string]struct {
		rows []said
		want string
	}{
		"the first cannot be judged":       {[]said{{"a", 10}, {"a", 9000}}, "a10 a9000"},
		"one is fast":                      {[]said{{"a", 10}, {"f", 5000}, {"a", 20}, {"f", 5010}, {"b", 30}, {"f", 5020}}, "a10 [f5000] a20 [f5010] b30 [f5020]"},
		"the fast one is the first":        {[]said{{"f", 5000}, {"a", 10}, {"f", 5010}, {"a", 20}}, "f5000 a10 [f5010] a20"},
		"two agree":                        {[]said{{"a", 10}, {"b", 20}, {"a", 5000}, {"b", 5010}, {"a", 5020}}, "a10 b20 [a5000] b5010 a5020"},
		"the fast one after a lull":        {[]said{{"f", 5000}, {"a", 10}, {"f", 15_000}, {"f", 15_900}, {"a", 10_000}, {"f", 16_000}}, "f5000 a10 [f15000] [f15900] a10000 [f16000]"},
		"one that is alone goes on":        {[]said{{"a", 10}, {"b", 20}, {"a", 900}, {"a", 1800}, {"a", 2700}}, "a10 b20 a900 a1800 a2700"},
		"one that is alone jumps":          {[]said{{"a", 10}, {"b", 20}, {"a", 5000}, {"a", 5090}, {"a", 5100}, {"a", 5200}}, "a10 b20 [a5000] [a5090] a5100 a5200"},
		"the fast one creeps":              {[]said{{"a", 10}, {"f", 900}, {"a", 20}, {"f", 1100}, {"a", 30}, {"f", 1700}}, "a10 f900 a20 [f1100] a30 [f1700]"},
		"the fast one is put right":        {[]said{{"a", 10}, {"f", 5000}, {"a", 20}, {"f", 30}, {"a", 40}}, "a10 [f5000] a20 f30 a40"},
		"one catches up with the fast one": {[]said{{"a", 10}, {"f", 5000}, {"a", 900}, {"b", 1800}, {"a", 5100}, {"f", 9000}}, "a10 [f5000] a900 b1800 a5100 [f9000]"},
	} {
		c := claims{walked: noMark, jumped: noMark}
		var got []string
		for _, r := range test.rows {
			if c.ahead([]byte(r.device), r.at, 1000, 100) {
				got = append(got, fmt.Sprintf("[%s%d]", r.device, r.at))
			} else {
				got = append(got, fmt.Sprint(r.device, r.at))
			}
		}
		if have := strings.Join(got, " "); have != test.want {
			t.Errorf("%s: got %s, want %s", name, have, test.want)
		}
	}
}

// TestSlowest follows many values, of which some fall silent, beside a plain account of them.
func TestSlowest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tr := newTracker(plan.Watermark{Per: "device", Idle: 50}, saidSchema)
	m := tr.part(partitionKey{}, 0)
	times, seen := map[string]int64{}, map[string]time.Duration{}
	for i := range 5000 {
		heard := time.Duration(i) * time.Millisecond
		name := fmt.Sprint(rng.IntN(40) * rng.IntN(40) / 20)
		at := int64(i) - rng.Int64N(200)
		m.value([]byte(name), at, heard)
		if old, ok := times[name]; !ok || at > old {
			times[name] = at
		}
		seen[name] = heard
		if rng.IntN(3) > 0 {
			continue
		}
		want := endMark
		for name, last := range seen {
			if heard-last < 50*time.Millisecond {
				want = min(want, times[name])
			}
		}
		if got := tr.markOf(m, heard); got != want {
			t.Fatalf("after %d rows: %d, want %d", i, got, want)
		}
		for name := range seen { // the slowest alone are forgotten: those ahead of it hold nothing up
			if m.values[name] == nil {
				delete(times, name)
				delete(seen, name)
			}
		}
	}
	if last := tr.markOf(m, 5000*time.Millisecond); tr.markOf(m, time.Hour) != last || len(m.values) != 0 {
		t.Errorf("with all values idle the mark is %d, was %d", tr.markOf(m, time.Hour), last)
	}
}

// TestTrackerState saves and loads what a tracker knows, and loads what older releases have saved.
func TestTrackerState(t *testing.T) {
	nodes := []*node{{Node: &plan.Node{Name: "Read"}}}
	mark := plan.Watermark{Per: "device", Idle: 50, Future: 1000, Disorder: 5}
	before := newTracker(mark, saidSchema)
	m := before.part(partitionKey{0, "p"}, 0)
	for _, r := range []said{{"f", 9000}, {"a", 30}, {"b", 20}, {"f", 9001}} {
		if !m.claims.ahead([]byte(r.device), r.at, 1000, 50) {
			m.value([]byte(r.device), r.at, 0)
		}
	}
	old := []byte(`[{"source":"Read","partition":"p","max":9000,"values":{"a":30,"b":20,"f":9000}}]`)
	for name, data := range map[string][]byte{"saved": before.save(nodes), "of an older release": old} {
		after := newTracker(mark, saidSchema)
		if err := after.load(data, nodes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := after.part(partitionKey{0, "p"}, 0)
		if got := after.markOf(m, 0); got != 15 {
			t.Errorf("%s: the mark is %d, want 15", name, got)
		}
		if !m.claims.ahead([]byte("f"), 10_000, 1000, 50) || m.claims.ahead([]byte("a"), 40, 1000, 50) {
			t.Errorf("%s: the fast one is not known", name)
		}
	}
	data := before.save(nodes)
	for n := 1; n < len(data); n++ {
		if err := newTracker(mark, saidSchema).load(data[:n], nodes); err == nil && n > 1 {
			t.Errorf("%d bytes of %d are taken for all", n, len(data))
		}
	}
}

// TestManyValuesOutlastARestart goes on with so many values that they are in a file of their own. The slowest still counts.
func TestManyValuesOutlastARestart(t *testing.T) {
	mark, dir := plan.Watermark{Per: "device", Idle: 60_000}, t.TempDir()
	many := []said{{"slow", 10_000}}
	for i := range 3000 {
		many = append(many, said{fmt.Sprint("device", i), 20_000})
	}
	play(t, &script{}, mark, dir, many)
	if late, _ := play(t, &script{}, mark, dir, []said{{"device7", 30_000}}, func() { silence() }, []said{{"slow", 10_500}}); late != 0 {
		t.Errorf("%d rows were late", late)
	}
}

// TestListened counts the time in which a partition was listened to.
func TestListened(t *testing.T) {
	s := &script{}
	f := &feed{reader: s, parts: map[string]*listened{}, orders: map[string]int64{}, positions: map[string]string{}, free: make(chan *piece, 9)}
	piece := &piece{morsel: catalog.Morsel{Partition: "p"}}
	listen := func() { f.listen(t.Context(), "p", time.Second, 3*time.Second) }
	for i, step := range []struct {
		do    func()
		want  time.Duration
		quiet bool
	}{
		{func() {}, 1 * time.Second, false},
		{func() { s.behind.Store(true) }, 1 * time.Second, false},                             // its server does not answer
		{func() { s.behind.Store(false); f.part("p").under++ }, 1 * time.Second, false},       // a piece is with a sink
		{func() { f.part("p").under++; f.processed(piece) }, 2 * time.Second, false},          // one of two is done
		{func() {}, 2 * time.Second, false},                                                   // and the other is not
		{func() { f.processed(piece) }, 3 * time.Second, false},                               // now it is
		{func() { listen(); listen() }, 5 * time.Second, true},                                // silence since
		{func() {}, 5 * time.Second, true},                                                    // is long enough
		{func() { f.part("p").under++; f.processed(piece) }, 6 * time.Second, false},          // it speaks again
		{func() { f.part("p").under++; piece.morsel.Bare = true }, 6 * time.Second, false},    // what has no rows
		{func() { f.processed(piece) }, 7 * time.Second, false},                               // says nothing
		{func() { listen(); f.part("p").under++; f.processed(piece) }, 8 * time.Second, true}, // though it comes again
	} {
		step.do()
		listen()
		if got := f.heard("p"); got != step.want || f.isQuiet("p") != step.quiet {
			t.Errorf("step %d: %s, idle %v; want %s, %v", i, got, f.isQuiet("p"), step.want, step.quiet)
		}
	}
}

// BenchmarkPer follows each of many devices. It tells of the processor time, for all that the machine does beside.
func BenchmarkPer(b *testing.B) {
	const rows, devices, size = 1_500_000, 200_000, 4096
	for _, per := range []string{"", "device"} {
		b.Run("per="+per, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := &script{batches: []*column.Batch{}}
				for at := 0; at < rows; at += size {
					device, when := column.NewBuilder(column.StringType), column.NewBuilder(column.TimeType)
					piece := &column.Batch{N: min(size, rows-at)}
					for i := range piece.N {
						n := (at + i) * 7919 % devices
						device.AppendBin(fmt.Appendf(nil, "device-%06d", n))
						if err := when.Append(column.Instant((at + i) / 10)); err != nil {
							b.Fatal(err)
						}
						piece.Times = append(piece.Times, int64((at+i)/10))
					}
					piece.Cols = []*column.Vector{device.Finish(), when.Finish()}
					s.batches = append(s.batches, piece)
				}
				p := counting(s, &plan.Watermark{Per: per, Idle: plan.DefaultIdle}, nil)
				p.Nodes[3].Op.(*plan.Aggregate).Keys = nil
				p.Nodes[3].Out[0].Schema = p.Nodes[3].Out[0].Schema[1:]
				store, err := state.Open(vfs.OS, b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				before := processor()
				if _, err := Run(b.Context(), p, Options{Parallelism: 2, Stream: StreamOptions{Store: store, Interval: 500 * time.Millisecond}}); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric((processor() - before).Seconds(), "cpu-s")
				c, _, err := store.Load()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(c.Bytes()), "state-bytes")
				store.Close()
			}
		})
	}
}

// processor is the time that this process has had.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
