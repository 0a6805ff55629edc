package connector

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/leat-project/leat/column"
)

// jsonObject is what a decoder knows of the objects of one place: the record, or a nested row.
//
// Records of one source mostly have the same keys in the same few orders, with the same white space between them. So
// a decoder learns a token for each text that stands before a value, and for each token which ones followed it. While a
// record goes on as one before, a comparison or two stand for a key, its punctuation and the look-up of its column.
type jsonObject struct {
	schema column.Schema
	cols   []*jsonColumn
	index  map[string]int // the columns' numbers by name
	path   string         // of the object within the record: "", or "place."
	turn   int64          // number of the object, from 1
	had    int            // how many of the columns the object had so far
	start  jsonToken      // stands before the first key
	tokens map[string]*jsonToken
	table  *[1 << jsonTableBits]*jsonToken // some of the tokens by hash; nil: not yet needed
}

// jsonToken is the text before a value, from the end of the value before it: `{"a":` or `, "b": `.
type jsonToken struct {
	head [2]uint64 // the first 16 bytes of text
	mask [2]uint64 // which of them there are
	text []byte
	tail []byte // text without its first 16 bytes
	col  int    // of the value; -1: not wanted
	name string // of the field, where it is not wanted
	hits int64  // how many objects had it since the last morsel, where it is not wanted
	next []*jsonToken
	wild bool // more tokens have followed it than next holds: it is better to look them up
}

const (
	// maxJSONTokens limits what is learned of one place, for objects whose keys are data.
	maxJSONTokens = 1024
	// maxJSONNext limits how many followers of a token are tried before it is looked up.
	maxJSONNext = 4
	// jsonTableBits is the size of the table in which tokens are looked up that are no follower.
	jsonTableBits = 10
)

// newJSONObject returns an object whose fields go to cols.
func newJSONObject(path string, schema column.Schema, cols []*jsonColumn) *jsonObject {
	o := &jsonObject{schema: schema, cols: cols, path: path, index: make(map[string]int, len(schema)),
		tokens: map[string]*jsonToken{}}
	for i, f := range schema {
		o.index[f.Name] = i
	}
	return o
}

func newJSONToken(text []byte, col int) *jsonToken {
	t := &jsonToken{text: bytes.Clone(text), col: col}
	var head, mask [16]byte
	n := copy(head[:], text)
	for i := range n {
		mask[i] = 0xff
	}
	for i := range t.head {
		t.head[i] = binary.LittleEndian.Uint64(head[8*i:])
		t.mask[i] = binary.LittleEndian.Uint64(mask[8*i:])
	}
	t.tail = t.text[n:]
	return t
}

// at reports whether text goes on with the token at p.
func (t *jsonToken) at(text []byte, p int) bool {
	if p+16 > len(text) {
		return bytes.HasPrefix(text[p:], t.text)
	}
	if (binary.LittleEndian.Uint64(text[p:])^t.head[0])&t.mask[0]|(binary.LittleEndian.Uint64(text[p+8:])^t.head[1])&t.mask[1] != 0 {
		return false
	}
	return len(t.tail) == 0 || bytes.HasPrefix(text[p+16:], t.tail)
}

// follower returns the token that follows t at p, or nil where that has not been learned.
func (t *jsonToken) follower(text []byte, p int) *jsonToken {
	for i, f := range t.next {
		if f.at(text, p) {
			if i > 0 { // what comes often moves to the front
				t.next[i-1], t.next[i] = f, t.next[i-1]
			}
			return f
		}
	}
	return nil
}

// follow learns that f follows t.
func (t *jsonToken) follow(f *jsonToken) {
	if len(t.next) < maxJSONNext {
		t.next = append(t.next, f)
	} else {
		t.wild = true
	}
}

// hashToken returns the slot of the token that text goes on with at p, where its key has up to 13 characters: a hash of what is
// before the quote that ends it. Longer keys are told apart by their beginning. p+16 is within the text.
func hashToken(text []byte, p int) int {
	w := [2]uint64{binary.LittleEndian.Uint64(text[p:]), binary.LittleEndian.Uint64(text[p+8:])}
	quote := quotes(w[0]) &^ 0xff_ffff // of the first bytes one is the opening quote
	if quote == 0 {
		if quote = quotes(w[1]); quote != 0 {
			w[1] &= quote&-quote - 1
		}
	} else {
		w[0] &= quote&-quote - 1
		w[1] = 0
	}
	return int((w[0]*0x9e3779b97f4a7c15 ^ w[1]*0xc2b2ae3d27d4eb4f) >> (64 - jsonTableBits))
}

// quotes returns a word with the high bit of each byte set that is a quote; bits above the lowest that is set may be wrong.
func quotes(w uint64) uint64 {
	w ^= ones * '"'
	return (w - ones) &^ w & highs
}

