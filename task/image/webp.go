package image

import (
	"bytes"
	"errors"
	"image"

	"golang.org/x/image/webp"
)

// configOfWebP refuses animations, which the decoder does not know.
func configOfWebP(data []byte) (image.Config, error) {
	const kind, flags, animated = 12, 20, 0x02
	if len(data) > flags && string(data[kind:kind+4]) == "VP8X" && data[flags]&animated != 0 {
		return image.Config{}, errors.New("webp: wanted a still picture, found an animation")
	}
	return webp.DecodeConfig(bytes.NewReader(data))
}

// decodeWebP decodes a still WebP. Lossy ones are converted as libwebp does it.
func decodeWebP(data []byte) (*Image, error) {
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return fromWebP(m), nil
	case *image.NYCbCrA:
		return fromWebP(&m.YCbCr), nil
	}
	return fromGo(m)
}

// fromWebP converts rows in pairs that lie between two rows of colour.
func fromWebP(m *image.YCbCr) *Image {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	out := newImage(width, height, 3)
	rows := (height + 1) / 2
	for y := range height {
		near := y / 2
		other := min(max(near-1+y%2*2, 0), rows-1)
		webpRow(out.Pix[y*width*3:(y+1)*width*3], m.Y[y*m.YStride:], m, near*m.CStride, other*m.CStride)
	}
	return out
}

// webpRow converts a row. Colours are weighted 9, 3, 3 and 1 by how near they are.
func webpRow(out, ys []uint8, m *image.YCbCr, near, other int) {
	width := len(out) / 3
	last := (width+1)/2 - 1
	mix := func(plane []uint8, x int) int32 {
		c := x / 2
		d := min(max(c-1+x%2*2, 0), last)
		a, b, p, q := int32(plane[near+c]), int32(plane[near+d]), int32(plane[other+c]), int32(plane[other+d])
		if x == 0 || x == width-1 && width%2 == 0 {
			return (3*a + p + 2) >> 2
		}
		// libwebp rounds on the way: the mean of the two diagonals first.
		diagonal := (a + b + p + q + 8 + 2*(b+p)) >> 3
		return (diagonal + a) >> 1
	}
	for x := range width {
		y, u, v := int32(ys[x]), mix(m.Cb, x), mix(m.Cr, x)
		p := out[x*3 : x*3+3 : x*3+3]
		p[0] = webpClip((y*19077)>>8 + (v*26149)>>8 - 14234)
		p[1] = webpClip((y*19077)>>8 - (u*6419)>>8 - (v*13320)>>8 + 8708)
		p[2] = webpClip((y*19077)>>8 + (u*33050)>>8 - 17685)
	}
}

func webpClip(v int32) uint8 { return clamp(v >> 6) }
