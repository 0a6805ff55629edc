package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

// jpegFile is a JPEG that is being decoded. The decoder is leat's own so that pixels are libjpeg's to the last bit, whose transform and
// spreading of colours differ from those of the standard library, and for speed.
type jpegFile struct {
	width, height int
	progressive   bool
	components    []component
	across, down  int // most samples of any component in a unit
	units, rows   int // how many units are in a row, and rows of them
	quantizers    [4]*[64]uint16
	dc, ac        [4]*huffman
	restart       int  // units between restarts; 0: none
	jfif          bool // the file says that its colours are YCC
	adobe         int  // the transform that Adobe's segment names, or -1
	scans         int
	bits          bitReader
}

// component is a plane of a JPEG.
type component struct {
	id            uint8
	across, down  int // samples in a unit
	quantizer     uint8
	table         *[64]uint16 // its quantizer, as its first scan found it
	width, height int         // in samples
	stride        int
	samples       []uint8     // of whole units
	coefficients  [][64]int16 // of a progressive file, block by block; nil otherwise
	dc, ac        *huffman
	previous      int32
}

// maxScans is the most scans that a JPEG may have: each goes through all of the picture, be it only a few bytes long.
const maxScans = 128

// Markers.
const (
	sof0, sof1, sof2 = 0xc0, 0xc1, 0xc2
	dht, dac         = 0xc4, 0xcc
	rst0, rst7       = 0xd0, 0xd7
	soi, eoi         = 0xd8, 0xd9
	sos, dqt, dri    = 0xda, 0xdb, 0xdd
	app0, app14      = 0xe0, 0xee
)

func configOfJPEG(data []byte) (image.Config, error) {
	j := &jpegFile{adobe: -1}
	if _, err := j.readHeaders(data[2:], true); err != nil {
		return image.Config{}, err
	}
	return image.Config{Width: j.width, Height: j.height}, nil
}

func decodeJPEG(data []byte) (*Image, error) {
	j := &jpegFile{adobe: -1}
	data = data[2:]
	for {
		scan, err := j.readHeaders(data, false)
		if err != nil {
			return nil, err
		}
		if scan == nil {
			break
		}
		if data, err = j.readScan(scan); err != nil {
			return nil, err
		}
	}
	for i := range j.components {
		c := &j.components[i]
		if c.table == nil {
			return nil, errors.New("jpeg: a component has no scan")
		}
		c.transform()
	}
	return j.picture(), nil
}

// readHeaders reads segments up to a scan, whose header and all that follows it returns, or nil at the end of the file. It stops at the
// header of the frame if that is all that is asked for.
func (j *jpegFile) readHeaders(data []byte, frame bool) (scan []byte, err error) {
	for {
		for len(data) > 0 && (data[0] != 0xff || len(data) > 1 && (data[1] == 0xff || data[1] == 0)) {
			data = data[1:] // filling, or what belongs to nothing
		}
		if len(data) < 2 {
			return nil, errJPEGCut
		}
		marker := data[1]
		data = data[2:]
		if marker >= rst0 && marker <= soi || marker == 1 { // without a body
			continue
		}
		if marker == eoi {
			if j.components == nil {
				return nil, errors.New("jpeg: the file has no picture")
			}
			return nil, nil
		}
		if len(data) < 2 {
			return nil, errJPEGCut
		}
		size := int(binary.BigEndian.Uint16(data))
		if size < 2 || size > len(data) {
			return nil, errJPEGCut
		}
		if marker == sos {
			return data[2:], nil
		}
		if err := j.readSegment(marker, data[2:size]); err != nil {
			return nil, err
		}
		if frame && j.components != nil {
			return nil, nil
		}
		data = data[size:]
	}
}

func (j *jpegFile) readSegment(marker byte, body []byte) error {
	switch {
	case marker == dht:
		return j.readHuffman(body)
	case marker == dqt:
		return j.readQuantizers(body)
	case marker == dri:
		if len(body) < 2 {
			return errJPEGCut
		}
		j.restart = int(binary.BigEndian.Uint16(body))
	case marker == app0 && len(body) >= 5 && string(body[:5]) == "JFIF\x00":
		j.jfif = true
	case marker == app14 && len(body) >= 12 && string(body[:5]) == "Adobe":
		j.adobe = int(body[11])
	case marker >= sof0 && marker <= sof2:
		j.progressive = marker == sof2
		return j.readFrame(body)
	case marker > sof2 && marker <= 0xcf && marker != dac && marker != 0xc8:
		return fmt.Errorf("jpeg: wanted a baseline, extended or progressive file with Huffman codes, found marker %#x", marker)
	}
	return nil
}