// lookUp returns the token that text goes on with at p, or nil where the table does not have it.
func (o *jsonObject) lookUp(text []byte, p int) *jsonToken {
	if o.table == nil || p+16 > len(text) {
		return nil
	}
	h := hashToken(text, p)
	if t := o.table[h]; t != nil && t.at(text, p) {
		return t
	}
	if t := o.table[h^1]; t != nil && t.at(text, p) {
		return t
	}
	return nil
}

// remember puts a token into the table, once more than one order of keys has been seen.
func (o *jsonObject) remember(t *jsonToken, text []byte, p int) {
	if o.table == nil {
		o.table = new([1 << jsonTableBits]*jsonToken)
	}
	if p+16 <= len(text) {
		h := hashToken(text, p)
		if o.table[h] != nil {
			o.table[h^1] = o.table[h]
		}
		o.table[h] = t
	}
}

// object scans an object whose brace is at p into its columns.
func (d *jsonDecoder) object(o *jsonObject, p, depth int) int {
	if depth >= maxJSONDepth {
		return d.fail(errJSONDepth)
	}
	o.turn++
	o.had = 0
	text := d.text
	for last := &o.start; ; {
		var t *jsonToken
		if last.wild {
			t = o.lookUp(text, p)
		} else {
			t = last.follower(text, p)
		}
		if t == nil {
			var ended bool
			if t, p, ended = d.learn(o, last, p); p < 0 {
				return -1
			}
			if ended {
				return d.complete(o, p)
			}
		} else {
			p += len(t.text)
			if text[p] <= ' ' { // as before, and then more white space
				p = d.space(p)
			}
		}
		if t.col >= 0 {
			p = d.field(o, t.col, p, depth)
		} else {
			t.hits++
			p = d.skip(p, depth+1)
		}
		if p < 0 {
			return -1
		}
		if text[p] == '}' {
			return d.complete(o, p+1)
		}
		last = t
	}
}

// learn scans what follows the token last at p: the end of the object, or a key, whose token it returns with the position
// of the value.
func (d *jsonDecoder) learn(o *jsonObject, last *jsonToken, p int) (t *jsonToken, next int, ended bool) {
	from := p
	p = d.space(p)
	switch c := d.text[p]; {
	case last == &o.start: // p is at the brace
		if p = d.space(p + 1); d.text[p] == '}' {
			return nil, p + 1, true
		}
	case c == '}':
		return nil, p + 1, true
	case c == ',':
		p = d.space(p + 1)
	default:
		return nil, d.unexpected(p, `"," or "}"`), false
	}
	key, value := d.key(p)
	if value < 0 {
		return nil, -1, false
	}
	text := d.text[from:value]
	if t = o.tokens[string(text)]; t != nil {
		if last.follow(t); last.wild {
			o.remember(t, d.text, from)
		}
		return t, value, false
	}
	col, wanted := o.index[string(key)]
	if !wanted {
		col = -1
	}
	if len(o.tokens) >= maxJSONTokens {
		return d.passing(o, col, key), value, false
	}
	t = newJSONToken(text, col)
	if !wanted {
		t.name = o.path + string(key)
		d.extra = append(d.extra, t)
	}
	o.tokens[string(t.text)] = t
	last.follow(t)
	return t, value, false
}

// passing returns a token that is good for one value, where no more are kept.
func (d *jsonDecoder) passing(o *jsonObject, col int, key []byte) *jsonToken {
	if col < 0 {
		d.reader.unwanted(o.path+string(key), 1)
	}
	return &jsonToken{col: col}
}

// field scans the value of a column. Of a key that is there twice, the last value counts.
func (d *jsonDecoder) field(o *jsonObject, col, p, depth int) int {
	c := o.cols[col]
	if c.seen == o.turn {
		c.truncate(c.n - 1)
	} else {
		c.seen = o.turn
		o.had++
	}
	p = d.value(c, p, depth+1)
	if p < 0 {
		d.err = &jsonFieldError{name: o.schema[col].Name, err: d.err}
	}
	return p
}

// jsonFieldError says in which field a record is bad.
type jsonFieldError struct {
	name string
	err  error
}

func (e *jsonFieldError) Error() string { return fmt.Sprintf("field %q: %v", e.name, e.err) }
func (e *jsonFieldError) Unwrap() error { return e.err }

// complete appends null to the columns that the object did not have.
func (d *jsonDecoder) complete(o *jsonObject, p int) int {
	if o.had == len(o.cols) {
		return p
	}
	for i, c := range o.cols {
		if c.seen == o.turn {
			continue
		}
		if !c.typ.MayBeNull() {
			return d.fail(fmt.Errorf("field %q is required, and not there", o.schema[i].Name))
		}
		c.null()
	}
	return p
}
