package image

import "math"

// Filter is how pixels are weighted when an image is resized. The numbers are Pillow's.
type Filter uint8

// The filters.
const (
	Nearest  Filter = 0
	Lanczos  Filter = 1
	Bilinear Filter = 2
	Bicubic  Filter = 3
	Box      Filter = 4
	Hamming  Filter = 5
)

// kernel returns the weight function of a filter and how far it reaches.
func (f Filter) kernel() (weight func(x float64) float64, support float64) {
	switch f {
	case Box:
		return func(x float64) float64 {
			if x > -0.5 && x <= 0.5 {
				return 1
			}
			return 0
		}, 0.5
	case Hamming:
		return func(x float64) float64 {
			x = math.Abs(x)
			if x == 0 {
				return 1
			}
			if x >= 1 {
				return 0
			}
			x *= math.Pi
			return math.Sin(x) / x * (0.54 + 0.46*math.Cos(x))
		}, 1
	case Bicubic:
		const a = -0.5
		return func(x float64) float64 {
			x = math.Abs(x)
			if x < 1 {
				return ((a+2)*x-(a+3))*x*x + 1
			}
			if x < 2 {
				return (((x-5)*x+8)*x - 4) * a
			}
			return 0
		}, 2
	case Lanczos:
		return func(x float64) float64 {
			if -3 <= x && x < 3 {
				return sinc(x) * sinc(x/3)
			}
			return 0
		}, 3
	}
	return func(x float64) float64 { return max(0, 1-math.Abs(x)) }, 1
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// weights are the weights of one axis: for each output pixel the first input pixel, and a weight for each that follows.
type weights struct {
	first []int
	count []int
	k     []int32 // size for each output pixel, in fixed point
	size  int
}

// precision is how many bits of a weight lie behind the point. Pillow's, so that results are equal to the bit.
const precision = 32 - 8 - 2

// newWeights computes the weights from in pixels to out pixels.
func newWeights(in, out int, f Filter) *weights {
	filter, support := f.kernel()
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support *= stretch
	shrink := 1 / stretch // Pillow multiplies, which rounds otherwise than dividing
	w := &weights{first: make([]int, out), count: make([]int, out), size: int(math.Ceil(support))*2 + 1}
	w.k = make([]int32, out*w.size)
	row := make([]float64, w.size)
	for x := range out {
		center := (float64(x) + 0.5) * scale
		from := max(0, int(center-support+0.5))
		to := min(in, int(center+support+0.5))
		var sum float64
		for i := range to - from {
			row[i] = filter((float64(i+from) - center + 0.5) * shrink)
			sum += row[i]
		}
		for i := range to - from {
			k := row[i]
			if sum != 0 {
				k /= sum
			}
			k *= 1 << precision
			if k < 0 {
				w.k[x*w.size+i] = int32(k - 0.5)
			} else {
				w.k[x*w.size+i] = int32(k + 0.5)
			}
		}
		w.first[x], w.count[x] = from, to-from
	}
	return w
}

// Resize returns the image at another size, computed as the Image.resize of Pillow 13 does it: first across, then down, rounded to 8
// bits after each, but first down where the height shrinks by more than twice as many pixels as the width. Sizes have to be positive.
func (m *Image) Resize(width, height int, f Filter) *Image {
	if width == m.Width && height == m.Height {
		return m
	}
	if f == Nearest {
		return m.nearest(width, height)
	}
	if lost := m.Height - height; lost > 0 && lost > 2*(m.Width-width) && width != m.Width {
		return m.Resize(m.Width, height, f).Resize(width, height, f)
	}
	out := m
	var down *weights
	from, to := 0, m.Height
	if height != m.Height {
		down = newWeights(m.Height, height, f)
		from, to = down.first[0], down.first[height-1]+down.count[height-1] // no other rows are needed
	}
	if width != m.Width {
		out = m.across(newWeights(m.Width, width, f), width, from, to)
	} else {
		out = &Image{Width: m.Width, Height: to - from, Channels: m.Channels, Pix: m.Pix[from*m.Width*m.Channels : to*m.Width*m.Channels]}
	}
	if down != nil {
		out = out.down(down, height, from)
	}
	return out
}

func (m *Image) nearest(width, height int) *Image {
	out := newImage(width, height, m.Channels)
	columns := nearest(m.Width, width)
	for y, row := range nearest(m.Height, height) {
		in := m.Pix[row*m.Width*m.Channels:]
		to := out.Pix[y*width*m.Channels : (y+1)*width*m.Channels]
		for x, column := range columns {
			copy(to[x*m.Channels:(x+1)*m.Channels], in[column*m.Channels:])
		}
	}
	return out
}

// nearest returns the input pixel for each output pixel. Pillow adds the steps up, which rounds otherwise than multiplying.
func nearest(in, out int) []int {
	step := float64(in) / float64(out)
	pixels := make([]int, out)
	at := step * 0.5
	for i := range pixels {
		pixels[i] = min(int(at), in-1)
		at += step
	}
	return pixels
}

const half = 1 << (precision - 1)

func clip(v int32) uint8 {
	v >>= precision
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return uint8(v)
}

// across resizes the rows [from, to).
func (m *Image) across(w *weights, width, from, to int) *Image {
	out := newImage(width, to-from, m.Channels)
	for y := from; y < to; y++ {
		in, row := m.Pix[y*m.Width*m.Channels:(y+1)*m.Width*m.Channels], out.Pix[(y-from)*width*m.Channels:(y-from+1)*width*m.Channels]
		if m.Channels == 3 {
			acrossRGB(in, row, w)
			continue
		}
		for x := range row {
			sum := int32(half)
			pixels := in[w.first[x] : w.first[x]+w.count[x]]
			k := w.k[x*w.size : x*w.size+len(pixels)]
			for i, p := range pixels {
				sum += int32(p) * k[i]
			}
			row[x] = clip(sum)
		}
	}
	return out
}

func acrossRGB(in, row []uint8, w *weights) {
	for x, first := range w.first {
		r, g, b := int32(half), int32(half), int32(half)
		count := w.count[x]
		ks, p := w.k[x*w.size:x*w.size+count], in[first*3:(first+count)*3]
		for len(ks) >= 2 && len(p) >= 6 { // two pixels at once, without a check for each
			k0, k1 := ks[0], ks[1]
			r += int32(p[0])*k0 + int32(p[3])*k1
			g += int32(p[1])*k0 + int32(p[4])*k1
			b += int32(p[2])*k0 + int32(p[5])*k1
			ks, p = ks[2:], p[6:]
		}
		if len(ks) > 0 && len(p) >= 3 {
			k := ks[0]
			r += int32(p[0]) * k
			g += int32(p[1]) * k
			b += int32(p[2]) * k
		}
		out := row[x*3 : x*3+3 : x*3+3]
		out[0], out[1], out[2] = clip(r), clip(g), clip(b)
	}
}

// down resizes the columns of an image whose first row is number offset of the whole.
func (m *Image) down(w *weights, height, offset int) *Image {
	out := newImage(m.Width, height, m.Channels)
	stride := m.Width * m.Channels
	sums := make([]int32, stride)
	for y := range height {
		for i := range sums {
			sums[i] = half
		}
		ks, rows := w.k[y*w.size:y*w.size+w.count[y]], m.Pix[(w.first[y]-offset)*stride:]
		for ; len(ks) >= 2; ks, rows = ks[2:], rows[2*stride:] {
			addTwo(sums, rows[:stride], rows[stride:2*stride], ks[0], ks[1])
		}
		if len(ks) > 0 {
			addTwo(sums, rows[:stride], rows[:stride], ks[0], 0)
		}
		row := out.Pix[y*stride : (y+1)*stride]
		for x, s := range sums[:len(row)] {
			row[x] = clip(s)
		}
	}
	return out
}

// addTwo adds two rows to sums, each times its weight: one by one, sums would be read and written twice.
func addTwo(sums []int32, a, b []uint8, weightOfA, weightOfB int32) {
	a, b = a[:len(sums)], b[:len(sums)]
	for x := range sums {
		sums[x] += int32(a[x])*weightOfA + int32(b[x])*weightOfB
	}
}
