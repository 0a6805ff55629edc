package image

// Image is a picture: Channels bytes for each pixel, row by row.
type Image struct {
	Width, Height int
	Channels      int // 1: grey, 3: red, green, blue
	Pix           []uint8
}

// Mode is what an image is decoded to.
type Mode uint8

// The modes, as Pillow's "RGB" and "L".
const (
	RGB Mode = iota
	Grey
)

// Channels returns how many bytes a pixel has.
func (m Mode) Channels() int {
	if m == Grey {
		return 1
	}
	return 3
}

// MaxPixels is the most pixels that an image may have unless a caller says otherwise: the limit at which Pillow warns of a
// decompression bomb.
const MaxPixels = 89_478_485

func newImage(width, height, channels int) *Image {
	return &Image{Width: width, Height: height, Channels: channels, Pix: make([]uint8, width*height*channels)}
}

// Crop returns the part of the image whose upper left corner is at x, y. What lies outside of the image is 0.
func (m *Image) Crop(x, y, width, height int) *Image {
	out := newImage(width, height, m.Channels)
	from, to := max(0, x), min(m.Width, x+width)
	if from >= to {
		return out
	}
	for row := max(0, y); row < min(m.Height, y+height); row++ {
		at := ((row-y)*width + from - x) * m.Channels
		copy(out.Pix[at:], m.Pix[(row*m.Width+from)*m.Channels:(row*m.Width+to)*m.Channels])
	}
	return out
}

// grey returns the image as shades of grey, weighted as ITU-R 601 has it.
func (m *Image) grey() *Image {
	if m.Channels == 1 {
		return m
	}
	out := newImage(m.Width, m.Height, 1)
	for i := range out.Pix {
		p := m.Pix[i*3:]
		out.Pix[i] = uint8((uint32(p[0])*19595 + uint32(p[1])*38470 + uint32(p[2])*7471 + 0x8000) >> 16)
	}
	return out
}

// rgb returns the image with three channels.
func (m *Image) rgb() *Image {
	if m.Channels == 3 {
		return m
	}
	out := newImage(m.Width, m.Height, 3)
	for i, v := range m.Pix {
		out.Pix[i*3], out.Pix[i*3+1], out.Pix[i*3+2] = v, v, v
	}
	return out
}

// upright turns an image as its EXIF orientation, 1 to 8, asks for.
func (m *Image) upright(orientation int) *Image {
	if orientation < 2 || orientation > 8 {
		return m
	}
	w, h := m.Width, m.Height
	out := newImage(w, h, m.Channels)
	if orientation >= 5 {
		out.Width, out.Height = h, w
	}
	for y := range out.Height {
		for x := range out.Width {
			var sx, sy int
			switch orientation {
			case 2:
				sx, sy = w-1-x, y
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sx, sy = x, h-1-y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, h-1-x
			case 7:
				sx, sy = w-1-y, h-1-x
			case 8:
				sx, sy = w-1-y, x
			}
			copy(out.Pix[(y*out.Width+x)*m.Channels:(y*out.Width+x+1)*m.Channels], m.Pix[(sy*w+sx)*m.Channels:])
		}
	}
	return out
}
