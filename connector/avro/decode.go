package avro

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// Limits of what a record may hold.
const (
	maxDepth = 100     // of values in a recursive schema
	maxItems = 1 << 24 // of one array or map, as elements may take no bytes at all
)

var (
	errShort = errors.New("the block ends within the record")
	errItems = fmt.Errorf("an array or map has more than %d elements", maxItems)
	errDepth = fmt.Errorf("the record is nested deeper than %d", maxDepth)
)

// cursor reads the binary encoding. The first error stays in err, and from then on everything reads as zero.
type cursor struct {
	data  []byte
	pos   int
	depth int
	err   error // the rest of the block cannot be read
	fault error // the record has a value that cannot be kept, but the next record can be read
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.pos = len(c.data)
}

// long reads a zig-zag variable-length integer.
func (c *cursor) long() int64 {
	var u uint64
	for shift := 0; c.pos < len(c.data); shift += 7 {
		b := c.data[c.pos]
		c.pos++
		if shift == 63 && b > 1 {
			break
		}
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1)
		}
	}
	c.fail(errShort)
	return 0
}

func (c *cursor) take(n int64) []byte {
	if n < 0 || n > int64(len(c.data)-c.pos) {
		c.fail(errShort)
		return nil
	}
	b := c.data[c.pos : c.pos+int(n)]
	c.pos += int(n)
	return b
}

func (c *cursor) boolean() bool {
	b := c.take(1)
	if len(b) == 0 {
		return false
	}
	if b[0] > 1 {
		c.fail(fmt.Errorf("a boolean is %d, wanted 0 or 1", b[0]))
	}
	return b[0] == 1
}

func (c *cursor) float32() float64 {
	if b := c.take(4); b != nil {
		return float32At(b)
	}
	return 0
}

func (c *cursor) float64() float64 {
	if b := c.take(8); b != nil {
		return float64At(b)
	}
	return 0
}

func (c *cursor) text() []byte {
	b := c.take(c.long())
	if !utf8.Valid(b) && c.fault == nil {
		c.fault = errors.New("a string is not UTF-8")
	}
	return b
}

// items calls f once for each element of an array or map.
func (c *cursor) items(f func()) {
	total := int64(0)
	for {
		n := c.long()
		if n < 0 {
			c.long() // the block's size in bytes
			n = -n
		}
		if n == 0 || c.err != nil {
			return
		}
		if total += n; n < 0 || total > maxItems {
			c.fail(errItems)
			return
		}
		for ; n > 0 && c.err == nil; n-- {
			f()
		}
	}
}

// deeper guards a step into a nested value; the caller undoes it with c.depth--.
func (c *cursor) deeper() bool {
	c.depth++
	if c.depth > maxDepth+maxSchemaDepth {
		c.fail(errDepth)
		return false
	}
	return true
}

// read appends the next value to out, whose type is n.typ but for nullability.
func (n *node) read(c *cursor, out *output) {
	if out.Type.Kind == column.Any {
		out.boxed(n.value(c))
		return
	}
	switch n.form {
	case formNull:
		out.null()
	case formBoolean:
		out.bool(c.boolean())
	case formInt:
		n.readInt(c, out)
	case formFloat:
		out.float(c.float32())
	case formDouble:
		out.float(c.float64())
	case formString:
		out.bytes(c.text())
	case formEnum:
		out.bytes([]byte(n.symbol(c)))
	case formBytes, formFixed:
		b := n.raw(c)
		if n.meaning != asDecimal {
			out.bytes(b)
		} else if f, text := n.decimalOf(b); out.Type.Kind == column.Float {
			out.float(f)
		} else {
			out.bytes([]byte(text))
		}
	case formArray:
		c.items(func() { n.children[0].read(c, out.children[0]) })
		out.list()
	case formMap:
		c.items(func() {
			out.children[0].bytes(c.text())
			n.children[0].read(c, out.children[1])
		})
		out.list()
	case formRecord:
		out.mark(true)
		for i, child := range n.children {
			child.read(c, out.children[i])
		}
	case formUnion:
		if branch := n.branch(c); branch != nil {
			branch.read(c, out)
		} else {
			out.null()
		}
	}
}

func (n *node) readInt(c *cursor, out *output) {
	v := c.long()
	switch n.meaning {
	case asTimestamp:
		out.int(n.millis(v))
	case asDate, asTime:
		out.bytes([]byte(n.clock(v)))
	default:
		out.int(v)
	}
}

func (n *node) raw(c *cursor) []byte {
	if n.form == formFixed {
		return c.take(int64(n.size))
	}
	return c.take(c.long())
}

