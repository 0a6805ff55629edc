package tokenizer

import (
	"encoding/json"
	"fmt"
)

// truncation is the file's wish; New stores it, the caller follows it.
type truncation struct {
	MaxLength int    `json:"max_length"`
	Stride    int    `json:"stride"`
	Direction string `json:"direction"`
	Strategy  string `json:"strategy"`
}

// PaddingRule is what the file says of padding.
type PaddingRule struct {
	ID         int64
	TypeID     int64
	Token      string
	Left       bool
	MultipleOf int // lengths are rounded up to a multiple; 0: they are not
	Fixed      int // the length of every row; 0: that of the longest in the batch
}

// Truncation returns the file's wish: the longest encoding, the tokens that neighbouring windows share, and whether
// the beginning is cut off. ok is false where the file has none. Encode does not follow it; Truncate and Windows can.
func (t *Tokenizer) Truncation() (maxLength, stride int, left, ok bool) {
	if t.truncation == nil {
		return 0, 0, false, false
	}
	return t.truncation.MaxLength, t.truncation.Stride, t.truncation.Direction == "Left", true
}

// Padding returns the file's rule; ok is false where it has none.
func (t *Tokenizer) Padding() (rule PaddingRule, ok bool) {
	if t.padding == nil {
		return PaddingRule{}, false
	}
	return *t.padding, true
}

func (b *builder) readTruncation(text json.RawMessage) error {
	var v truncation
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	if v.MaxLength < 0 || v.Stride < 0 {
		return fmt.Errorf("wanted max_length and stride of 0 or more, found %d and %d", v.MaxLength, v.Stride)
	}
	b.truncation = &v
	return nil
}

func (b *builder) readPadding(text json.RawMessage) error {
	var v struct {
		Strategy   json.RawMessage `json:"strategy"`
		Direction  string          `json:"direction"`
		MultipleOf *int            `json:"pad_to_multiple_of"`
		ID         int64           `json:"pad_id"`
		TypeID     int64           `json:"pad_type_id"`
		Token      string          `json:"pad_token"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	var fixed struct{ Fixed int }
	if string(v.Strategy) != `"BatchLongest"` {
		if err := json.Unmarshal(v.Strategy, &fixed); err != nil || fixed.Fixed < 0 {
			return fmt.Errorf("strategy: wanted BatchLongest or Fixed, found %.40s", v.Strategy)
		}
	}
	rule := PaddingRule{ID: v.ID, TypeID: v.TypeID, Token: v.Token, Left: v.Direction == "Left", Fixed: fixed.Fixed}
	if v.MultipleOf != nil {
		rule.MultipleOf = max(*v.MultipleOf, 0)
	}
	b.padding = &rule
	return nil
}

// Truncate shortens an encoding to maxLength tokens, special ones included, which stay; left takes from the beginning.
// Of a pair the longer text is shortened first. Where maxLength is below the number of special tokens, these remain.
func (t *Tokenizer) Truncate(e Encoding, maxLength int, left bool) Encoding {
	texts := e.parts()
	room := max(max(maxLength, 0)-t.post.added(len(texts)), 0)
	total := 0
	for _, c := range texts {
		total += len(c.ids)
	}
	if total <= room {
		return e
	}
	cut := make([]content, len(texts))
	if len(texts) == 1 {
		cut[0] = texts[0].shortened(room, left)
	} else {
		a, b := longestFirst(len(texts[0].ids), len(texts[1].ids), room)
		cut[0], cut[1] = texts[0].shortened(a, left), texts[1].shortened(b, left)
	}
	return t.post.assemble(cut)
}

// parts returns the texts of an encoding; of one that was made by hand, the tokens that are not special.
func (e *Encoding) parts() []content {
	if e.texts != nil {
		return e.texts
	}
	var c content
	for i, id := range e.IDs {
		if i < len(e.Special) && e.Special[i] {
			continue
		}
		c.ids = append(c.ids, id)
		var s Span
		if i < len(e.Offsets) {
			s = e.Offsets[i]
		}
		c.offsets, c.blanks = append(c.offsets, s), append(c.blanks, blank{})
	}
	return []content{c}
}

// shortened keeps so many tokens.
func (c content) shortened(n int, left bool) content {
	size := len(c.ids)
	switch {
	case n >= size:
		return c
	case left:
		return c.slice(size-n, size)
	}
	return c.slice(0, n)
}

func (c content) slice(start, end int) content {
	cut := content{ids: c.ids[start:end], offsets: c.offsets[start:end]}
	if len(c.blanks) > 0 {
		cut.blanks = c.blanks[start:end]
	}
	return cut
}

// longestFirst returns the lengths of two texts that share so much room.
func longestFirst(a, b, room int) (int, int) {
	short := min(a, b)
	long := short
	if short <= room {
		long = max(short, room-short)
	}
	if short+long > room {
		short = room / 2
		long = short + room%2
	}
	if a > b {
		return long, short
	}
	return short, long
}

// Windows cuts a text into encodings of at most maxLength tokens, special ones included, of which each shares stride
// tokens with the one before. A stride that leaves no room to go on is taken for the longest one that does.
func (t *Tokenizer) Windows(text string, maxLength, stride int) []Encoding {
	c := t.content(text)
	room := max(max(maxLength, 0)-t.post.added(1), 1)
	if len(c.ids) <= room {
		return []Encoding{t.post.assemble([]content{c})}
	}
	step := max(room-max(stride, 0), 1)
	var out []Encoding
	for start := 0; ; start += step {
		end := min(start+room, len(c.ids))
		out = append(out, t.post.assemble([]content{c.slice(start, end)}))
		if end == len(c.ids) {
			return out
		}
	}
}
