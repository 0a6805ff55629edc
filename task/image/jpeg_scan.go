package image

import (
	"errors"
	"slices"
)

var errJPEGScan = errors.New("jpeg: the header of a scan is wrong")

// scan is one pass over some components.
type scan struct {
	components  []*component
	first, last int // of the coefficients that it brings, in the order of the file
	high, low   int // the bits that came before end at high; those of this scan at low
	rest        int // blocks still to come that have nothing new
}

// readScan reads a scan and returns what follows.
func (j *jpegFile) readScan(data []byte) ([]byte, error) {
	if j.scans++; j.scans > maxScans {
		return nil, errors.New("jpeg: the file has more scans than are allowed")
	}
	s, data, err := j.readScanHeader(data)
	if err != nil {
		return nil, err
	}
	across, rows := j.units, j.rows
	if len(s.components) == 1 { // is stored without the blocks that fill up units
		c := s.components[0]
		across, rows = ceil(c.width, 8), ceil(c.height, 8)
	}
	data = j.bits.reset(data)
	for unit := range across * rows {
		if j.restart > 0 && unit > 0 && unit%j.restart == 0 {
			if len(data) < 2 || data[1] < rst0 || data[1] > rst7 || j.bits.overrun() {
				return nil, errJPEGCut
			}
			data = j.bits.reset(data[2:])
			s.restart()
		}
		if err := j.readUnit(s, unit%across, unit/across); err != nil {
			return nil, err
		}
		if j.bits.overrun() {
			return nil, errJPEGCut
		}
	}
	return data, nil
}

func (s *scan) restart() {
	s.rest = 0
	for _, c := range s.components {
		c.previous = 0
	}
}

func (j *jpegFile) readScanHeader(data []byte) (*scan, []byte, error) {
	if j.components == nil || len(data) < 1 || len(data) < 4+2*int(data[0]) || data[0] < 1 || data[0] > 4 {
		return nil, nil, errJPEGScan
	}
	n := int(data[0])
	s := &scan{last: 63}
	for i := range n {
		id, tables := data[1+2*i], data[2+2*i]
		if tables>>4 > 3 || tables&15 > 3 {
			return nil, nil, errJPEGScan
		}
		c, err := j.component(id, len(data))
		if err != nil {
			return nil, nil, err
		}
		if slices.Contains(s.components, c) {
			return nil, nil, errJPEGScan
		}
		c.dc, c.ac, c.previous = j.dc[tables>>4], j.ac[tables&3], 0
		s.components = append(s.components, c)
	}
	in := data[1+2*n:]
	if j.progressive {
		s.first, s.last, s.high, s.low = int(in[0]), int(in[1]), int(in[2]>>4), int(in[2]&15)
	}
	bad := s.last > 63 || s.first > s.last || s.first == 0 && s.last != 0 && j.progressive || s.first > 0 && n > 1 || s.high > 13 || s.low > 13
	for _, c := range s.components {
		bad = bad || s.first == 0 && s.high == 0 && c.dc == nil || s.last > 0 && c.ac == nil
	}
	if bad {
		return nil, nil, errJPEGScan
	}
	return s, in[3:], nil
}

// component returns a component of a scan, with memory for its samples once size bytes may hold them.
func (j *jpegFile) component(id uint8, size int) (*component, error) {
	at := slices.IndexFunc(j.components, func(c component) bool { return c.id == id })
	if at < 0 {
		return nil, errJPEGScan
	}
	c := &j.components[at]
	if c.table != nil {
		return c, nil
	}
	if c.table = j.quantizers[c.quantizer]; c.table == nil {
		return nil, errors.New("jpeg: a quantization table is missing")
	}
	if blocks := ceil(c.width, 8) * ceil(c.height, 8); blocks/8 > size { // the first scan has a bit for each, or more
		return nil, errJPEGCut
	}
	c.samples = make([]uint8, c.stride*8*j.rows*c.down)
	if j.progressive {
		c.coefficients = make([][64]int16, len(c.samples)/64)
	}
	return c, nil
}