// symbol returns the next value of an enum.
func (n *node) symbol(c *cursor) string {
	i := c.long()
	if i < 0 || i >= int64(len(n.symbols)) {
		c.fail(fmt.Errorf("an enum has the value %d, wanted one of its %d symbols", i, len(n.symbols)))
		return ""
	}
	return n.symbols[i]
}

// branch returns the branch of a union that comes next, nil for null and after an error.
func (n *node) branch(c *cursor) *node {
	i := c.long()
	if i < 0 || i >= int64(len(n.children)) {
		c.fail(fmt.Errorf("a union has the branch %d, wanted one of its %d", i, len(n.children)))
		return nil
	}
	if int(i) == n.null || c.err != nil {
		return nil
	}
	return n.children[i]
}

// millis returns a timestamp in milliseconds, floored.
func (n *node) millis(v int64) int64 {
	per := n.unit / 1000
	q := v / per
	if v%per < 0 {
		q--
	}
	return q
}

// clock prints a date or a time of the day as ISO 8601 does.
func (n *node) clock(v int64) string {
	if n.meaning == asDate {
		return time.Unix(v*86400, 0).UTC().Format(time.DateOnly)
	}
	return time.Unix(v/n.unit, v%n.unit*(1e9/n.unit)).UTC().Format("15:04:05.999999999")
}

// decimalOf returns the decimal that b stands for, as a float or as text.
func (n *node) decimalOf(b []byte) (float64, string) {
	d := number.FromBytes(b, n.scale)
	if n.typ.Kind == column.Float {
		return d.Float(), ""
	}
	return 0, d.String()
}

// skip passes over the next value.
func (n *node) skip(c *cursor) {
	if !c.deeper() {
		return
	}
	defer func() { c.depth-- }()
	switch n.form {
	case formBoolean:
		c.take(1)
	case formInt, formEnum:
		c.long()
	case formFloat:
		c.take(4)
	case formDouble:
		c.take(8)
	case formString, formBytes, formFixed:
		n.raw(c)
	case formArray, formMap:
		n.skipItems(c)
	case formRecord:
		for _, child := range n.children {
			child.skip(c)
		}
	case formUnion:
		if branch := n.branch(c); branch != nil {
			branch.skip(c)
		}
	}
}

// skipItems passes over an array or map, by the size of a block where the writer gave it.
func (n *node) skipItems(c *cursor) {
	total := int64(0)
	for c.err == nil {
		count := c.long()
		if count == 0 {
			return
		}
		if count < 0 {
			c.take(c.long())
			continue
		}
		if total += count; total > maxItems || total < 0 {
			c.fail(errItems)
		}
		for ; count > 0 && c.err == nil; count-- {
			if n.form == formMap {
				c.take(c.long())
			}
			n.children[0].skip(c)
		}
	}
}

// value reads the next value boxed, for columns whose types differ from row to row.
func (n *node) value(c *cursor) column.Value {
	if !c.deeper() {
		return nil
	}
	defer func() { c.depth-- }()
	switch n.form {
	case formBoolean:
		return c.boolean()
	case formInt:
		v := c.long()
		switch n.meaning {
		case asTimestamp:
			return column.Instant(n.millis(v))
		case asDate, asTime:
			return n.clock(v)
		}
		return v
	case formFloat:
		return c.float32()
	case formDouble:
		return c.float64()
	case formString:
		return string(c.text())
	case formEnum:
		return n.symbol(c)
	case formBytes, formFixed:
		b := n.raw(c)
		if n.meaning != asDecimal {
			return append([]byte{}, b...)
		}
		f, text := n.decimalOf(b)
		if n.typ.Kind == column.Float {
			return f
		}
		return text
	case formArray:
		l := &column.ListValue{}
		c.items(func() { l.Elems = append(l.Elems, n.children[0].value(c)) })
		return l
	case formMap:
		m := &column.MapValue{}
		c.items(func() {
			m.Keys = append(m.Keys, string(c.text()))
			m.Elems = append(m.Elems, n.children[0].value(c))
		})
		return m
	case formRecord:
		return n.row(c)
	case formUnion:
		if branch := n.branch(c); branch != nil {
			return branch.value(c)
		}
	}
	return nil
}

func (n *node) row(c *cursor) column.Value {
	if n.names == nil { // a reference to a record around this one
		return n.children[0].value(c)
	}
	r := &column.RowValue{Names: n.names}
	for _, child := range n.children {
		r.Elems = append(r.Elems, child.value(c))
	}
	return r
}
