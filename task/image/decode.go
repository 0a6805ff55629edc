package image

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"
)

// format is a kind of image file.
type format struct {
	begins string // the file
	config func(data []byte) (image.Config, error)
	decode func(data []byte, mode Mode) (*Image, error)
	exif   func(data []byte) []byte // the EXIF block, or nil
}

// formats are tried in order.
var formats = []format{
	{"\xff\xd8\xff", withReader(jpeg.DecodeConfig), decodeJPEG, exifOfJPEG},
	{"\x89PNG\r\n\x1a\n", withReader(png.DecodeConfig), decodePNG, exifOfPNG},
	{"GIF8", withReader(gif.DecodeConfig), decodeGIF, nil},
	{"BM", withReader(bmp.DecodeConfig), decodeBMP, nil},
	{"RIFF", withReader(webp.DecodeConfig), decodeWebP, exifOfWebP},
}

// Decode returns the picture in a JPEG, PNG, GIF (the first), BMP or still WebP, turned upright by its EXIF orientation, as Pillow
// converts it to the mode. Transparency is dropped, as it is there. An image of more pixels than maxPixels is refused before it is decoded.
func Decode(data []byte, mode Mode, maxPixels int) (*Image, error) {
	for _, f := range formats {
		if len(data) < len(f.begins) || string(data[:len(f.begins)]) != f.begins {
			continue
		}
		config, err := f.config(data)
		if err != nil {
			return nil, fmt.Errorf("the image cannot be read: %w", err)
		}
		if config.Width < 1 || config.Height < 1 {
			return nil, errors.New("the image has no pixels")
		}
		if config.Width > maxPixels/config.Height {
			return nil, fmt.Errorf("the image has %d×%d pixels, which is more than the %d that are allowed", config.Width, config.Height, maxPixels)
		}
		m, err := f.decode(data, mode)
		if err != nil {
			return nil, fmt.Errorf("the image cannot be read: %w", err)
		}
		if f.exif != nil {
			m = m.upright(orientation(f.exif(data)))
		}
		if mode == Grey {
			return m.grey(), nil
		}
		return m.rgb(), nil
	}
	return nil, fmt.Errorf("not an image: wanted JPEG, PNG, GIF, BMP or WebP, found %s", found(data))
}

func found(data []byte) string {
	if len(data) == 0 {
		return "nothing"
	}
	return http.DetectContentType(data)
}

