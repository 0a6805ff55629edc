package kernel

import (
	"math/bits"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// summer is sum and mean. Whole numbers are summed in 128 bits, floats exactly; a sum of both is rounded once. Its words are those of the whole
// numbers, those of the floats, and where there may be both a flag that tells whether there was a float; the count of a mean is that of the rows.
type summer struct {
	inRow
	arg     column.Type
	mean    bool
	hasInts bool // values may be whole numbers
	hasReal bool // values may be floats
	real    int  // the first word of the floats
	floats  floatSums
}

// wideInt is an integer of 128 bits in two's complement, the low half first.
type wideInt [2]uint64

const intWords = len(wideInt{})

func (s *wideInt) add(x int64) { s.merge(uint64(x), uint64(x>>63)) }

func (s *wideInt) merge(lo, hi uint64) {
	var carry uint64
	s[0], carry = bits.Add64(s[0], lo, 0)
	s[1] += hi + carry
}

func newSummer(mean bool, arg column.Type) *summer {
	s := &summer{arg: arg, mean: mean, hasReal: arg.Kind == column.Any || arg.Kind == column.Float, hasInts: arg.Kind != column.Float}
	if s.hasInts {
		s.real = intWords
	}
	return s
}

func (s *summer) words() int {
	switch {
	case s.hasInts && s.hasReal:
		return intWords + exactWords + 1
	case s.hasInts:
		return intWords
	}
	return exactWords
}

func (s *summer) ints(g uint32) *wideInt   { return (*wideInt)(s.state(g)) }
func (s *summer) sum(g uint32) *exactSum   { return (*exactSum)(s.state(g)[s.real:]) }
func (s *summer) sawReal(g uint32) *uint64 { return &s.state(g)[intWords+exactWords] }

func (s *summer) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	if bad := firstNull(v, rows); bad >= 0 {
		return bad, typeError("unsupported operand type(s) for +: '%s' and 'NoneType'", s.sumType(groups[bad]))
	}
	pages, width, at := s.rows.pages, s.rows.width, s.at
	switch v.Type.Kind {
	case column.Bool:
		for i, g := range groups {
			if v.Bools[rows[i]] {
				s.ints(g).add(1)
			}
		}
	case column.Float:
		for i, g := range groups {
			s.floats.addOne((*exactSum)(stateAt(pages, width, at, g)), v.Floats[rows[i]])
		}
	case column.Any:
		for i, g := range groups {
			if err := s.addValue(g, v.Boxed[rows[i]]); err != nil {
				return i, err
			}
		}
	default:
		for i, g := range groups {
			(*wideInt)(stateAt(pages, width, at, g)).add(v.Ints[rows[i]])
		}
	}
	return 0, nil
}

// sumType is the Python type of the sum of group g so far.
func (s *summer) sumType(g uint32) string {
	if s.hasReal && (s.sum(g)[2] != 0 || s.hasInts && *s.sawReal(g) != 0) {
		return "float"
	}
	return "int"
}

func (s *summer) addValue(g uint32, v column.Value) error {
	switch v := v.(type) {
	case bool:
		if v {
			s.ints(g).add(1)
		}
	case int64:
		s.ints(g).add(v)
	case float64:
		*s.sawReal(g) = 1
		s.floats.addOne(s.sum(g), v)
	default:
		return typeError("unsupported operand type(s) for +: '%s' and '%s'", s.sumType(g), expr.TypeName(v))
	}
	return nil
}

// extraSchema has the wide accumulators, which are few.
func (s *summer) extraSchema() column.Schema {
	if !s.hasReal {
		return nil
	}
	return column.Schema{{Name: "wide", Type: column.BytesType}}
}

func (s *summer) export(groups []uint32, cols []*column.Vector) {
	if !s.hasReal {
		return
	}
	v := cols[0]
	ends := binOf(v, len(groups))
	for i, g := range groups {
		if n := s.sum(g).wide(); n > 0 {
			v.Data = s.floats.wide[n-1].append(v.Data)
		}
		ends[i] = int32(len(v.Data))
	}
}

func (s *summer) merge(groups []uint32, p *partials, cols []*column.Vector) error {
	for i, g := range groups {
		from := p.row(i)[s.at:]
		if s.hasInts {
			s.ints(g).merge(from[0], from[1])
		}
		if !s.hasReal {
			continue
		}
		var wide *wideSum
		if raw := cols[0].Bin(i); len(raw) == wideBytes {
			wide = readWide(raw)
		}
		s.floats.merge(s.sum(g), (*exactSum)(from[s.real:]), wide)
		if s.hasInts {
			*s.sawReal(g) |= from[intWords+exactWords]
		}
	}
	return nil
}

func (s *summer) finish(groups []uint32) (*column.Vector, int, error) {
	n := len(groups)
	switch {
	case s.mean:
		v := &column.Vector{Type: column.FloatType, N: n, Floats: make([]float64, n)}
		for i, g := range groups {
			v.Floats[i] = s.total(g) / float64(s.rows.row(g)[wordRows])
		}
		return v, 0, nil
	case !s.hasInts:
		v := &column.Vector{Type: column.FloatType, N: n, Floats: make([]float64, n)}
		for i, g := range groups {
			v.Floats[i] = s.total(g)
		}
		return v, 0, nil
	case !s.hasReal:
		t := column.IntType
		if s.arg.Kind == column.Duration {
			t = column.DurationType
		}
		v := &column.Vector{Type: t, N: n, Ints: make([]int64, n)}
		for i, g := range groups {
			var err error
			if v.Ints[i], err = s.ints(g).int64(); err != nil {
				return nil, i, err
			}
		}
		return v, 0, nil
	}
	v := &column.Vector{Type: column.AnyType, N: n, Boxed: make([]column.Value, n)}
	for i, g := range groups {
		if *s.sawReal(g) != 0 {
			v.Boxed[i] = s.total(g)
			continue
		}
		x, err := s.ints(g).int64()
		if err != nil {
			return nil, i, err
		}
		v.Boxed[i] = x
	}
	return v, 0, nil
}

// total returns the sum of group g as a float, rounded once.
func (s *summer) total(g uint32) float64 {
	if !s.hasInts {
		return s.floats.value(s.sum(g))
	}
	var w wideSum
	i := s.ints(g)
	w.addInt(i[0], i[1], 1074) // a unit is 2^-1074
	if s.hasReal {
		s.floats.addTo(&w, s.sum(g))
	}
	return w.value()
}

// int64 returns the sum, or an error where it does not fit.
func (s *wideInt) int64() (int64, error) {
	x := int64(s[0])
	if s[1] != uint64(x>>63) {
		return 0, &expr.Exception{Class: "OverflowError", Msg: "integer sum does not fit 64 bits"}
	}
	return x, nil
}

func (s *summer) bytes() int64 { return int64(len(s.floats.wide)) * (wideBytes + 16) }
func (s *summer) reset()       { s.floats.wide = nil }
