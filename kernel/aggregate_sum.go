package kernel

import (
	"math/bits"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// summer is sum and mean. Whole numbers are summed in 128 bits, floats exactly; a sum of both is rounded once.
type summer struct {
	arg     column.Type
	mean    bool
	ints    paged[wideInt]
	floats  floatSums
	hasInts bool         // values may be whole numbers
	hasReal bool         // values may be floats
	real    paged[bool]  // of Any: a float was among the values
	counts  paged[int64] // of mean
}

// wideInt is an integer of 128 bits in two's complement.
type wideInt struct{ lo, hi uint64 }

func (s *wideInt) add(x int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(x), 0)
	s.hi += uint64(x>>63) + carry
}

func newSummer(mean bool, arg column.Type) *summer {
	boxed := arg.Kind == column.Any
	return &summer{arg: arg, mean: mean, hasReal: boxed || arg.Kind == column.Float, hasInts: boxed || arg.Kind != column.Float}
}

func (s *summer) grow(n int) {
	if s.hasInts {
		s.ints.grow(n)
	}
	if s.hasReal {
		s.floats.sums.grow(n)
	}
	if s.hasInts && s.hasReal {
		s.real.grow(n)
	}
	if s.mean {
		s.counts.grow(n)
	}
}

func (s *summer) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	if bad := firstNull(v, rows); bad >= 0 {
		return bad, typeError("unsupported operand type(s) for +: '%s' and 'NoneType'", s.sumType())
	}
	if s.mean {
		for _, g := range groups {
			*s.counts.at(g)++
		}
	}
	switch v.Type.Kind {
	case column.Bool:
		for i, g := range groups {
			if v.Bools[rows[i]] {
				s.ints.at(g).add(1)
			}
		}
	case column.Float:
		for i, g := range groups {
			s.floats.addOne(s.floats.sums.at(g), v.Floats[rows[i]])
		}
	case column.Any:
		for i, g := range groups {
			if err := s.addValue(g, v.Boxed[rows[i]]); err != nil {
				return i, err
			}
		}
	default:
		for i, g := range groups {
			s.ints.at(g).add(v.Ints[rows[i]])
		}
	}
	return 0, nil
}

// sumType is the Python type of what a value is added to.
func (s *summer) sumType() string {
	if s.arg.Kind == column.Float {
		return "float"
	}
	return "int"
}

func (s *summer) addValue(g uint32, v column.Value) error {
	switch v := v.(type) {
	case bool:
		if v {
			s.ints.at(g).add(1)
		}
	case int64:
		s.ints.at(g).add(v)
	case float64:
		*s.real.at(g) = true
		s.floats.addOne(s.floats.sums.at(g), v)
	default:
		return typeError("unsupported operand type(s) for +: 'int' and '%s'", pythonType(v))
	}
	return nil
}

func (s *summer) stateSchema() column.Schema {
	var schema column.Schema
	add := func(name string, t column.Type) { schema = append(schema, column.Field{Name: name, Type: t}) }
	if s.hasInts {
		add("low", column.IntType)
		add("high", column.IntType)
	}
	if s.hasReal {
		add("float_low", column.IntType)
		add("float_high", column.IntType)
		add("below", column.IntType)
		add("wide", column.BytesType)
	}
	if s.hasInts && s.hasReal {
		add("real", column.BoolType)
	}
	if s.mean {
		add("count", column.IntType)
	}
	return schema
}

func (s *summer) export(groups []uint32, cols []*column.Vector) {
	n := len(groups)
	if s.hasInts {
		low, high := intsOf(cols[0], n), intsOf(cols[1], n)
		for i, g := range groups {
			sum := s.ints.at(g)
			low[i], high[i] = int64(sum.lo), int64(sum.hi)
		}
		cols = cols[2:]
	}
	if s.hasReal {
		low, high, below, wide := intsOf(cols[0], n), intsOf(cols[1], n), intsOf(cols[2], n), binOf(cols[3], n)
		for i, g := range groups {
			sum := s.floats.sums.at(g)
			low[i], high[i], below[i] = int64(sum.lo), int64(sum.hi), int64(sum.below)
			if sum.wide > 0 {
				cols[3].Data = s.floats.wide[sum.wide-1].append(cols[3].Data)
			}
			wide[i] = int32(len(cols[3].Data))
		}
		cols = cols[4:]
	}
	if s.hasInts && s.hasReal {
		real := boolsOf(cols[0], n)
		for i, g := range groups {
			real[i] = *s.real.at(g)
		}
		cols = cols[1:]
	}
	if s.mean {
		exportInts(&s.counts, groups, cols[0])
	}
}

func (s *summer) weight(uint32) int { return 0 }

func (s *summer) merge(groups []uint32, cols []*column.Vector) error {
	if s.hasInts {
		for i, g := range groups {
			sum := s.ints.at(g)
			var carry uint64
			sum.lo, carry = bits.Add64(sum.lo, uint64(cols[0].Ints[i]), 0)
			sum.hi += uint64(cols[1].Ints[i]) + carry
		}
		cols = cols[2:]
	}
	if s.hasReal {
		for i, g := range groups {
			var wide *wideSum
			if raw := cols[3].Bin(i); len(raw) == wideBytes {
				wide = readWide(raw)
			}
			s.floats.merge(s.floats.sums.at(g), exactSum{lo: uint64(cols[0].Ints[i]), hi: uint64(cols[1].Ints[i]), below: int32(cols[2].Ints[i])}, wide)
		}
		cols = cols[4:]
	}
	if s.hasInts && s.hasReal {
		for i, g := range groups {
			*s.real.at(g) = *s.real.at(g) || cols[0].Bools[i]
		}
		cols = cols[1:]
	}
	if s.mean {
		for i, g := range groups {
			*s.counts.at(g) += cols[0].Ints[i]
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
			v.Floats[i] = s.total(g) / float64(*s.counts.at(g))
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
			if v.Ints[i], err = s.ints.at(g).int64(); err != nil {
				return nil, i, err
			}
		}
		return v, 0, nil
	}
	v := &column.Vector{Type: column.AnyType, N: n, Boxed: make([]column.Value, n)}
	for i, g := range groups {
		if *s.real.at(g) {
			v.Boxed[i] = s.total(g)
			continue
		}
		x, err := s.ints.at(g).int64()
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
		return s.floats.value(s.floats.sums.at(g))
	}
	i := s.ints.at(g)
	var w wideSum
	w.addInt(i.lo, i.hi, 1074) // a unit is 2^-1074
	if s.hasReal {
		f := s.floats.sums.at(g)
		if f.wide > 0 {
			w.merge(s.floats.wide[f.wide-1])
		}
		if f.lo|f.hi != 0 {
			w.addInt(f.lo, f.hi, f.shift())
		}
	}
	return w.value()
}

// int64 returns the sum, or an error where it does not fit.
func (s *wideInt) int64() (int64, error) {
	x := int64(s.lo)
	if s.hi != uint64(x>>63) {
		return 0, &expr.Exception{Class: "OverflowError", Msg: "integer sum does not fit 64 bits"}
	}
	return x, nil
}

func (s *summer) bytes() int64 {
	return int64(s.ints.used)*16 + int64(s.floats.sums.used)*24 + int64(len(s.floats.wide))*(wideBytes+16) + int64(s.real.used) + int64(s.counts.used)*8
}

func (s *summer) freeze() {}

func (s *summer) reset() {
	s.ints.reset()
	s.floats.sums.reset()
	s.floats.wide = nil
	s.real.reset()
	s.counts.reset()
}