func withReader(f func(r reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(data []byte) (image.Config, error) { return f(bytes.NewReader(data)) }
}

func decodePNG(data []byte, _ Mode) (*Image, error) {
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if g, ok := m.(*image.Gray16); ok {
		return clipped(g), nil
	}
	return fromGo(m)
}

// clipped returns a picture of 16 bits as Pillow makes it one of 8: what is beyond 255 is white.
func clipped(g *image.Gray16) *Image {
	b := g.Bounds()
	out := newImage(b.Dx(), b.Dy(), 1)
	for y := range out.Height {
		for x := range out.Width {
			out.Pix[y*out.Width+x] = uint8(min(255, g.Gray16At(b.Min.X+x, b.Min.Y+y).Y))
		}
	}
	return out
}

func decodeBMP(data []byte, _ Mode) (*Image, error) {
	m, err := bmp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return fromGo(m)
}

// decodeGIF puts the first picture onto the screen that the file describes.
func decodeGIF(data []byte, _ Mode) (*Image, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	m, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	p, ok := m.(*image.Paletted)
	if !ok {
		return nil, errors.New("it has no palette")
	}
	colours := gifPalette(data)
	table := palette(p.Palette)
	copy(table[:], colours)
	out := newImage(config.Width, config.Height, 3)
	if b := p.Bounds(); b.Dx() < config.Width || b.Dy() < config.Height {
		fill(out, table[background(data)])
	}
	for y := p.Rect.Min.Y; y < p.Rect.Max.Y; y++ {
		for x := p.Rect.Min.X; x < p.Rect.Max.X; x++ {
			c := table[p.ColorIndexAt(x, y)]
			copy(out.Pix[(y*out.Width+x)*3:], c[:])
		}
	}
	return out, nil
}

func fill(m *Image, c [3]uint8) {
	for i := 0; i < len(m.Pix); i += 3 {
		copy(m.Pix[i:], c[:])
	}
}

// background is the index of a GIF's background colour.
func background(data []byte) uint8 {
	const screenFlags, index = 10, 11
	if data[screenFlags]&0x80 == 0 {
		return 0
	}
	return data[index]
}

// gifPalette returns the colours of the first picture. Go's decoder leaves out that of transparent pixels, which Pillow shows.
func gifPalette(data []byte) [][3]uint8 {
	const header = 13
	pos := header
	table := func(flags byte) [][3]uint8 {
		n := 2 << (flags & 7)
		if flags&0x80 == 0 || pos+3*n > len(data) {
			return nil
		}
		out := make([][3]uint8, n)
		for i := range out {
			copy(out[i][:], data[pos+3*i:])
		}
		pos += 3 * n
		return out
	}
	global := table(data[10])
	for pos < len(data) {
		switch data[pos] {
		case 0x21: // an extension: blocks, each with its length before it
			pos += 2
			for pos < len(data) && data[pos] != 0 {
				pos += int(data[pos]) + 1
			}
			pos++
		case 0x2c: // the picture
			const flags, size = 9, 10
			if pos+size > len(data) {
				return global
			}
			f := data[pos+flags]
			pos += size
			if local := table(f); local != nil {
				return local
			}
			return global
		default:
			return global
		}
	}
	return global
}

// palette returns colours without transparency.
func palette(p color.Palette) [256][3]uint8 {
	var out [256][3]uint8
	for i, c := range p {
		if i < len(out) {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			out[i] = [3]uint8{n.R, n.G, n.B}
		}
	}
	return out
}

// fromGo returns a picture of Go's without transparency.
func fromGo(m image.Image) (*Image, error) {
	b := m.Bounds()
	out := newImage(b.Dx(), b.Dy(), 3)
	switch m := m.(type) {
	case *image.Gray:
		out = newImage(b.Dx(), b.Dy(), 1)
		for y := range out.Height {
			copy(out.Pix[y*out.Width:(y+1)*out.Width], m.Pix[y*m.Stride:])
		}
	case *image.Paletted:
		table := palette(m.Palette)
		for y := range out.Height {
			for x, i := range m.Pix[y*m.Stride : y*m.Stride+out.Width] {
				copy(out.Pix[(y*out.Width+x)*3:], table[i][:])
			}
		}
	case *image.RGBA: // opaque: PNG and BMP have other types where there is transparency
		threeOfFour(out, m.Pix, m.Stride)
	case *image.NRGBA:
		threeOfFour(out, m.Pix, m.Stride)
	case *image.RGBA64, *image.NRGBA64:
		for y := range out.Height {
			for x := range out.Width {
				n := color.NRGBA64Model.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA64)
				copy(out.Pix[(y*out.Width+x)*3:], []uint8{uint8(n.R >> 8), uint8(n.G >> 8), uint8(n.B >> 8)})
			}
		}
	case *image.CMYK:
		for y := range out.Height {
			for x := range out.Width {
				p := m.Pix[y*m.Stride+4*x:]
				k := 255 - uint32(p[3])
				for c := range 3 {
					t := uint32(p[c])*k + 128
					out.Pix[(y*out.Width+x)*3+c] = uint8(max(0, int(k)-int((t+t>>8)>>8)))
				}
			}
		}
	default:
		return nil, fmt.Errorf("pictures of type %T are not supported", m)
	}
	return out, nil
}

func threeOfFour(out *Image, pix []uint8, stride int) {
	for y := range out.Height {
		in := pix[y*stride:]
		row := out.Pix[y*out.Width*3 : (y+1)*out.Width*3]
		for x := range out.Width {
			row[x*3], row[x*3+1], row[x*3+2] = in[x*4], in[x*4+1], in[x*4+2]
		}
	}
}
