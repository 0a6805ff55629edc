package image

import (
	"bytes"
	"image"
	"image/jpeg"
)

// decodeJPEG decodes a JPEG. Colours that are stored at a lower resolution are spread as libjpeg does it, by a triangle filter, where
// Go's own conversion repeats them.
func decodeJPEG(data []byte) (*Image, error) {
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	y, ok := m.(*image.YCbCr)
	if !ok {
		return fromGo(m)
	}
	return fromYCC(y), nil
}

// fromYCC spreads the colours of each row and converts it.
func fromYCC(m *image.YCbCr) *Image {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	out := newImage(width, height, 3)
	s := newSpreader(m)
	for y := range height {
		cb, cr := s.row(y)
		convertRow(out.Pix[y*width*3:(y+1)*width*3], m.Y[y*m.YStride:y*m.YStride+width], cb, cr)
	}
	return out
}

// Coefficients of libjpeg's conversion, in 16 bits behind the point.
const (
	crToR = 91881
	cbToB = 116130
	cbToG = 22554
	crToG = 46802
	point = 16
	round = 1 << (point - 1)
)

func convertRow(out, ys, cb, cr []uint8) {
	cb, cr = cb[:len(ys)], cr[:len(ys)]
	for x, v := range ys {
		y, b, r := int32(v), int32(cb[x])-128, int32(cr[x])-128
		p := out[x*3 : x*3+3 : x*3+3]
		p[0] = clamp(y + (crToR*r+round)>>point)
		p[1] = clamp(y + (-cbToG*b-crToG*r+round)>>point)
		p[2] = clamp(y + (cbToB*b+round)>>point)
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

// spreader gives rows of colour at full resolution.
type spreader struct {
	m             *image.YCbCr
	across, down  int // by how much colours are coarser
	width, height int // of the colour planes, as far as they hold picture
	cb, cr        []uint8
	sums          []int32
}

func newSpreader(m *image.YCbCr) *spreader {
	s := &spreader{m: m, across: 1, down: 1}
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		s.across = 2
	case image.YCbCrSubsampleRatio420:
		s.across, s.down = 2, 2
	case image.YCbCrSubsampleRatio440:
		s.down = 2
	case image.YCbCrSubsampleRatio411:
		s.across = 4
	case image.YCbCrSubsampleRatio410:
		s.across, s.down = 4, 2
	}
	s.width, s.height = (m.Rect.Dx()+s.across-1)/s.across, (m.Rect.Dy()+s.down-1)/s.down
	s.cb, s.cr = make([]uint8, s.width*s.across), make([]uint8, s.width*s.across)
	s.sums = make([]int32, s.width)
	return s
}

// row returns the colours of a row of pixels, valid until the next call.
func (s *spreader) row(y int) (cb, cr []uint8) {
	at := y / s.down * s.m.CStride
	if s.across == 1 && s.down == 1 {
		return s.m.Cb[at : at+s.width], s.m.Cr[at : at+s.width]
	}
	s.spread(s.cb, s.m.Cb, y)
	s.spread(s.cr, s.m.Cr, y)
	return s.cb, s.cr
}

func (s *spreader) spread(out, plane []uint8, y int) {
	near := plane[y/s.down*s.m.CStride:][:s.width]
	other := near
	if s.down == 2 { // the nearest other row of colours: above for an upper pixel, below for a lower
		row := y/2 - 1 + y%2*2
		row = min(max(row, 0), s.height-1)
		other = plane[row*s.m.CStride:][:s.width]
	}
	const least = 2 // narrower planes are not filtered across
	switch {
	case s.across == 2 && s.width <= least, s.across == 4:
		for x := range out {
			out[x] = near[x/s.across]
		}
	case s.across == 2 && s.down == 1:
		spreadAcross(out, near)
	case s.across == 2:
		for x := range s.sums {
			s.sums[x] = int32(near[x])*3 + int32(other[x])
		}
		spreadSums(out, s.sums)
	default: // 4:4:0
		bias := int32(1 + y%2)
		for x := range out {
			out[x] = uint8((int32(near[x])*3 + int32(other[x]) + bias) >> 2)
		}
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

// spreadSums doubles a row of sums of two rows, weighted 3 to 1.
func spreadSums(out []uint8, sums []int32) {
	last := len(sums) - 1
	for x := 1; x < last; x++ {
		c := sums[x] * 3
		out[2*x], out[2*x+1] = uint8((c+sums[x-1]+8)>>4), uint8((c+sums[x+1]+7)>>4)
	}
	out[0], out[1] = uint8((sums[0]*4+8)>>4), uint8((sums[0]*3+sums[1]+7)>>4)
	out[2*last], out[2*last+1] = uint8((sums[last]*3+sums[last-1]+8)>>4), uint8((sums[last]*4+7)>>4)
}
