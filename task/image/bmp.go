package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math/bits"
)

// bitmap is the header of a BMP.
type bitmap struct {
	width, height int
	topDown       bool
	depth         int       // bits of a pixel
	masks         [3]uint32 // where red, green and blue lie in a pixel of 16 or 32 bits
	colours       [256][3]uint8
	rows          []byte // each filled up to four bytes
}

var errBMPCut = errors.New("bmp: the file is cut off")

// readBMP reads up to the pixels.
func readBMP(data []byte) (*bitmap, error) {
	const fileHeader, sizeOfOS2, usual = 14, 12, 40
	if len(data) < fileHeader+4 {
		return nil, errBMPCut
	}
	offset, size := binary.LittleEndian.Uint32(data[10:]), binary.LittleEndian.Uint32(data[fileHeader:])
	if int64(len(data)) < int64(fileHeader)+int64(size) || int64(offset) > int64(len(data)) {
		return nil, errBMPCut
	}
	header, rest := data[fileHeader:fileHeader+size], data[fileHeader+size:]
	var b *bitmap
	var err error
	colour := 4 // bytes of a colour in the table
	switch {
	case size == sizeOfOS2:
		b, colour = headerOfOS2(header), 3
	case size >= usual:
		b, err = usualHeader(header, rest)
	default:
		err = fmt.Errorf("bmp: wanted a header of 12, or of 40 bytes and more, found one of %d", size)
	}
	if err != nil {
		return nil, err
	}
	for i := range 1 << min(b.depth, 8) {
		if at := i * colour; b.depth <= 8 && at+colour <= len(rest) {
			b.colours[i] = [3]uint8{rest[at+2], rest[at+1], rest[at]}
		}
	}
	b.rows = data[offset:]
	return b, nil
}

func headerOfOS2(header []byte) *bitmap {
	number := func(at int) int { return int(binary.LittleEndian.Uint16(header[at:])) }
	return &bitmap{width: number(4), height: number(6), depth: number(10), masks: masks32}
}

var (
	masks15 = [3]uint32{0x7c00, 0x3e0, 0x1f}
	masks16 = [3]uint32{0xf800, 0x7e0, 0x1f}
	masks32 = [3]uint32{0xff0000, 0xff00, 0xff}
)

// usualHeader reads a header of Windows'. Masks lie in the header, or behind one that is too short for them.
func usualHeader(header, rest []byte) (*bitmap, error) {
	const plain, masked, masksAt = 0, 3, 40
	number := func(at int) int32 { return int32(binary.LittleEndian.Uint32(header[at:])) }
	b := &bitmap{width: int(number(4)), height: int(number(8)), depth: int(binary.LittleEndian.Uint16(header[14:]))}
	if b.height < 0 {
		b.height, b.topDown = -b.height, true
	}
	b.masks = masks32
	if b.depth == 16 {
		b.masks = masks15
	}
	switch method := number(16); {
	case method == plain:
		return b, nil
	case method != masked:
		return nil, fmt.Errorf("bmp: wanted pixels that are not compressed, found method %d", method)
	}
	if header = append(header[masksAt:len(header):len(header)], rest...); len(header) < 12 {
		return nil, errBMPCut
	}
	var masks [3]uint32
	for i := range masks {
		masks[i] = binary.LittleEndian.Uint32(header[4*i:])
	}
	wholeBytes := true
	for _, m := range masks {
		wholeBytes = wholeBytes && bits.OnesCount32(m) == 8 && m>>(bits.TrailingZeros32(m)/8*8)&0xff == 0xff
	}
	switch {
	case masks == [3]uint32{}:
	case b.depth == 32 && wholeBytes, b.depth == 16 && (masks == masks15 || masks == masks16), b.depth == 24 && masks == masks32:
		b.masks = masks
	default:
		return nil, fmt.Errorf("bmp: pixels of %d bits with the masks %x are not supported", b.depth, masks)
	}
	return b, nil
}

func configOfBMP(data []byte) (image.Config, error) {
	b, err := readBMP(data)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{Width: b.width, Height: b.height}, nil
}

func decodeBMP(data []byte) (*Image, error) {
	b, err := readBMP(data)
	if err != nil {
		return nil, err
	}
	convert := b.convertDeep
	switch b.depth {
	case 1, 4, 8:
		convert = b.convertShallow
	case 16, 24, 32:
	default:
		return nil, fmt.Errorf("bmp: wanted pixels of 1, 4, 8, 16, 24 or 32 bits, found %d", b.depth)
	}
	stride := (b.width*b.depth + 31) / 32 * 4
	if len(b.rows)/stride < b.height {
		return nil, errBMPCut
	}
	out := newImage(b.width, b.height, 3)
	for y := range b.height {
		to := y
		if !b.topDown {
			to = b.height - 1 - y
		}
		convert(out.Pix[to*b.width*3:(to+1)*b.width*3], b.rows[y*stride:(y+1)*stride])
	}
	return out, nil
}

// convertShallow converts a row of numbers of colours.
func (b *bitmap) convertShallow(out, in []uint8) {
	perByte := 8 / b.depth
	for x := range b.width {
		shift := 8 - b.depth*(x%perByte+1)
		i := in[x/perByte] >> shift & uint8(1<<b.depth-1)
		copy(out[3*x:3*x+3], b.colours[i][:])
	}
}

// convertDeep converts a row of pixels that hold their colours.
func (b *bitmap) convertDeep(out, in []uint8) {
	var shift, most [3]uint32
	for c, m := range b.masks {
		shift[c] = uint32(bits.TrailingZeros32(m))
		most[c] = m >> shift[c]
	}
	size := b.depth / 8
	var pixel [4]uint8
	for x := range b.width {
		copy(pixel[:size], in[x*size:])
		v := binary.LittleEndian.Uint32(pixel[:])
		for c := range 3 {
			out[3*x+c] = uint8(v >> shift[c] & most[c] * 255 / most[c])
		}
	}
}
