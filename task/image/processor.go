package image

import "fmt"

// Processor prepares images for a model as its preprocessor_config.json says: it resizes, crops the middle out, scales and normalises.
// It is immutable, and may be used by many goroutines at once.
type Processor struct {
	mode    Mode
	resize  bool
	size    size
	filter  Filter
	crop    bool
	cropTo  size
	reverse bool           // blue comes first
	values  [][256]float32 // by channel of the image: what each of the 256 shades becomes
}

// size is a width and height, or the length of the shortest edge.
type size struct{ width, height, shortest int }

// MaxSize is the longest edge that a processor may resize or crop to, in pixels. An edge of which only the other is given may be longer.
const MaxSize = 8192

// Mode returns what images have to be decoded to. Others are converted.
func (p *Processor) Mode() Mode { return p.mode }

// Channels returns how many planes a tensor has.
func (p *Processor) Channels() int { return p.mode.Channels() }

// Size returns the size of every tensor, or 0, 0 where it depends on the image.
func (p *Processor) Size() (width, height int) {
	switch {
	case p.crop:
		return p.cropTo.width, p.cropTo.height
	case p.resize:
		return p.size.width, p.size.height // 0, 0 for a shortest edge
	}
	return 0, 0
}

// Append appends an image to a tensor: planes of numbers, one for each channel, computed in single precision as NumPy does. It fails for
// an image so long and narrow that it would have more than MaxPixels once its shortest edge is resized.
func (p *Processor) Append(dst []float32, m *Image) ([]float32, error) {
	m, err := p.shaped(m)
	if err != nil {
		return dst, err
	}
	return p.appendPlanes(dst, m), nil
}

// Prepare is Append for processors whose tensors have the size of the image: it returns a tensor of its own, with its width and height.
func (p *Processor) Prepare(m *Image) (pixels []float32, width, height int, err error) {
	if m, err = p.shaped(m); err != nil {
		return nil, 0, 0, err
	}
	return p.appendPlanes(nil, m), m.Width, m.Height, nil
}

// shaped returns the image with the channels and the size of the tensor.
func (p *Processor) shaped(m *Image) (*Image, error) {
	if m.Width < 1 || m.Height < 1 {
		return nil, fmt.Errorf("the image has %d×%d pixels", m.Width, m.Height)
	}
	if p.mode == Grey {
		m = m.grey()
	} else {
		m = m.rgb()
	}
	if p.resize {
		w, h := p.resized(m.Width, m.Height)
		if w > MaxPixels/h {
			return nil, fmt.Errorf("the image of %d×%d pixels would become one of %d×%d, which is more than %d pixels", m.Width, m.Height, w, h, MaxPixels)
		}
		m = m.Resize(w, h, p.filter)
	}
	if p.crop {
		// What is missing is black. An odd pixel is cut off, or added, on the right and below.
		m = m.Crop(floorHalf(m.Width-p.cropTo.width), floorHalf(m.Height-p.cropTo.height), p.cropTo.width, p.cropTo.height)
	}
	return m, nil
}

// resized returns the size that an image gets before it is cropped.
func (p *Processor) resized(width, height int) (int, int) {
	edge := p.size.shortest
	switch {
	case edge == 0:
		return p.size.width, p.size.height
	case width <= height:
		return edge, edge * height / width
	}
	return edge * width / height, edge
}

func floorHalf(n int) int { return n >> 1 }

// appendPlanes appends what each shade of the image becomes.
func (p *Processor) appendPlanes(dst []float32, m *Image) []float32 {
	n, at := m.Width*m.Height, len(dst)
	if dst == nil {
		dst = make([]float32, n*m.Channels)
	} else {
		dst = append(dst, make([]float32, n*m.Channels)...) // grows without a copy of the zeros
	}
	planes := dst[at:]
	if m.Channels == 1 {
		for i, v := range m.Pix[:n] {
			planes[i] = p.values[0][v]
		}
		return dst
	}
	r, g, b := planes[:n:n], planes[n:][:n:n], planes[2*n:][:n:n]
	if p.reverse {
		r, b = b, r
	}
	reds, greens, blues := &p.values[0], &p.values[1], &p.values[2]
	pix := m.Pix[:3*n]
	for i := range r {
		r[i], g[i], b[i] = reds[pix[3*i]], greens[pix[3*i+1]], blues[pix[3*i+2]]
	}
	return dst
}
