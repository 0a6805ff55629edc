package image

// Coefficients of libjpeg's conversion, in 16 bits behind the point.
const (
	crToR = 91881
	cbToB = 116130
	cbToG = 22554
	crToG = 46802
	point = 16
	round = 1 << (point - 1)
)

// convertRow makes colours of brightness and two differences.
func convertRow(out, ys, cb, cr []uint8) {
	cb, cr = cb[:len(ys)], cr[:len(ys)]
	for x, v := range ys {
		if len(out) < 3 {
			break
		}
		y, b, r := int32(v), int32(cb[x])-128, int32(cr[x])-128
		red, green, blue := y+(crToR*r+round)>>point, y+(-cbToG*b-crToG*r+round)>>point, y+(cbToB*b+round)>>point
		if uint32(red|green|blue) > 255 {
			red, green, blue = int32(clamp(red)), int32(clamp(green)), int32(clamp(blue))
		}
		out[0], out[1], out[2] = uint8(red), uint8(green), uint8(blue)
		out = out[3:]
	}
}

func clamp(v int32) uint8 {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return uint8(v)
}

// spreader gives rows of a component at full resolution.
type spreader struct {
	c            *component
	across, down int // by how much the component is coarser
	out          []uint8
}

func newSpreader(c *component, across, down int) *spreader {
	s := &spreader{c: c, across: across, down: down}
	if across > 1 || down > 1 {
		s.out = make([]uint8, c.width*across)
	}
	return s
}

// row returns a row of pixels, valid until the next call. What is coarser by two is spread by a triangle filter, the rest repeated.
func (s *spreader) row(y int) []uint8 {
	near := s.samples(y / s.down)
	const least = 2 // narrower planes are not filtered across
	switch {
	case s.across == 1 && s.down == 1:
		return near
	case s.across == 1 && s.down == 2:
		spreadDown(s.out, near, s.other(y), int32(1+y%2))
	case s.across == 2 && s.down == 1 && s.c.width > least:
		spreadAcross(s.out, near)
	case s.across == 2 && s.down == 2 && s.c.width > least:
		spreadBoth(s.out, near, s.other(y))
	default:
		for x := range s.out {
			s.out[x] = near[x/s.across]
		}
	}
	return s.out
}

func (s *spreader) samples(row int) []uint8 { return s.c.samples[row*s.c.stride:][:s.c.width] }

// other returns the nearest other row of samples: that above for the upper of two pixels, that below for the lower.
func (s *spreader) other(y int) []uint8 {
	return s.samples(min(max(y/2-1+y%2*2, 0), s.c.height-1))
}

func spreadDown(out, near, other []uint8, bias int32) {
	for x := range out {
		out[x] = uint8((int32(near[x])*3 + int32(other[x]) + bias) >> 2)
	}
}

// spreadAcross doubles a row.
func spreadAcross(out, in []uint8) {
	last := len(in) - 1
	for x, v := range in {
		c := int32(v) * 3
		left, right := int32(in[max(x-1, 0)]), int32(in[min(x+1, last)])
		out[2*x], out[2*x+1] = uint8((c+left+1)>>2), uint8((c+right+2)>>2)
	}
	out[0], out[2*last+1] = in[0], in[last]
}

// spreadBoth doubles a row that is weighted 3 to 1 with another.
func spreadBoth(out, near, other []uint8) {
	other = other[:len(near)]
	left := int32(near[0])*3 + int32(other[0])
	out[0] = uint8((left*4 + 8) >> 4)
	pairs := out[1:] // what lies between two samples: the right of one, the left of the next
	for i, v := range near {
		if i == 0 || len(pairs) < 2 {
			continue
		}
		right := int32(v)*3 + int32(other[i])
		pairs[0], pairs[1] = uint8((left*3+right+7)>>4), uint8((right*3+left+8)>>4)
		pairs, left = pairs[2:], right
	}
	out[len(out)-1] = uint8((left*4 + 7) >> 4)
}
