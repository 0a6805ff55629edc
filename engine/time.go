package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/kernel"
)

// timeStep sets the event time. Windows follow from it anew. In a stream it tells the tracker of the watermark, and sets aside rows that are
// too far ahead.
type timeStep struct {
	base
	time  *kernel.Program // nil: rows keep their time
	times []int64
}

func (s *timeStep) push(ctx context.Context, b *column.Batch, _ int) error {
	out, err := s.assign(ctx, b)
	if err != nil {
		return err
	}
	if s.n.streamNode != nil && s.n.tracker != nil {
		if out, err = s.track(ctx, b, out); err != nil {
			return err
		}
	}
	return s.w.emit(ctx, s.n, 0, out)
}

// track takes rows into account for the watermark, and sets those aside that are too far ahead.
func (s *timeStep) track(ctx context.Context, was, b *column.Batch) (*column.Batch, error) {
	var server []int64
	if s.time != nil && was.ServerTimes {
		server = was.Times
	}
	if t := s.n.tracker; t.spec.Future > 0 && t.per < 0 && s.time != nil && server == nil && s.n.unjudged.CompareAndSwap(false, true) {
		s.w.run.stream.opts.Notify("WARNING", fmt.Sprintf("transform %q sets no row aside as too far ahead: the time that the source gives is not from its server's clock "+
			"(of a Kafka topic: message.timestamp.type=LogAppendTime), and there is no \"per\"", s.n.Name))
	}
	ahead := s.n.tracker.observe(b, server, s.n.heard(keyOf(b)))
	if len(ahead) == 0 {
		return b, nil
	}
	s.n.ahead.Add(int64(len(ahead)))
	if port, ok := s.n.errorsConsumed(); ok {
		if err := s.w.emit(ctx, s.n, port, s.errorBatch(b, ahead)); err != nil {
			return nil, err
		}
	}
	return without(b, ahead), nil
}

// heard is for how long a partition has been listened to.
func (n *streamNode) heard(k partitionKey) time.Duration {
	for _, f := range n.feeds {
		if f.n.ID == k.Source {
			return f.heard(k.Partition)
		}
	}
	return 0
}

var errFuture = &expr.Exception{Class: "ValueError", Msg: "the row is further ahead in event time than its watermark's \"future\" allows"}

// assign returns the rows with their new time.
func (s *timeStep) assign(ctx context.Context, b *column.Batch) (*column.Batch, error) {
	if s.time == nil {
		out := *b
		out.Starts, out.Ends = nil, nil
		return &out, nil
	}
	v, failures := s.time.Run(b, s.in)
	if cap(s.times) < b.N {
		s.times = make([]int64, b.N)
	}
	times := s.times[:b.N]
	var odd []kernel.Failure
	eachBut(b, failures, func(i int) {
		t, err := instantAt(v, i)
		if err != nil {
			odd = append(odd, kernel.Failure{Row: int32(i), Err: err})
			return
		}
		times[i] = int64(t)
	})
	rest, err := s.fail(ctx, b, mergeFailures(failures, odd))
	if err != nil {
		return nil, err
	}
	out := *rest
	out.Times, out.ServerTimes, out.Starts, out.Ends = times, false, nil, nil
	return &out, nil
}

// instantAt reads row i of a column as an event time.
func instantAt(v *column.Vector, i int) (column.Instant, error) {
	if !v.IsNull(i) {
		switch v.Type.Kind {
		case column.Int:
			return fromSeconds(v.Ints[i])
		case column.Float:
			return fromFloatSeconds(v.Floats[i])
		case column.Time:
			return column.Instant(v.Ints[i]), nil
		}
	}
	return instantOf(v.Value(i))
}

// instantOf reads a value as an event time: seconds, an RFC 3339 string, or a timestamp.
func instantOf(v column.Value) (column.Instant, error) {
	switch v := v.(type) {
	case int64:
		return fromSeconds(v)
	case float64:
		return fromFloatSeconds(v)
	case bool:
		if v {
			return 1000, nil
		}
		return 0, nil
	case column.Instant:
		return v, nil
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return 0, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("timestamp %s is neither seconds nor RFC 3339, such as 2026-01-31T12:00:00Z", expr.Repr(v))}
		}
		return inRange(t.UnixMilli())
	}
	return 0, &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf("Cannot interpret %s as a timestamp: wanted seconds, an RFC 3339 string or a timestamp", expr.Repr(v))}
}

var errTimeRange = &expr.Exception{Class: "OverflowError", Msg: "timestamp is outside of the range of event time"}

func fromSeconds(s int64) (column.Instant, error) {
	if s > math.MaxInt64/1_000_000 || s < math.MinInt64/1_000_000 {
		return 0, errTimeRange
	}
	return inRange(s * 1000)
}

// fromFloatSeconds takes the nearest microsecond, which undoes what ts / 1000 loses, and floors that to milliseconds.
func fromFloatSeconds(s float64) (column.Instant, error) {
	micros := math.RoundToEven(s * 1e6)
	if !(math.Abs(micros) < math.MaxInt64) { // not a number, too
		return 0, errTimeRange
	}
	return inRange(int64(math.Floor(micros / 1000)))
}

func inRange(ms int64) (column.Instant, error) {
	if t := column.Instant(ms); t >= column.MinInstant && t <= column.MaxInstant {
		return t, nil
	}
	return 0, errTimeRange
}
