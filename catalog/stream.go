package catalog

import (
	"context"
	"time"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// What connectors of streams do beyond those of files. A Reader or Writer has the methods that it can keep the promise of; the engine makes
// the best of what there is, and leat plan shows what that is worth.

// Endless is a Source that may not end by itself.
type Endless interface {
	Source
	Unbounded() bool
}

// Resume is what a Reader of a stream begins with.
type Resume struct {
	Job  string // names the pipeline: consumer groups and the like derive from it
	Name string // of the transform
	Dir  string // a folder for what the reader must keep itself; it may not be there yet. "": nothing is kept between runs
	// Positions says for each partition where to go on: the Position of the last morsel that the checkpoint knows. Partitions that
	// are not in it begin at the beginning. Empty: a first run.
	Positions map[string]string
}

// Resumable is a Reader that can begin anywhere. Its Next sets Partition, Position and Seq of each morsel. A Reader that is not is read from
// the beginning again, and the morsels that the checkpoint knows are dropped.
//
// Next of an unbounded source blocks until there is something; it returns the context's error when that is done.
type Resumable interface {
	Reader
	// Resume is called once, before the first Next.
	Resume(ctx context.Context, r Resume) error
}

// Acknowledger is a Reader that tells its server, or drops from its own log, what will not be asked for again.
type Acknowledger interface {
	// Acknowledge is called after a checkpoint with those positions is durable and its sinks have committed. An error is reported, and does
	// not end the run: the next call covers it.
	Acknowledge(ctx context.Context, positions map[string]string) error
}

// Keeper is an Acknowledger that has what nobody else has, and keeps for older checkpoints what it has room for.
type Keeper interface {
	Acknowledger
	// Keep says, before Acknowledge, the positions of all checkpoints and savepoints that one can go back to.
	Keep(positions []map[string]string)
}

// Partitioned is a Reader whose partitions are known before their first row, so that the watermark waits for each of them.
type Partitioned interface {
	// Partitions returns those that are read now. Safe at any time.
	Partitions() []string
	// CaughtUp reports whether all that lies in the partition has been handed out. It may ask the server; where that does not answer, it
	// says false. Safe at any time.
	CaughtUp(ctx context.Context, partition string) bool
}

// Transactional is a Writer whose rows become visible epoch by epoch, each exactly once. Encoders have been flushed before Prepare.
//
// The order of calls is Recover, then for each epoch Prepare and, when the checkpoint that holds what it returned is durable, CommitEpoch. After
// a crash the first call is Recover with the last durable checkpoint. Rows may be written between Prepare and CommitEpoch: they
// belong to the next epoch.
type Transactional interface {
	Writer
	// Recover begins. epoch and staged are those of the last durable checkpoint, 0 and nil where there is none: it is committed, if that did not happen
	// yet, however long ago it was; what was written for later epochs is dropped.
	Recover(ctx context.Context, epoch int64, staged []byte) error
	// Prepare ends an epoch. Once what it returns is durable, the epoch can be committed by another process.
	Prepare(ctx context.Context, epoch int64) (staged []byte, err error)
	// CommitEpoch makes an epoch visible.
	CommitEpoch(ctx context.Context, epoch int64, staged []byte) error
}

// Syncer is a Writer without transactions that can say when what it was given is safe: the rows are there at least once then.
type Syncer interface {
	Sync(ctx context.Context) error
}

// Cutter is a Transactional or Syncer that ends an epoch in two steps, so that no row waits for a server or a disk meanwhile.
type Cutter interface {
	Writer
	// Cut takes the place of Prepare or Sync: rows that are written after it belong to the next epoch. It is called while nothing is written, and is fast.
	// finish does the rest while rows are written; it is called once, before the epoch is committed and before the next Cut. A Syncer returns nil.
	Cut(epoch int64) (finish func(ctx context.Context) (staged []byte, err error))
}

// Rolling is a Transactional that may have something to do at a checkpoint though no row has come, such as to close a file for its age.
type Rolling interface {
	Transactional
	// Due reports whether it does. Safe at any time.
	Due(now time.Time) bool
}

// Metered is a Reader or Writer with figures of its own, such as the lag of a consumer or the state of a circuit breaker. Safe at any time.
type Metered interface {
	Metrics() []Metric
}

// Metric is one figure, as Prometheus has them: names in snake case, with a unit at the end.
type Metric struct {
	Name    string // "lag_rows"; a prefix is added
	Help    string
	Labels  map[string]string // such as the partition
	Value   float64
	Counter bool // only rises; else a gauge
}

// Guarantee is what a connector can promise for the rows of a stream.
type Guarantee uint8

// The guarantees, weakest first.
const (
	AtMostOnce  Guarantee = iota // rows that are under way are lost with the process
	AtLeastOnce                  // after a crash rows may come again
	ExactlyOnce
)

// String returns the guarantee as plans print it.
func (g Guarantee) String() string {
	return [...]string{"at most once", "at least once", "exactly once"}[g]
}

// Guaranteed is a Source or Sink that says what it promises in a stream with a state directory. Without it a source of files is exactly once, and
// a sink at least once.
type Guaranteed interface {
	Guarantee() Guarantee
}

// Shared is a Source whose partitions may pass from one process to another while they are read. What a pipeline keeps of their rows would stay
// behind: where Shared is true, transforms with a state are refused.
type Shared interface {
	Shared() bool
}

// Pinger is a Source or Sink that can ask its server whether it is there and lets us in. An error says what is wrong.
type Pinger interface {
	Ping(ctx context.Context) error
}

// StreamFields are the keys that every unbounded source takes beside its own: see plan.Watermark.
func StreamFields() []Field {
	return []Field{
		{Name: "timestamp", Type: Expression, Doc: "The expression that gives the event time; without it, rows have the source's own."},
		WatermarkField(),
	}
}

// WatermarkField is the key that says how the watermark follows from rows.
func WatermarkField() Field {
	return Field{Name: "watermark", Type: Object, Doc: "How the watermark of an unbounded stream follows from the rows.", Fields: []Field{
		{Name: "disorder", Type: Length, Default: "0", Doc: "How much later than a row with a greater time a row may come."},
		{Name: "per", Type: Text, Doc: "A field, each value of which is followed on its own: the slowest counts."},
		{Name: "idle", Type: Length, Default: "30s", Doc: "A partition (or value of \"per\") that is silent for so long holds nothing up."},
		{Name: "future", Type: Length, Doc: "A row that is so far ahead of the others is set aside; by default none is."},
	}}
}

// Watermark reads the key "watermark" of a transform whose rows those are; nil where it is not given.
func (l *Lowering) Watermark(v *Value, rows plan.Ref) (w *plan.Watermark, ok bool) {
	if v == nil || v.Data == nil {
		return nil, true
	}
	w, ok = &plan.Watermark{Idle: plan.DefaultIdle}, true
	for key, to := range map[string]*int64{"disorder": &w.Disorder, "idle": &w.Idle, "future": &w.Future} {
		given := v.Get(key)
		if given == nil || given.Data == nil {
			continue
		}
		ms, problem := parseLength(given)
		if problem == "" && ms < 0 {
			problem = "a length of time is not negative"
		}
		if problem != "" {
			l.Problems.Errorf(given.Place, diag.BadDuration, "%q: %s", key, problem).Hint = lengthHint
			ok = false
		}
		*to = ms
	}
	if per := v.Get("per"); per != nil && per.Data != nil {
		w.Per = per.Text()
		if schema := l.Builder.Plan.Port(rows).Schema; schema.Index(w.Per) < 0 {
			l.Problems.Errorf(per.Place, diag.UnknownField, "the rows have no field %q", w.Per).Hint = diag.DidYouMean(w.Per, "fields", schema.Names())
			ok = false
		}
	}
	if future := v.Get("future"); ok && w.Future > 0 && w.Per == "" && l.Builder.Plan.Port(rows).Unbounded && !serverTimes(l.Builder.Plan, rows) {
		l.Problems.Errorf(future.Place, diag.BadValue, "\"future\" has nothing to compare a row with: the source has no time from a server's clock, and no \"per\" says what others there are").Hint =
			"Name the field that tells devices apart, as per: device."
		ok = false
	}
	return w, ok
}

// Duration reads the key of a connector's configuration as a duration, such as 5s; def where it is not given.
func Duration(config map[string]any, key string, def time.Duration) (time.Duration, error) {
	v, ok := config[key]
	if !ok || v == nil {
		return def, nil
	}
	ms, problem := parseLength(&Value{Data: v})
	if problem != "" {
		return 0, &Problem{Key: key, Code: diag.BadDuration, Text: "\"" + key + "\": " + problem, Hint: lengthHint}
	}
	return time.Duration(ms) * time.Millisecond, nil
}
