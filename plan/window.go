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
}

// String prints the windowing: global, fixed(10s), sliding(1m every 10s), sessions(30s).
func (w Windowing) String() string {
	switch w.Kind {
	case Fixed:
		return "fixed(" + millis(w.Size) + offset(w.Offset) + ")"
	case Sliding:
		return "sliding(" + millis(w.Size) + " every " + millis(w.Period) + offset(w.Offset) + ")"
	case Sessions:
		return "sessions(" + millis(w.Gap) + ")"
	}
	return "global"
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
