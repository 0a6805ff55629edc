package kernel

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// maxText is the most text that a column can hold, by its offsets of 32 bits. longText is the most that a row may have
// for a step to decide it: the interpreter limits the memory that an expression takes for a row (expr.MaxMemory), so
// rows that may come near are its own.
const (
	maxText  = math.MaxInt32
	longText = 8 << 20
)

// textOut writes a column of text row by row, rising; rows left out are empty.
type textOut struct {
	data []byte
	off  []int32
	next int
	from int  // where the row at hand begins in data
	over bool // a row was too long, or the column
}

// text starts a column of n rows in the cell's memory.
func (c *cell) text(n int) textOut {
	c.out.Type, c.out.N, c.out.Valid = column.StringType, n, nil
	c.out.Offsets = grow(c.out.Offsets, n+1)
	return textOut{data: c.out.Data[:0], off: c.out.Offsets}
}

// start begins row i: what is appended to data up to the next start is its text.
func (t *textOut) start(i int) {
	if len(t.data)-t.from > longText || len(t.data) > maxText {
		t.data, t.over = t.data[:0], true
	}
	t.from = len(t.data)
	at := int32(t.from)
	for ; t.next <= i; t.next++ {
		t.off[t.next] = at
	}
}

// texts ends a column of n rows. Where a row was over the limits, all rows are bad.
func (c *cell) texts(t *textOut, n int, bad bitset) bitset {
	t.start(n)
	c.out.Data, c.out.Offsets = t.data, t.off
	if !t.over {
		return bad
	}
	clear(t.off)
	c.out.Data = nil
	bad = zeros(&c.bad, n)
	for i := range bad {
		bad[i] = 0xff
	}
	return bad.trim(n)
}

// piece is a part of a text made for each row: fixed text, or a value and how it is printed.
type piece struct {
	fixed  []byte
	padded []byte // fixed with room behind it; see join
	step   step
	kind   column.Kind
	format numberFormat
	null   string // what a null prints as; "": it is for the interpreter

	v *column.Vector // of the batch at hand
}

// concat compiles text + text + …, as one step however many there are.
func (c *compiler) concat(e *expr.Expr) *node {
	s := &textStep{}
	if !c.addends(e, s) || !s.varies {
		return nil
	}
	c.costly++
	return &node{step: s, t: column.StringType}
}

// addends appends the pieces of a sum of texts to s; false where one cannot be had.
func (c *compiler) addends(e *expr.Expr, s *textStep) bool {
	if e.Op == expr.OpBinary && e.Name == "+" && e.Type.Kind == column.String {
		return c.addends(e.Args[0], s) && c.addends(e.Args[1], s)
	}
	n := c.operand(e)
	if n == nil || n.kind() != column.String {
		return false
	}
	if text, ok := n.lit.(string); ok {
		s.addFixed(text)
		return true
	}
	if in, ok := n.step.(*textStep); ok {
		s.pieces, s.varies = append(s.pieces, in.pieces...), true
		return true
	}
	s.add(n, piece{step: n.step, kind: column.String})
	return true
}

// format compiles an f-string.
func (c *compiler) format(e *expr.Expr) *node {
	s := &textStep{}
	for _, a := range e.Args {
		if text, ok := a.Value.(string); ok && a.Op == expr.OpLit {
			s.addFixed(text)
		} else if a.Op != expr.OpFormatted {
			return nil
		} else if !c.formatted(a, s) {
			alone := &expr.Expr{Op: expr.OpFormat, Type: column.StringType, Args: []*expr.Expr{a}}
			s.add(&node{boxed: true}, piece{step: &boxedStep{e: alone}, kind: column.String})
		}
	}
	if !s.varies {
		return nil
	}
	c.costly++
	return &node{step: s, t: column.StringType}
}

// formatted appends {value:spec} to s; false where it cannot be had.
func (c *compiler) formatted(e *expr.Expr, s *textStep) bool {
	spec := ""
	if e.Name != "" {
		return false
	}
	if len(e.Args) > 1 && e.Args[1] != nil {
		for _, a := range e.Args[1].Args {
			text, ok := a.Value.(string)
			if !ok || a.Op != expr.OpLit {
				return false
			}
			spec += text
		}
	}
	n := c.operand(e.Args[0])
	if n == nil {
		return false
	}
	return s.print(n, spec)
}

// print appends the value of n, printed as Python's format does; false where that takes more.
func (s *textStep) print(n *node, spec string) bool {
	p := piece{step: n.step, kind: n.kind()}
	if spec == "" {
		p.null = "None"
	}
	switch n.kind() {
	case column.String:
		if spec != "" && spec != "s" {
			return false
		}
		if text, ok := n.lit.(string); ok {
			s.addFixed(text)
			return true
		}
	case column.Bool:
		if spec != "" {
			return false
		}
	case column.Int, column.Float:
		var ok bool
		if p.format, ok = parseFormat(spec, n.kind()); !ok {
			return false
		}
	default:
		return false
	}
	s.add(n, p)
	return true
}

