package number

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestParseInt(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		err  error
	}{
		{"0", 0, nil}, {"-0", 0, nil}, {"+7", 7, nil}, {"007", 7, nil}, {"12345678", 12345678, nil}, {"-1234567890123", -1234567890123, nil},
		{"9223372036854775807", math.MaxInt64, nil}, {"-9223372036854775808", math.MinInt64, nil},
		{"9223372036854775808", 0, ErrRange}, {"-9223372036854775809", 0, ErrRange}, {"18446744073709551616", 0, ErrRange},
		{"00000000000000000000000012", 12, nil}, {"99999999999999999999999999", 0, ErrRange},
		{"", 0, ErrSyntax}, {"-", 0, ErrSyntax}, {"1.0", 0, ErrSyntax}, {"1234567x", 0, ErrSyntax}, {"x1234567", 0, ErrSyntax}, {" 1", 0, ErrSyntax},
		{"1_000", 0, ErrSyntax}, {"1234567/", 0, ErrSyntax}, {"1234567:", 0, ErrSyntax}, {"0000000000000000000000000x", 0, ErrSyntax},
	} {
		got, err := ParseInt([]byte(c.text))
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("ParseInt(%q) = %d, %v, want %d, %v", c.text, got, err, c.want, c.err)
		}
	}
}

func TestParseShort(t *testing.T) {
	for _, c := range []struct {
		text   string
		digits int
		want   int64
		ok     bool
	}{
		{"1,xxxxxx", 1, 1, true}, {"12345678", 8, 12345678, true}, {"0000007,", 7, 7, true}, {"12a45678", 2, 12, true}, {"12a45678", 3, 0, false},
		{"-1,,,,,,", 2, 0, false}, {"9/0:0000", 2, 0, false}, {"9/0:0000", 4, 0, false},
	} {
		got, ok := ParseShort(binary.LittleEndian.Uint64([]byte(c.text)), c.digits)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("ParseShort(%q, %d) = %d, %v, want %d, %v", c.text, c.digits, got, ok, c.want, c.ok)
		}
	}
}

func TestParseFloat(t *testing.T) {
	for _, s := range []string{"0", "-0", "1.5", "-2.25", ".5", "5.", "1e5", "1E-7", "1.7976931348623157e308", "1e400", "5e-324", "9007199254740993",
		"123456789012345678901234567890", "0.1", "25.75", "1.00000000000000000000001", "0.000000000000000000000000000001"} {
		want, _ := strconv.ParseFloat(s, 64)
		got, err := ParseFloat([]byte(s))
		if err != nil || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("ParseFloat(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-", ".", "1.2.3", "1e", "1e+", "0x1p4", "inf", "nan", "1_0.0", " 1", "1 ", "e5", "1e5x"} {
		if got, err := ParseFloat([]byte(s)); err == nil {
			t.Errorf("ParseFloat(%q) = %v, want an error", s, got)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string // of Python's repr
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {1, "1.0"}, {-2.5, "-2.5"}, {0.1, "0.1"}, {25.75, "25.75"}, {0.0001, "0.0001"}, {0.00001, "1e-05"},
		{1e15, "1000000000000000.0"}, {1e16, "1e+16"}, {1.5e16, "1.5e+16"}, {123456789.123, "123456789.123"}, {1.0 / 3, "0.3333333333333333"},
		{0.30000000000000004, "0.30000000000000004"}, {math.Inf(1), "inf"}, {math.Inf(-1), "-inf"}, {math.NaN(), "nan"}, {5e-324, "5e-324"},
		{math.MaxFloat64, "1.7976931348623157e+308"}, {10.05, "10.05"}, {10.005, "10.005"}, {0.5, "0.5"}, {99999.9999, "99999.9999"},
	} {
		if got := string(AppendFloat([]byte("x"), c.f)); got != "x"+c.want {
			t.Errorf("AppendFloat(%v) = %s, want %s", c.f, got[1:], c.want)
		}
	}
}

// TestAppendFloatShortest compares the path for short numbers with strconv.
func TestAppendFloatShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := float64(r.Int64N(1e10)) / math.Pow10(r.IntN(7))
		if r.IntN(4) == 0 {
			f = math.Nextafter(f, math.Inf(1-2*r.IntN(2)))
		}
		if f < 1e-4 && f != 0 {
			continue
		}
		want := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(want, ".") {
			want += ".0"
		}
		if got := string(AppendFloat(nil, f)); got != want {
			t.Fatalf("AppendFloat(%b) = %s, want %s", f, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "-12345678", "1.5e3", "18446744073709551616", "0.1", "9007199254740993.5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := string(b)
		want, wantErr := strconv.ParseInt(s, 10, 64)
		got, err := ParseInt(b)
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Errorf("ParseInt(%q) = %d, %v, want %d, %v", s, got, err, want, wantErr)
		}
		x, err := ParseFloat(b)
		if strings.ContainsAny(s, "xX_pPiInN") {
			return // strconv takes more forms
		}
		y, wantErr := strconv.ParseFloat(s, 64)
		if err == nil && math.Float64bits(x) != math.Float64bits(y) || (err == nil) != (wantErr == nil || errors.Is(wantErr, strconv.ErrRange)) {
			t.Errorf("ParseFloat(%q) = %v, %v, want %v, %v", s, x, err, y, wantErr)
		}
	})
}
