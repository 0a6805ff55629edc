package tokenizer

import "unicode/utf8"

// piece is a token of a word, with the bytes of the word that it covers.
type piece struct{ id, start, end int32 }

// A model breaks a word into pieces. It is asked once for a word, then the cache answers.
type model interface {
	// tokenize appends the pieces of a word that is not empty.
	tokenize(dst []piece, word []byte, s *scratch) []piece
}

// wordPiece takes the longest token that begins the rest of the word, again and again.
type wordPiece struct {
	trie    *trie
	inner   int32 // the node of trie that the prefix of inner pieces, ##, leads to; noID without any such
	unknown int32
	max     int // characters of a word; longer ones are unknown
}

func (m *wordPiece) tokenize(dst []piece, text []byte, _ *scratch) []piece {
	given := len(dst)
	if len(text) > m.max && utf8.RuneCount(text) > m.max {
		return appendKnown(dst, piece{m.unknown, 0, int32(len(text))})
	}
	for start := 0; start < len(text); {
		node := int32(0)
		if start > 0 {
			node = m.inner
		}
		end, id := 0, int32(noID)
		for i := start; i < len(text) && node >= 0; i++ {
			if node = m.trie.step(node, text[i]); node < 0 {
				break
			}
			if v := m.trie.nodes[node].value; v != noID {
				end, id = i+1, v
			}
		}
		if id == noID {
			return appendKnown(dst[:given], piece{m.unknown, 0, int32(len(text))})
		}
		dst = append(dst, piece{id, int32(start), int32(end)})
		start = end
	}
	return dst
}

// appendKnown appends a piece unless it has no id.
func appendKnown(dst []piece, p piece) []piece {
	if p.id == noID {
		return dst
	}
	return append(dst, p)
}

// wordLevel knows whole words only.
type wordLevel struct {
	ids     map[string]int32
	unknown int32
}

func (m *wordLevel) tokenize(dst []piece, text []byte, _ *scratch) []piece {
	id, ok := m.ids[string(text)]
	if !ok {
		id = m.unknown
	}
	return appendKnown(dst, piece{id, 0, int32(len(text))})
}