// textStep joins pieces.
type textStep struct {
	pieces []piece
	varies bool // a piece is neither fixed nor boxed
	parts  []textPart
	cell
}

func (s *textStep) addFixed(text string) {
	if k := len(s.pieces) - 1; k >= 0 && s.pieces[k].step == nil {
		joined := append(s.pieces[k].fixed[:len(s.pieces[k].fixed):len(s.pieces[k].fixed)], text...)
		s.pieces[k].fixed = joined
		return
	}
	s.pieces = append(s.pieces, piece{fixed: []byte(text)})
}

func (s *textStep) add(n *node, p piece) {
	s.pieces = append(s.pieces, p)
	s.varies = s.varies || !n.boxed
}

func (s *textStep) eval(x *frame) (*column.Vector, bitset) {
	var bad bitset
	plain, size := true, 0
	for k := range s.pieces {
		p := &s.pieces[k]
		if p.step == nil {
			size += len(p.fixed) * x.n
			continue
		}
		v, badV := p.step.eval(x)
		p.v = v
		bad = add(&s.bad, bad, badV)
		null := nulls(&s.nul, v, x.n)
		if null != nil && p.null == "" {
			bad = add(&s.bad, bad, null)
		} else if null != nil {
			plain = false
		}
		if p.kind == column.String {
			size += int(v.Offsets[x.n] - v.Offsets[0])
		} else {
			plain = false
		}
	}
	if plain && size <= longText {
		s.join(x, size)
		return &s.out, bad
	}
	return &s.out, s.printRows(x, bad)
}

// printRows writes the pieces of each row that are not all text.
func (s *textStep) printRows(x *frame, bad bitset) bitset {
	t := s.text(x.n)
	for _, r := range x.rows {
		i := int(r)
		t.start(i)
		for k := range s.pieces {
			p := &s.pieces[k]
			switch {
			case p.step == nil:
				t.data = append(t.data, p.fixed...)
			case p.v.IsNull(i):
				t.data = append(t.data, p.null...)
			case p.kind == column.String:
				t.data = append(t.data, p.v.Bin(i)...)
			case p.kind == column.Int:
				t.data = p.format.appendInt(t.data, p.v.Ints[i])
			case p.kind == column.Float:
				t.data = p.format.appendFloat(t.data, p.v.Floats[i])
			case p.v.Bools[i]:
				t.data = append(t.data, "True"...)
			default:
				t.data = append(t.data, "False"...)
			}
		}
	}
	return s.texts(&t, x.n, bad)
}

// join writes the pieces of each row where all are text; size is at least the room that they take.
//
// Most texts are short, and a call to copy costs more than their bytes. So text of up to 16 bytes is moved as two words,
// too much of it; the next piece overwrites the rest.
func (s *textStep) join(x *frame, size int) {
	t := s.text(x.n)
	size += wordsRoom
	if cap(t.data) < size {
		t.data = make([]byte, size+size/8)
	}
	data, off, at, next := t.data[:cap(t.data)], t.off, 0, 0
	s.prepare(x.n)
	parts := s.parts
	for _, r := range x.rows {
		i := int(r)
		for ; next <= i; next++ {
			off[next] = int32(at)
		}
		for k := range parts {
			p := &parts[k]
			from, to := 0, p.fixed
			if p.off != nil {
				from, to = int(p.off[i]), int(p.off[i+1])
			}
			if n := to - from; n > 16 || from+16 > len(p.data) {
				at += copy(data[at:], p.data[from:to])
			} else {
				word, dst := p.data[from:from+16], data[at:at+16]
				binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(word))
				binary.LittleEndian.PutUint64(dst[8:], binary.LittleEndian.Uint64(word[8:]))
				at += n
			}
		}
	}
	t.data, t.next, t.from = data[:at], next, at
	s.texts(&t, x.n, nil)
}

// wordsRoom is how far join may write past the end of a text.
const wordsRoom = 16

// textPart is a piece of text as join reads it.
type textPart struct {
	data  []byte
	off   []int32 // nil: the text is data[:fixed] in all rows
	fixed int
}

