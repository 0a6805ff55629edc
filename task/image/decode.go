package image

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
)

// format is a kind of image file.
type format struct {
	begins string // the file
	config func(data []byte) (image.Config, error)
	decode func(data []byte) (*Image, error)
	exif   func(data []byte) []byte // the EXIF block, or nil
}

// formats are tried in order.
var formats = []format{
	{"\xff\xd8\xff", configOfJPEG, decodeJPEG, exifOfJPEG},
	{"\x89PNG\r\n\x1a\n", withReader(png.DecodeConfig), decodePNG, exifOfPNG},
	{"GIF8", configOfGIF, decodeGIF, nil},
	{"BM", configOfBMP, decodeBMP, nil},
	{"RIFF", configOfWebP, decodeWebP, exifOfWebP},
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
		m, err := f.decode(data)
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

func withReader(f func(r io.Reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(data []byte) (image.Config, error) { return f(bytes.NewReader(data)) }
}

func decodePNG(data []byte) (*Image, error) {
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	const depth, kind, grey = 24, 25, 0 // in the header, which has been read
	if data[depth] == 16 && data[kind] == grey {
		return clipped(m), nil
	}
	return fromGo(m)
}

// clipped returns shades of grey of 16 bits as Pillow makes them 8: what is beyond 255 is white.
func clipped(m image.Image) *Image {
	shade := func(x, y int) uint16 { return color.Gray16Model.Convert(m.At(x, y)).(color.Gray16).Y }
	if t, ok := m.(*image.NRGBA64); ok { // one shade is transparent
		shade = func(x, y int) uint16 { return t.NRGBA64At(x, y).R }
	}
	b := m.Bounds()
	out := newImage(b.Dx(), b.Dy(), 1)
	for i := range out.Pix {
		out.Pix[i] = uint8(min(255, shade(b.Min.X+i%out.Width, b.Min.Y+i/out.Width)))
	}
	return out
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
