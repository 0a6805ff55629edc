package tokenizer

import "math"

// unknownPenalty is what a character without a token costs beyond the least likely token.
const unknownPenalty = 10

// unigram takes the pieces whose scores have the largest sum (Viterbi's algorithm).
type unigram struct {
	trie    *trie
	ids     map[string]int32
	scores  []float64
	unknown int32
	lowest  float64 // score of a character without a token
	bytes   *[256]int32
}

// path is the best way to the place where it ends.
type path struct {
	score float64
	start int32 // of its last piece; −1 where there is no way yet
	id    int32
}

func (m *unigram) tokenize(dst []piece, text []byte, s *scratch) []piece {
	s.paths = s.paths[:0]
	for range len(text) + 1 {
		s.paths = append(s.paths, path{start: -1})
	}
	for at := 0; at < len(text); {
		_, size := decode(text[at:])
		m.extend(s.paths, text, at, size)
		at += size
	}
	// From the end back to the start; neighbours that are unknown become one.
	s.steps = s.steps[:0]
	for end := int32(len(text)); end > 0; {
		p := s.paths[end]
		if n := len(s.steps); n > 0 && p.id == m.unknown && s.steps[n-1].id == m.unknown {
			s.steps[n-1].start = p.start
		} else {
			s.steps = append(s.steps, piece{p.id, p.start, end})
		}
		end = p.start
	}
	for i := len(s.steps) - 1; i >= 0; i-- {
		dst = m.emit(dst, text, s.steps[i])
	}
	return dst
}

// extend continues the best path to a place by every token that begins there.
func (m *unigram) extend(paths []path, text []byte, at, size int) {
	here := paths[at].score
	single := false
	node := int32(0)
	for i := at; i < len(text); i++ {
		if node = m.trie.step(node, text[i]); node < 0 {
			break
		}
		id := m.trie.nodes[node].value
		if id == noID {
			continue
		}
		to := &paths[i+1]
		if score := here + m.scores[id]; to.start < 0 || score > to.score {
			*to = path{score, int32(at), id}
		}
		single = single || i+1-at == size
	}
	if !single {
		to := &paths[at+size]
		if score := here + m.lowest; to.start < 0 || score > to.score {
			*to = path{score, int32(at), m.unknown}
		}
	}
}

// emit appends a piece; one that is unknown by its bytes, where the vocabulary has them.
func (m *unigram) emit(dst []piece, text []byte, p piece) []piece {
	if p.id != m.unknown {
		return append(dst, p)
	}
	if id, ok := m.ids[string(text[p.start:p.end])]; ok {
		return append(dst, piece{id, p.start, p.end})
	}
	if m.bytes == nil || !hasBytes(m.bytes, text[p.start:p.end]) {
		return appendKnown(dst, p)
	}
	for _, c := range text[p.start:p.end] {
		dst = append(dst, piece{m.bytes[c], p.start, p.end})
	}
	return dst
}

// hasBytes reports whether each byte of a text has a token.
func hasBytes(ids *[256]int32, text []byte) bool {
	for _, c := range text {
		if ids[c] == noID {
			return false
		}
	}
	return true
}

// newUnigram expects scores by id.
func newUnigram(v *vocabulary, scores []float64, unknown int32) *unigram {
	lowest := math.Inf(1)
	for _, s := range scores {
		lowest = min(lowest, s)
	}
	return &unigram{trie: v.trie(), ids: v.copyIDs(), scores: scores, unknown: unknown, lowest: lowest - unknownPenalty}
}
