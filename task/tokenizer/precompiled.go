package tokenizer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// maxRuled is the length from which on a grapheme cluster is normalised character by character, in bytes.
const maxRuled = 6

// precompiled are SentencePiece's rules: a double-array trie (darts-clone) from texts to places in a string, in which
// what replaces them ends with a zero byte.
type precompiled struct {
	units    []uint32
	replaced []byte
	plain    [256]bool // ASCII characters that no rule touches where another ASCII character follows
}

// newPrecompiled reads the length of the trie, the trie and the string.
func newPrecompiled(charsmap []byte) (normalizer, error) {
	if len(charsmap) == 0 { // as some files have it: no rules
		return normalizers{}, nil
	}
	if len(charsmap) < 4 {
		return nil, fmt.Errorf("precompiled_charsmap: wanted at least 4 bytes, found %d", len(charsmap))
	}
	size := int(binary.LittleEndian.Uint32(charsmap))
	rest := charsmap[4:]
	if size == 0 || size%4 != 0 || size > len(rest) {
		return nil, fmt.Errorf("precompiled_charsmap: wanted a trie of up to %d bytes in words of 4, found a length of %d", len(rest), size)
	}
	p := &precompiled{units: make([]uint32, size/4), replaced: rest[size:]}
	for i := range p.units {
		p.units[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	if !utf8.Valid(p.replaced) {
		return nil, fmt.Errorf("precompiled_charsmap: wanted UTF-8 after the trie, found other bytes")
	}
	for c := range byte(utf8.RuneSelf) {
		_, ruled := p.rule([]byte{c})
		p.plain[c] = !ruled && c != '\r' // "\r\n" is one cluster
	}
	return p, nil
}

// unit returns a word of the trie; one that leads nowhere where the place is outside, as in a damaged file.
func (p *precompiled) unit(at uint32) uint32 {
	if int(at) >= len(p.units) {
		return 1 << 31
	}
	return p.units[at]
}

// rule returns what replaces a text: by the shortest rule whose text it begins with, as the library has it.
func (p *precompiled) rule(text []byte) ([]byte, bool) {
	at := uint32(0)
	unit := p.unit(at)
	at ^= offsetOf(unit)
	for _, c := range text {
		if c == 0 {
			break
		}
		at ^= uint32(c)
		unit = p.unit(at)
		if unit&(1<<31|0xff) != uint32(c) {
			break
		}
		at ^= offsetOf(unit)
		if unit>>8&1 == 1 {
			place := int(p.unit(at) & (1<<31 - 1))
			if place > len(p.replaced) {
				return nil, false
			}
			with, _, _ := bytes.Cut(p.replaced[place:], []byte{0})
			return with, utf8.Valid(with)
		}
	}
	return nil, false
}

func offsetOf(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }

func (p *precompiled) normalize(b *buffer) {
	if p.leaves(b.text) {
		return
	}
	b.changes = b.changes[:0]
	modified := false
	for rest, state := b.text, -1; len(rest) > 0 && len(b.changes) <= maxNormalized; {
		if len(rest) > 1 && p.plain[rest[0]] && rest[1] < utf8.RuneSelf { // no cluster goes on here
			b.changes = append(b.changes, change{r: rune(rest[0])})
			rest, state = rest[1:], -1
			continue
		}
		var cluster []byte
		cluster, rest, _, state = uniseg.FirstGraphemeCluster(rest, state)
		if len(cluster) < maxRuled {
			if with, ok := p.rule(cluster); ok {
				b.replace(cluster, with)
				modified = true
				continue
			}
		}
		for i := 0; i < len(cluster); {
			r, size := decode(cluster[i:])
			if with, ok := p.rule(cluster[i : i+size]); ok {
				b.replace(cluster[i:i+size], with)
				modified = true
			} else {
				b.changes = append(b.changes, change{r: r})
			}
			i += size
		}
	}
	if modified {
		b.apply(0)
	}
}

// leaves reports whether a text has plain characters only.
func (p *precompiled) leaves(text []byte) bool {
	for _, c := range text {
		if !p.plain[c] {
			return false
		}
	}
	return true
}

// replace appends the changes of a rule. What it adds is inserted at its end; what it removes is counted with its last
// character, and where nothing is left with the character before, as in the library.
func (b *buffer) replace(old, with []byte) {
	diff := utf8.RuneCount(with) - utf8.RuneCount(old)
	for i := 0; i < len(with); {
		r, size := decode(with[i:])
		b.changes = append(b.changes, change{r: r})
		i += size
	}
	n := len(b.changes)
	for i := max(n-max(diff, 0), 0); i < n; i++ {
		b.changes[i].delta = 1
	}
	if diff < 0 && n > 0 {
		b.changes[n-1].delta += int32(diff)
	}
}
