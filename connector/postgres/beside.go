package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leat-project/leat/column"
)

// Rows that the server may refuse are kept whole beside the lines that are made of them, in the same order, as pieces of batches:
//
//	length of what follows, rows     8 and 4 bytes, little endian
//	where the rows came from         runs of lines, see appendRuns
//	the rows                         as column.AppendBatch writes them
//
// Whole batches cost a fraction of what single rows would.

const pieceHead = 12

// appendPiece appends the rows of b that count.
func appendPiece(dst []byte, b *column.Batch, s column.Schema) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, pieceHead)...)
	dst = appendRuns(dst, b)
	dst = column.AppendBatch(dst, b, s)
	return endPiece(dst, start, b.Len())
}

// endPiece fills in the head of the piece that begins at start.
func endPiece(dst []byte, start, rows int) []byte {
	binary.LittleEndian.PutUint64(dst[start:], uint64(len(dst)-start-pieceHead))
	binary.LittleEndian.PutUint32(dst[start+8:], uint32(rows))
	return dst
}

// run are rows of which each stands as many lines after the first as its number is greater.
type run struct {
	number int32 // of the first row, within its origin
	line   int64 // of that; 0: there are no lines
}

// appendRuns appends the lines of rows. To ask for a line may be slow, and lines mostly follow each other: few are asked for.
func appendRuns(dst []byte, b *column.Batch) []byte {
	var runs []run
	if o := b.Origin; o != nil && o.Line != nil && b.Len() > 0 {
		number := func(k int) int32 {
			if b.Sel != nil {
				k = int(b.Sel[k])
			}
			return b.RowNumber(k)
		}
		var split func(lo, hi int, from, to int64)
		split = func(lo, hi int, from, to int64) {
			first, last := number(lo), number(hi)
			if to-from == int64(last-first) || from == 0 && to == 0 {
				runs = append(runs, run{first, from})
				return
			}
			mid := (lo + hi) / 2
			split(lo, mid, from, o.Line(number(mid)))
			split(mid+1, hi, o.Line(number(mid+1)), to)
		}
		split(0, b.Len()-1, o.Line(number(0)), o.Line(number(b.Len()-1)))
	}
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	for _, r := range runs {
		dst = binary.AppendVarint(dst, int64(r.number))
		dst = binary.AppendVarint(dst, r.line)
	}
	return dst
}

var errPiece = errors.New("a piece of rows ends early")

func readRuns(src []byte) (runs []run, rest []byte, err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n > uint64(len(src)) {
		return nil, nil, errPiece
	}
	src = src[size:]
	for range n {
		number, size := binary.Varint(src)
		if size <= 0 {
			return nil, nil, errPiece
		}
		line, more := binary.Varint(src[size:])
		if more <= 0 {
			return nil, nil, errPiece
		}
		runs, src = append(runs, run{int32(number), line}), src[size+more:]
	}
	return runs, src, nil
}

// readPiece reads a piece behind its head, and returns the bytes after it.
func readPiece(src []byte, s column.Schema) (b *column.Batch, rest []byte, err error) {
	runs, src, err := readRuns(src)
	if err != nil {
		return nil, nil, err
	}
	if b, rest, err = column.ReadBatch(src, s); err != nil {
		return nil, nil, err
	}
	if b.Origin != nil && len(runs) > 0 {
		b.Origin.Line = func(row int32) (line int64) {
			for _, r := range runs {
				if r.number > row {
					break
				}
				if line = r.line; line > 0 {
					line += int64(row - r.number)
				}
			}
			return line
		}
	}
	return b, rest, nil
}

// nextPiece reads a whole piece, or skips it where no row of interest is in it: it has n rows.
func nextPiece(from *bufio.Reader, wanted func(n int64) bool) (data []byte, n int64, err error) {
	var head [pieceHead]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, 0, err
	}
	size, n := binary.LittleEndian.Uint64(head[:]), int64(binary.LittleEndian.Uint32(head[8:]))
	if size > 1<<40 {
		return nil, 0, fmt.Errorf("a piece of rows has %d bytes", size)
	}
	if !wanted(n) {
		for size > 0 && err == nil {
			step := min(size, 1<<30)
			_, err = from.Discard(int(step))
			size -= step
		}
		return nil, n, err
	}
	data = make([]byte, size)
	_, err = io.ReadFull(from, data)
	return data, n, err
}

// wholeRows reads the rows of some lines, which rise, from what lies beside these. f gets a batch of its own.
func wholeRows(beside io.Reader, s column.Schema, lines []refusedLine, f func(b *column.Batch, of []refusedLine) error) error {
	from, at := bufio.NewReaderSize(beside, 64<<10), int64(0)
	for len(lines) > 0 {
		data, n, err := nextPiece(from, func(n int64) bool { return lines[0].row < at+n })
		if err != nil {
			return fmt.Errorf("the row beside line %d: %w", lines[0].row+1, err)
		}
		if data != nil {
			b, _, err := readPiece(data, s)
			if err == nil && int64(b.N) != n {
				err = errPiece
			}
			if err != nil {
				return fmt.Errorf("the row beside line %d: %w", lines[0].row+1, err)
			}
			b.Sel = []int32{}
			k := 0
			for ; k < len(lines) && lines[k].row < at+n; k++ {
				b.Sel = append(b.Sel, int32(lines[k].row-at))
			}
			if err := f(column.Compact(b), lines[:k]); err != nil {
				return err
			}
			lines = lines[k:]
		}
		at += n
	}
	return nil
}