func (j *jpegFile) readHuffman(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 || body[0]&0xf > 3 || body[0]>>4 > 1 {
			return errJPEGTable
		}
		counts, n := (*[16]uint8)(body[1:17]), 0
		for _, c := range counts {
			n += int(c)
		}
		if n > 256 || len(body) < 17+n {
			return errJPEGTable
		}
		h, err := newHuffman(counts, body[17:17+n])
		if err != nil {
			return err
		}
		if body[0]>>4 == 0 {
			j.dc[body[0]&3] = h
		} else {
			j.ac[body[0]&3] = h
		}
		body = body[17+n:]
	}
	return nil
}

func (j *jpegFile) readQuantizers(body []byte) error {
	for len(body) > 0 {
		id, size := body[0]&0xf, 1+int(body[0]>>4) // of a number, in bytes
		if id > 3 || size > 2 || len(body) < 1+64*size {
			return errors.New("jpeg: a quantization table is wrong")
		}
		q := &[64]uint16{}
		for i := range q {
			q[unzigzag[i]] = uint16(body[1+i])
			if size == 2 {
				q[unzigzag[i]] = binary.BigEndian.Uint16(body[1+2*i:])
			}
		}
		j.quantizers[id] = q
		body = body[1+64*size:]
	}
	return nil
}

// readFrame reads the size of the picture and of its components.
func (j *jpegFile) readFrame(body []byte) error {
	if j.components != nil {
		return errors.New("jpeg: the file has two pictures")
	}
	if len(body) < 6 || len(body) < 6+3*int(body[5]) {
		return errJPEGCut
	}
	if body[0] != 8 {
		return fmt.Errorf("jpeg: wanted samples of 8 bits, found %d", body[0])
	}
	n := int(body[5])
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("jpeg: wanted 1, 3 or 4 components, found %d", n)
	}
	j.height, j.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	j.components = make([]component, n)
	for i := range j.components {
		in := body[6+3*i:]
		c := component{id: in[0], across: int(in[1] >> 4), down: int(in[1] & 15), quantizer: in[2] & 3}
		if c.across < 1 || c.across > 4 || c.down < 1 || c.down > 4 {
			return fmt.Errorf("jpeg: wanted 1 to 4 samples in a unit, found %d×%d", c.across, c.down)
		}
		j.across, j.down = max(j.across, c.across), max(j.down, c.down)
		j.components[i] = c
	}
	j.units, j.rows = ceil(j.width, 8*j.across), ceil(j.height, 8*j.down)
	for i := range j.components {
		c := &j.components[i]
		if j.across%c.across != 0 || j.down%c.down != 0 {
			return fmt.Errorf("jpeg: components of %d×%d and %d×%d samples in a unit are not supported", j.across, j.down, c.across, c.down)
		}
		c.width, c.height = ceil(j.width*c.across, j.across), ceil(j.height*c.down, j.down)
		c.stride = 8 * j.units * c.across
	}
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

// picture spreads the planes and converts the colours.
func (j *jpegFile) picture() *Image {
	c := j.components
	if len(c) == 1 {
		out := newImage(j.width, j.height, 1)
		for y := range j.height {
			copy(out.Pix[y*j.width:(y+1)*j.width], c[0].samples[y*c[0].stride:])
		}
		return out
	}
	out := newImage(j.width, j.height, 3)
	spreaders := make([]*spreader, len(c))
	for i := range c {
		spreaders[i] = newSpreader(&c[i], j.across/c[i].across, j.down/c[i].down)
	}
	ycc := j.isYCC()
	for y := range j.height {
		row := out.Pix[y*j.width*3 : (y+1)*j.width*3]
		first, second, third := spreaders[0].row(y), spreaders[1].row(y), spreaders[2].row(y)
		if ycc {
			convertRow(row, first[:j.width], second, third)
		} else {
			interleave(row, first, second, third)
		}
		if len(c) == 4 {
			darken(row, spreaders[3].row(y), ycc)
		}
	}
	return out
}

// isYCC says whether colours are stored as brightness and two differences, as libjpeg guesses.
func (j *jpegFile) isYCC() bool {
	c := j.components
	switch {
	case len(c) == 4:
		return j.adobe > 0
	case j.jfif:
		return true
	case j.adobe >= 0:
		return j.adobe != 0
	}
	return c[0].id != 'R' || c[1].id != 'G' || c[2].id != 'B'
}

func interleave(row, first, second, third []uint8) {
	for x := range len(row) / 3 {
		row[3*x], row[3*x+1], row[3*x+2] = first[x], second[x], third[x]
	}
}

// darken makes colours of a row of cyan, magenta, yellow and black, which Pillow takes to be inverted as Adobe's are. Converted from YCC
// they have been inverted already.
func darken(row, black []uint8, ycc bool) {
	for x := range len(row) / 3 {
		k := uint32(black[x])
		for i := range 3 {
			p := &row[3*x+i]
			cyan := uint32(*p)
			if !ycc {
				cyan = 255 - cyan
			}
			t := cyan*k + 128
			*p = uint8(max(0, int(k)-int((t+t>>8)>>8)))
		}
	}
}
