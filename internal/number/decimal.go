package number

import (
	"math/big"
	"strconv"
)

// ExactDigits is the precision up to which every decimal is the nearest of some float64 that prints the same digits.
const ExactDigits = 15

// Decimal is a decimal number as binary formats hold it: unscaled / 10^scale.
type Decimal struct {
	Unscaled *big.Int
	Scale    int
}

// FromBytes returns the decimal whose unscaled value is b, in two's complement with the highest byte first.
func FromBytes(b []byte, scale int) Decimal {
	unscaled := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return Decimal{Unscaled: unscaled, Scale: scale}
}

// String prints all digits: -12.34.
func (d Decimal) String() string {
	digits, sign := d.Unscaled.String(), ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if d.Scale <= 0 {
		return sign + digits
	}
	for len(digits) <= d.Scale {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-d.Scale] + "." + digits[len(digits)-d.Scale:]
}

// Float returns the nearest float64.
func (d Decimal) Float() float64 {
	f, _ := strconv.ParseFloat(d.String(), 64) // the text of a decimal is a number
	return f
}
