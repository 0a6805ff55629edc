package plan

import (
	"fmt"
	"strconv"
)

// WindowKind is a kind of window function.
type WindowKind uint8

// The window kinds. Global is the zero kind.
const (
	Global WindowKind = iota
	Fixed
	Sliding
	Sessions
)

// Windowing says how rows are put into windows. All lengths are in milliseconds.
type Windowing struct {
	Kind   WindowKind
	Size   int64 // of fixed and sliding windows
	Period int64 // from one sliding window's start to the next
	Offset int64 // of the windows' starts from 1970-01-01
	Gap    int64 // of sessions: an element's window is [t, t+Gap)

	// In unbounded input; bounded input gives one pane for each window, and nothing is late.
	Lateness     int64 // how long after its end a window takes rows
	Accumulating bool  // a pane holds all rows of its window, not only those since the last pane
	Early        Firing
	Late         Firing // zero: as soon as a late row came
}

// Firing says when a window fires beside when the watermark passes its end. The zero Firing: never. In the global window Early is the
// whole trigger.
type Firing struct {
	Count int64 // after so many rows since the last pane
	Delay int64 // so many milliseconds of processing time after a row since the last pane, at the latest
}

// Panes reports whether windows may fire more than once.
func (w Windowing) Panes() bool { return w.Lateness > 0 || w.Early != (Firing{}) }

// String prints the windowing: global, fixed(10s), sliding(1m every 10s), sessions(30s).
func (w Windowing) String() string {
	s := "global"
	switch w.Kind {
	case Fixed:
		s = "fixed(" + millis(w.Size) + offset(w.Offset) + ")"
	case Sliding:
		s = "sliding(" + millis(w.Size) + " every " + millis(w.Period) + offset(w.Offset) + ")"
	case Sessions:
		s = "sessions(" + millis(w.Gap) + ")"
	}
	if w.Lateness > 0 {
		s += ", lateness " + millis(w.Lateness)
	}
	s += w.Early.text("early") + w.Late.text("late")
	if w.Accumulating {
		s += ", accumulating"
	}
	return s
}

func (f Firing) text(name string) string {
	s := ""
	if f.Count > 0 {
		s += fmt.Sprintf(", %s after %d rows", name, f.Count)
	}
	if f.Delay > 0 {
		s += ", " + name + " after " + millis(f.Delay)
	}
	return s
}

func offset(ms int64) string {
	if ms == 0 {
		return ""
	}
	return " offset " + millis(ms)
}

func millis(ms int64) string {
	units := []struct {
		name string
		ms   int64
	}{{"d", 86_400_000}, {"h", 3_600_000}, {"m", 60_000}, {"s", 1000}}
	for _, u := range units {
		if ms != 0 && ms%u.ms == 0 {
			return fmt.Sprintf("%d%s", ms/u.ms, u.name)
		}
	}
	return strconv.FormatInt(ms, 10) + "ms"
}

// FloorStart returns the start of the fixed window of that size and offset that holds t. It is plain int64
// arithmetic: a window may start before the least timestamp.
func FloorStart(t, size, offset int64) int64 {
	r := (t - offset) % size
	if r < 0 {
		r += size
	}
	return t - r
}
