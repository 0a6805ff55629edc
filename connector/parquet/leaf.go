package parquet

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// leafReader reads the values and levels of one leaf of a row group, row by row over its pages.
type leafReader struct {
	*scalar
	typ   column.Kind
	pages parquet.Pages
	page  parquet.Page // nil: none read yet
	ended bool

	// Of the current page.
	def, rep []byte // nil where the leaf has no such levels
	values   encoding.Values
	index    []int32 // the page's values by their number in dict; nil: the page has values
	dict     encoding.Values
	of       parquet.Dictionary // what dict was read from
	level    int                // levels taken
	value    int                // values taken
	levels   int                // in the page

	run run
}

// run is what a leaf has for a batch of rows: levels, and the values of those at the greatest definition.
type run struct {
	n        int // levels
	def, rep []byte
	ints     []int64
	floats   []float64
	bools    []bool
	offsets  []int32
	data     []byte
	values   int
	faults   map[int]error // of values, by their number
}

func (r *run) reset() {
	*r = run{def: r.def[:0], rep: r.rep[:0], ints: r.ints[:0], floats: r.floats[:0], bools: r.bools[:0], offsets: append(r.offsets[:0], 0), data: r.data[:0]}
}

func (r *run) fault(err error) {
	if r.faults == nil {
		r.faults = map[int]error{}
	}
	r.faults[r.values] = err
}

var errRows = errors.New("a column has fewer rows than its row group")

// take fills the run with that many rows.
func (l *leafReader) take(rows int) error {
	l.run.reset()
	for taken := 0; ; {
		if l.page == nil || l.level == l.levels {
			if err := l.turn(); errors.Is(err, io.EOF) {
				if taken < rows {
					return errRows
				}
				return nil
			} else if err != nil {
				return err
			}
			continue
		}
		n := 0 // levels of this page that belong to the rows
		if l.rep == nil {
			n = min(rows-taken, l.levels-l.level)
			taken += n
		} else {
			for ; l.level+n < l.levels; n++ {
				if l.rep[l.level+n] == 0 {
					if taken == rows {
						break
					}
					taken++
				}
			}
		}
		if err := l.copy(n); err != nil {
			return err
		}
		if taken == rows && (l.rep == nil || l.level < l.levels) {
			return nil
		}
	}
}

// turn goes to the next page.
func (l *leafReader) turn() error {
	if l.ended {
		return io.EOF
	}
	parquet.Release(l.page)
	l.page = nil
	page, err := l.pages.ReadPage()
	if err != nil {
		l.ended = errors.Is(err, io.EOF)
		return err
	}
	l.page, l.level, l.value, l.levels = page, 0, 0, int(page.NumValues())
	l.def, l.rep, l.index = nil, nil, nil
	if l.maxDef > 0 {
		if l.def = page.DefinitionLevels(); len(l.def) != l.levels {
			return fmt.Errorf("a page has %d definition levels for %d values", len(l.def), l.levels)
		}
	}
	if l.maxRep > 0 {
		if l.rep = page.RepetitionLevels(); len(l.rep) != l.levels {
			return fmt.Errorf("a page has %d repetition levels for %d values", len(l.rep), l.levels)
		}
	}
	if l.meaning == asNothing {
		return nil
	}
	l.values = page.Data()
	if d := page.Dictionary(); d != nil {
		l.index = l.values.Int32()
		if d != l.of {
			l.of, l.dict = d, d.Page().Data()
		}
		l.values = l.dict
	}
	return nil
}

// copy moves n levels and their values to the run.
func (l *leafReader) copy(n int) error {
	values := n
	if l.def != nil {
		values = 0
		def := l.def[l.level : l.level+n]
		for _, d := range def {
			if int(d) == l.maxDef {
				values++
			}
		}
		l.run.def = append(l.run.def, def...)
	}
	if l.rep != nil {
		l.run.rep = append(l.run.rep, l.rep[l.level:l.level+n]...)
	}
	l.level += n
	l.run.n += n
	if l.meaning == asNothing {
		l.run.values += values
		return nil
	}
	from := l.value
	l.value += values
	return l.convert(from, l.value)
}

// at returns where value i of the page stands.
func (l *leafReader) at(i int) int {
	if l.index != nil {
		return int(l.index[i])
	}
	return i
}