// readUnit reads the blocks of a unit, or the block of a scan of one component.
func (j *jpegFile) readUnit(s *scan, x, y int) error {
	if len(s.components) == 1 {
		return j.readBlock(s, s.components[0], x, y)
	}
	for _, c := range s.components {
		for row := range c.down {
			for column := range c.across {
				if err := j.readBlock(s, c, x*c.across+column, y*c.down+row); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (j *jpegFile) readBlock(s *scan, c *component, x, y int) error {
	if j.progressive {
		return j.bits.progress(s, c, &c.coefficients[y*(c.stride/8)+x])
	}
	var b [64]int16
	columns, err := j.bits.block(&b, c.dc, c.ac, &c.previous)
	if err != nil {
		return err
	}
	transform(c.samples[8*(y*c.stride+x):], c.stride, &b, c.table, columns)
	return nil
}

// transform makes samples of the coefficients of a progressive file.
func (c *component) transform() {
	across := c.stride / 8
	for i := range c.coefficients {
		b := &c.coefficients[i]
		columns := uint8(1)
		for column := range 8 {
			v := b[8*column : 8*column+8]
			if v[0]|v[1]|v[2]|v[3]|v[4]|v[5]|v[6]|v[7] != 0 {
				columns |= 1 << column
			}
		}
		transform(c.samples[8*(i/across*c.stride+i%across):], c.stride, b, c.table, columns)
	}
	c.coefficients = nil
}

// progress adds to a block what a scan of a progressive file brings.
func (r *bitReader) progress(s *scan, c *component, b *[64]int16) error {
	switch {
	case s.first == 0 && s.high > 0:
		b[0] |= int16(r.take(1) << s.low)
		return nil
	case s.first == 0:
		size, err := r.symbol(c.dc)
		if err != nil || size > 15 {
			return errJPEGCode
		}
		if size > 0 {
			c.previous += extend(r.take(int(size)), int(size))
		}
		b[0] = int16(c.previous << s.low)
		return nil
	case s.high > 0:
		return r.refine(s, c.ac, b)
	}
	return r.firstBits(s, c.ac, b)
}

// firstBits reads the highest bits of some coefficients.
func (r *bitReader) firstBits(s *scan, ac *huffman, b *[64]int16) error {
	if s.rest > 0 {
		s.rest--
		return nil
	}
	for k := s.first; k <= s.last; k++ {
		symbol, err := r.symbol(ac)
		if err != nil {
			return err
		}
		zeros, size := int(symbol>>4), int(symbol&15)
		switch {
		case size > 0:
			k += zeros
			b[unzigzag[k&127]&63] = int16(extend(r.take(size), size) << s.low)
		case zeros < 15:
			s.rest = 1<<zeros + int(r.take(zeros)) - 1
			return nil
		default:
			k += 15
		}
	}
	return nil
}

// refine reads one more bit of coefficients that have some, and the first of others.
func (r *bitReader) refine(s *scan, ac *huffman, b *[64]int16) error {
	k := s.first
	for ; k <= s.last && s.rest == 0; k++ {
		symbol, err := r.symbol(ac)
		if err != nil {
			return err
		}
		zeros, size := int(symbol>>4), symbol&15
		v := int16(0)
		switch {
		case size > 0:
			if v = int16(1) << s.low; r.take(1) == 0 {
				v = -v
			}
		case zeros < 15:
			s.rest = 1<<zeros + int(r.take(zeros))
		}
		if s.rest > 0 {
			break
		}
		k = r.refineUpTo(s, b, k, zeros)
		if v != 0 && k <= s.last {
			b[unzigzag[k]] = v
		}
	}
	if s.rest > 0 {
		s.rest--
		r.refineUpTo(s, b, k, 64)
	}
	return nil
}

// refineUpTo refines coefficients from number k on, and returns the place behind so many that are zero.
func (r *bitReader) refineUpTo(s *scan, b *[64]int16, k, zeros int) int {
	for ; k <= s.last; k++ {
		v := &b[unzigzag[k]]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		switch bit := int16(1) << s.low; {
		case r.take(1) == 0 || *v&bit != 0:
		case *v > 0:
			*v += bit
		default:
			*v -= bit
		}
	}
	return k
}