// prepare fills s.parts from the batch at hand.
func (s *textStep) prepare(n int) {
	s.parts = s.parts[:0]
	for k := range s.pieces {
		p := &s.pieces[k]
		if p.step == nil {
			// With room behind it, so that it can be read as words.
			if p.padded == nil {
				p.padded = make([]byte, len(p.fixed)+wordsRoom)
				copy(p.padded, p.fixed)
			}
			s.parts = append(s.parts, textPart{data: p.padded, fixed: len(p.fixed)})
			continue
		}
		s.parts = append(s.parts, textPart{data: p.v.Data, off: p.v.Offsets[:n+1]})
	}
}

// method compiles the methods of strings that need no tables of Unicode.
func (c *compiler) method(e *expr.Expr) *node {
	if len(e.Keywords) > 0 || e.Args[0].Type.Kind != column.String {
		return nil
	}
	a := c.operand(e.Args[0])
	if a == nil || a.isLit || a.boxed || a.kind() != column.String {
		return nil
	}
	var args []string
	for _, arg := range e.Args[1:] {
		v, _ := literal(arg)
		text, ok := v.(string)
		if !ok {
			return nil
		}
		args = append(args, text)
	}
	switch name := e.Name; {
	case len(args) == 0 && (name == "lower" || name == "upper"):
		c.costly++
		return &node{step: &caseStep{a: a.step, upper: name == "upper"}, t: column.StringType}
	case len(args) == 0 && (name == "strip" || name == "lstrip" || name == "rstrip"):
		c.costly++
		return &node{step: &stripStep{a: a.step, left: name != "rstrip", right: name != "lstrip"}, t: column.StringType}
	case len(args) == 1 && (name == "startswith" || name == "endswith"):
		return &node{step: &affixStep{a: a.step, affix: []byte(args[0]), end: name == "endswith"}, t: column.BoolType}
	case len(args) == 2 && name == "replace" && args[0] != "":
		c.costly++
		return &node{step: &replaceStep{a: a.step, old: []byte(args[0]), new: args[1]}, t: column.StringType}
	}
	return nil
}

// caseStep is lower or upper of ASCII; other rows are bad.
type caseStep struct {
	a     step
	upper bool
	cell
	extra bitset
}

func (s *caseStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	t := s.text(x.n)
	first, last := byte('A'), byte('Z')
	if s.upper {
		first, last = 'a', 'z'
	}
	for _, r := range x.rows {
		i := int(r)
		t.start(i)
		from := len(t.data)
		t.data = append(t.data, v.Bin(i)...)
		all := byte(0)
		for k, b := range t.data[from:] {
			all |= b
			if first <= b && b <= last {
				t.data[from+k] = b ^ 0x20
			}
		}
		if all >= 0x80 {
			bad = mark(&s.extra, bad, i, x.n)
		}
	}
	return &s.out, s.texts(&t, x.n, bad)
}

// stripStep removes ASCII white space at the ends. A row whose text then begins or ends beyond ASCII is bad, since that
// may be white space too.
type stripStep struct {
	a           step
	left, right bool
	cell
	extra bitset
}

func (s *stripStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	t := s.text(x.n)
	for _, r := range x.rows {
		i := int(r)
		t.start(i)
		text := v.Bin(i)
		for s.left && len(text) > 0 && isSpace(text[0]) {
			text = text[1:]
		}
		for s.right && len(text) > 0 && isSpace(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		if len(text) > 0 && (s.left && text[0] >= 0x80 || s.right && text[len(text)-1] >= 0x80) {
			bad = mark(&s.extra, bad, i, x.n)
		}
		t.data = append(t.data, text...)
	}
	return &s.out, s.texts(&t, x.n, bad)
}

// isSpace reports what Python's strip takes for white space in ASCII.
func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b >= 0x1c && b <= 0x1f }

// affixStep is startswith or endswith of a constant.
type affixStep struct {
	a     step
	affix []byte
	end   bool
	cell
}

func (s *affixStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.bools(x.n)
	s.out.Type = column.BoolType
	if s.end {
		for i := range out {
			out[i] = bytes.HasSuffix(v.Bin(i), s.affix)
		}
	} else {
		for i := range out {
			out[i] = bytes.HasPrefix(v.Bin(i), s.affix)
		}
	}
	return &s.out, bad
}

// replaceStep replaces every occurrence of a constant by another.
type replaceStep struct {
	a   step
	old []byte
	new string
	cell
}

func (s *replaceStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	t := s.text(x.n)
	for _, r := range x.rows {
		t.start(int(r))
		text := v.Bin(int(r))
		for {
			k := bytes.Index(text, s.old)
			if k < 0 {
				break
			}
			t.data = append(append(t.data, text[:k]...), s.new...)
			text = text[k+len(s.old):]
		}
		t.data = append(t.data, text...)
	}
	return &s.out, s.texts(&t, x.n, bad)
}

// trimSpace removes ASCII white space at both ends.
func trimSpace(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}