// convert appends the page's values [from, to) as what they mean.
func (l *leafReader) convert(from, to int) error {
	r := &l.run
	switch l.kind {
	case parquet.Boolean:
		bits := l.values.Boolean()
		for i := from; i < to; i++ {
			k := l.at(i)
			r.bools = append(r.bools, bits[k>>3]>>(k&7)&1 != 0)
			r.values++
		}
	case parquet.Int32:
		values := l.values.Int32()
		for i := from; i < to; i++ {
			v := int64(values[l.at(i)])
			if l.meaning == asUnsigned {
				v = int64(uint32(v))
			}
			l.int(v)
		}
	case parquet.Int64:
		values := l.values.Int64()
		if l.index == nil && l.meaning == asIs {
			r.ints = append(r.ints, values[from:to]...)
			r.values += to - from
			return nil
		}
		for i := from; i < to; i++ {
			l.int(values[l.at(i)])
		}
	case parquet.Int96:
		values := l.values.Int96()
		for i := from; i < to; i++ {
			v := values[l.at(i)]
			const julianDayOfEpoch = 2440588
			nanos := int64(uint64(v[0]) | uint64(v[1])<<32)
			r.ints = append(r.ints, (int64(v[2])-julianDayOfEpoch)*86_400_000+floorDiv(nanos, 1e6))
			r.values++
		}
	case parquet.Float:
		values := l.values.Float()
		for i := from; i < to; i++ {
			r.floats = append(r.floats, float64(values[l.at(i)]))
			r.values++
		}
	case parquet.Double:
		values := l.values.Double()
		if l.index == nil {
			r.floats = append(r.floats, values[from:to]...)
			r.values += to - from
			return nil
		}
		for i := from; i < to; i++ {
			r.floats = append(r.floats, values[l.at(i)])
			r.values++
		}
	case parquet.ByteArray:
		data, offsets := l.values.ByteArray()
		for i := from; i < to; i++ {
			k := l.at(i)
			l.bytes(data[offsets[k]:offsets[k+1]])
		}
	case parquet.FixedLenByteArray:
		data, size := l.values.FixedLenByteArray()
		for i := from; i < to; i++ {
			k := l.at(i)
			l.bytes(data[k*size : (k+1)*size])
		}
	}
	if len(r.data) > math.MaxInt32 {
		return errors.New("a batch of rows holds more than 2 GiB of text")
	}
	return nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (r *run) text(b []byte) {
	r.data = append(r.data, b...)
	r.offsets = append(r.offsets, int32(len(r.data)))
	r.values++
}

// int appends a whole number as what it means.
func (l *leafReader) int(v int64) {
	r := &l.run
	switch l.meaning {
	case asTimestamp:
		r.ints = append(r.ints, floorDiv(v, l.unit/1000))
	case asDate:
		r.text(time.Unix(v*86400, 0).UTC().AppendFormat(nil, time.DateOnly))
		return
	case asTimeOfDay:
		r.text(time.Unix(v/l.unit, v%l.unit*(1e9/l.unit)).UTC().AppendFormat(nil, "15:04:05.999999999"))
		return
	case asDecimal:
		l.decimal(binary.BigEndian.AppendUint64(nil, uint64(v)))
		return
	case asUnsigned:
		if v < 0 {
			r.fault(fmt.Errorf("%d is beyond the largest whole number, %d", uint64(v), int64(math.MaxInt64)))
			v = 0
		}
		fallthrough
	default:
		r.ints = append(r.ints, v)
	}
	r.values++
}

func (l *leafReader) decimal(b []byte) {
	r := &l.run
	d := number.FromBytes(b, l.scale)
	if l.typ == column.Float {
		r.floats = append(r.floats, d.Float())
		r.values++
		return
	}
	r.text([]byte(d.String()))
}

// bytes appends bytes as what they mean.
func (l *leafReader) bytes(b []byte) {
	r := &l.run
	switch l.meaning {
	case asDecimal:
		l.decimal(b)
		return
	case asUUID:
		if len(b) == 16 {
			h := hex.EncodeToString(b)
			b = []byte(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
		}
	case asFloat16:
		f := 0.0
		if len(b) == 2 {
			f = float16(binary.LittleEndian.Uint16(b))
		}
		r.floats = append(r.floats, f)
		r.values++
		return
	case asText:
		if !utf8.Valid(b) {
			r.fault(errors.New("the text is not UTF-8"))
			b = nil
		}
	}
	r.text(b)
}

// float16 returns the number that a half-precision float (IEEE 754) stands for.
func float16(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&0x1f), float64(h&0x3ff)
	if h>>15 != 0 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(fraction+1024, exponent-25)
}
