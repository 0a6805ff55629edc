package image

// Factors of the transform of Loeffler, Ligtenberg and Moschytz, with factorBits bits behind the point, as libjpeg rounds them.
const (
	factorBits = 13
	extraBits  = 2 // that numbers keep between columns and rows

	f0298 = 2446
	f0390 = 3196
	f0541 = 4433
	f0765 = 6270
	f0899 = 7373
	f1175 = 9633
	f1501 = 12299
	f1847 = 15137
	f1961 = 16069
	f2053 = 16819
	f2562 = 20995
	f3072 = 25172
)

// transform makes 8×8 samples of coefficients, which lie column by column; columns has a bit for each that is not zero.
func transform(out []uint8, stride int, b *[64]int16, table *[64]uint16, columns uint8) {
	if columns == 1 && onlyFirst(b) {
		flat(out, stride, int32(b[0])*int32(table[0]))
		return
	}
	var work [64]int32 // row by row
	for c := range 8 {
		if columns>>c&1 == 0 {
			continue
		}
		v, q := (*[8]int16)(b[8*c:]), (*[8]uint16)(table[8*c:])
		if v[1]|v[2]|v[3]|v[4]|v[5]|v[6]|v[7] == 0 {
			dc := int32(v[0]) * int32(q[0]) << extraBits
			for r := range 8 {
				work[8*r+c] = dc
			}
			continue
		}
		e0, e1, e2, e3 := even(int32(v[0])*int32(q[0]), int32(v[2])*int32(q[2]), int32(v[4])*int32(q[4]), int32(v[6])*int32(q[6]))
		o0, o1, o2, o3 := odd(int32(v[1])*int32(q[1]), int32(v[3])*int32(q[3]), int32(v[5])*int32(q[5]), int32(v[7])*int32(q[7]))
		const shift, half = factorBits - extraBits, 1 << (factorBits - extraBits - 1)
		work[c], work[56+c] = (e0+o0+half)>>shift, (e0-o0+half)>>shift
		work[8+c], work[48+c] = (e1+o1+half)>>shift, (e1-o1+half)>>shift
		work[16+c], work[40+c] = (e2+o2+half)>>shift, (e2-o2+half)>>shift
		work[24+c], work[32+c] = (e3+o3+half)>>shift, (e3-o3+half)>>shift
	}
	for r := range 8 {
		v, to := (*[8]int32)(work[8*r:]), (*[8]uint8)(out[r*stride:])
		e0, e1, e2, e3 := even(v[0], v[2], v[4], v[6])
		o0, o1, o2, o3 := odd(v[1], v[3], v[5], v[7])
		const shift = factorBits + extraBits + 3
		const half = 1<<(shift-1) + 128<<shift
		to[0], to[7] = clamp((e0+o0+half)>>shift), clamp((e0-o0+half)>>shift)
		to[1], to[6] = clamp((e1+o1+half)>>shift), clamp((e1-o1+half)>>shift)
		to[2], to[5] = clamp((e2+o2+half)>>shift), clamp((e2-o2+half)>>shift)
		to[3], to[4] = clamp((e3+o3+half)>>shift), clamp((e3-o3+half)>>shift)
	}
}

// onlyFirst says that a block whose first column alone is not zero has but one coefficient.
func onlyFirst(b *[64]int16) bool { return b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] == 0 }

// flat fills a block from its first coefficient.
func flat(out []uint8, stride int, dc int32) {
	v := clamp((dc<<extraBits+1<<(extraBits+2))>>(extraBits+3) + 128)
	for r := range 8 {
		to := (*[8]uint8)(out[r*stride:])
		*to = [8]uint8{v, v, v, v, v, v, v, v}
	}
}

// even returns what the coefficients of even number bring to the samples 0 to 3, and to 7 to 4.
func even(v0, v2, v4, v6 int32) (e0, e1, e2, e3 int32) {
	z := (v2 + v6) * f0541
	a, b := z+v2*f0765, z-v6*f1847
	sum, difference := (v0+v4)<<factorBits, (v0-v4)<<factorBits
	return sum + a, difference + b, difference - b, sum - a
}

// odd returns what the coefficients of odd number bring to the samples 0 to 3, and take from 7 to 4.
func odd(v1, v3, v5, v7 int32) (o0, o1, o2, o3 int32) {
	z := (v1 + v3 + v5 + v7) * f1175
	a, b := z-(v3+v7)*f1961, z-(v1+v5)*f0390
	c, d := (v1+v7)*f0899, (v3+v5)*f2562
	return v1*f1501 - c + b, v3*f3072 - d + a, v5*f2053 - d + b, v7*f0298 - c + a
}
