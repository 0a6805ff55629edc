package column

import "fmt"

// Batch is a run of rows as columns, with the event time and the window of each.
//
// A batch and its columns are valid until the call that they were passed to returns.
type Batch struct {
	N      int       // rows in the columns
	Sel    []int32   // the rows that count, rising; nil: all. A filter narrows Sel and copies nothing
	Cols   []*Vector // one for each field of the schema, each of length N
	Times  []int64   // event time of each row, Instant; nil: all at MinInstant
	Starts []int64   // window of each row [Starts, Ends); nil: the window follows from the event time and the
	Ends   []int64   // windowing of the stream (see plan.Port)
	Origin *Origin   // where the rows came from; nil: not known
	Rows   []int32   // for each row its number within the origin; nil: row i is number i
	// ServerTimes says that Times are from the clock of a server that the rows came through: not of who made them, nor of this machine.
	ServerTimes bool
}

// Origin is the piece of a source that rows came from. Source, Seq and a row's number order the rows of a plan
// in one way at any parallelism.
type Origin struct {
	Source int    // the plan node
	Seq    int64  // the morsel, counted from 0 in the order of the source
	File   string // "" where there is none
	// Partition of the source, "" where it has one alone: watermarks are made by partition. It does not outlast the process.
	Partition string
	// Line tells the line (from 1) of a row number, or 0 where rows have none. It may be slow; nil: no lines.
	Line func(row int32) int64
}

// Len returns how many rows count.
func (b *Batch) Len() int {
	if b.Sel != nil {
		return len(b.Sel)
	}
	return b.N
}

// Time returns the event time of row i.
func (b *Batch) Time(i int) Instant {
	if b.Times == nil {
		return MinInstant
	}
	return Instant(b.Times[i])
}

// RowNumber returns the number of row i within its origin.
func (b *Batch) RowNumber(i int) int32 {
	if b.Rows == nil {
		return int32(i)
	}
	return b.Rows[i]
}

// Where says where row i came from, "events.ndjson:17", or "" where nothing is known.
func (b *Batch) Where(i int) string {
	if b.Origin == nil || b.Origin.File == "" {
		return ""
	}
	if b.Origin.Line != nil {
		if line := b.Origin.Line(b.RowNumber(i)); line > 0 {
			return fmt.Sprintf("%s:%d", b.Origin.File, line)
		}
	}
	return b.Origin.File
}

// Each calls f with the index of each row that counts.
func (b *Batch) Each(f func(i int)) {
	if b.Sel != nil {
		for _, i := range b.Sel {
			f(int(i))
		}
		return
	}
	for i := 0; i < b.N; i++ {
		f(i)
	}
}
