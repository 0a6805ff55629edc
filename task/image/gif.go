package image

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// gifPicture is the first picture of a GIF, on the screen that the file describes.
type gifPicture struct {
	width, height            int // of the screen
	left, top, right, bottom int // of the picture
	interlaced               bool
	background               uint8 // what the screen holds before
	colours                  [256][3]uint8
	codes                    []byte // compressed: the length of a code, then blocks
}

var errGIFCut = errors.New("gif: the file ends before its first picture")

// readGIF reads up to the pixels of the first picture.
func readGIF(data []byte) (*gifPicture, error) {
	const header = 13
	if len(data) < header {
		return nil, errGIFCut
	}
	g := &gifPicture{width: int(binary.LittleEndian.Uint16(data[6:])), height: int(binary.LittleEndian.Uint16(data[8:]))}
	for i := range g.colours { // a file without colours means shades of grey
		g.colours[i] = [3]uint8{uint8(i), uint8(i), uint8(i)}
	}
	rest := g.readColours(data[10], data[header:])
	for len(rest) > 0 {
		switch rest[0] {
		case '!':
			rest = g.readExtension(rest)
		case ',':
			return g, g.readPicture(rest[1:])
		case ';':
			return nil, errGIFCut
		default:
			rest = rest[1:]
		}
	}
	return nil, errGIFCut
}

// readColours reads the table that flags announce, and returns what follows.
func (g *gifPicture) readColours(flags byte, data []byte) []byte {
	n := 2 << (flags & 7)
	if flags&0x80 == 0 || len(data) < 3*n {
		return data
	}
	clear(g.colours[:])
	for i := range n {
		copy(g.colours[i][:], data[3*i:])
	}
	return data[3*n:]
}

// readExtension passes over an extension, but for the number of the transparent colour, and returns what follows.
func (g *gifPicture) readExtension(data []byte) []byte {
	const control, transparent, transparency = 0xf9, 1, 6
	if len(data) > transparency && data[1] == control && data[3]&transparent != 0 {
		g.background = data[transparency]
	}
	data = data[min(2, len(data)):]
	for len(data) > 0 && data[0] != 0 {
		data = data[min(int(data[0])+1, len(data)):]
	}
	return data[min(1, len(data)):]
}

// readPicture reads the place and the colours of the picture. A screen that is too small for it grows.
func (g *gifPicture) readPicture(data []byte) error {
	const size = 9
	if len(data) < size {
		return errGIFCut
	}
	number := func(at int) int { return int(binary.LittleEndian.Uint16(data[at:])) }
	g.left, g.top = number(0), number(2)
	g.right, g.bottom = g.left+number(4), g.top+number(6)
	g.width, g.height = max(g.width, g.right), max(g.height, g.bottom)
	g.interlaced = data[8]&0x40 != 0
	g.codes = g.readColours(data[8], data[size:])
	return nil
}

func configOfGIF(data []byte) (image.Config, error) {
	g, err := readGIF(data)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{Width: g.width, Height: g.height}, nil
}

// decodeGIF puts the first picture onto the screen. Transparent pixels have the colour that the table gives them.
func decodeGIF(data []byte) (*Image, error) {
	g, err := readGIF(data)
	if err != nil {
		return nil, err
	}
	const least, most = 2, 8
	if len(g.codes) == 0 || g.codes[0] < least || g.codes[0] > most {
		return nil, errors.New("gif: no length of codes from 2 to 8 comes before the pixels")
	}
	out := newImage(g.width, g.height, 3)
	if g.right-g.left < g.width || g.bottom-g.top < g.height {
		fill(out, g.colours[g.background])
	}
	pixels := lzw.NewReader(&gifBlocks{rest: g.codes[1:]}, lzw.LSB, int(g.codes[0]))
	row := make([]uint8, g.right-g.left)
	for _, y := range g.rows() {
		if _, err := io.ReadFull(pixels, row); err != nil {
			return nil, fmt.Errorf("gif: reading row %d of the picture: %w", y, noEOF(err))
		}
		to := out.Pix[((g.top+y)*g.width+g.left)*3:]
		for x, i := range row {
			copy(to[3*x:3*x+3], g.colours[i][:])
		}
	}
	return out, nil
}

// rows returns the numbers of the picture's rows in the order of the file.
func (g *gifPicture) rows() []int {
	n := g.bottom - g.top
	order := make([]int, 0, n)
	passes := [][2]int{{0, 1}}
	if g.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, p := range passes {
		for y := p[0]; y < n; y += p[1] {
			order = append(order, y)
		}
	}
	return order
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func fill(m *Image, c [3]uint8) {
	copy(m.Pix, bytes.Repeat(c[:], m.Width*m.Height))
}

// gifBlocks reads blocks, each with its length before it, up to an empty one.
type gifBlocks struct {
	rest  []byte
	block []byte
}

func (b *gifBlocks) ReadByte() (byte, error) {
	if len(b.block) == 0 {
		if len(b.rest) == 0 || b.rest[0] == 0 {
			return 0, io.EOF
		}
		end := min(int(b.rest[0])+1, len(b.rest))
		b.block, b.rest = b.rest[1:end], b.rest[end:]
		if len(b.block) == 0 {
			return 0, io.EOF
		}
	}
	c := b.block[0]
	b.block = b.block[1:]
	return c, nil
}

// Read is not called: lzw reads byte by byte.
func (b *gifBlocks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
