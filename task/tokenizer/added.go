package tokenizer

import "unicode/utf8"

// addedToken is a token that is taken out of a text before it is cut into words.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter or digit is beside it
	LeftStrip  bool   `json:"lstrip"`      // it takes the white space before it
	RightStrip bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // it is looked for in the normalised text
	Special    bool   `json:"special"`
}

// addedTokens finds tokens in a text.
type addedTokens struct {
	tokens []addedToken
	trie   *trie // to places in tokens
}

// newAddedTokens returns nil for no tokens; contents are what to look for.
func newAddedTokens(tokens []addedToken, contents []string) *addedTokens {
	if len(tokens) == 0 {
		return nil
	}
	places := make([]int32, len(tokens))
	for i := range places {
		places[i] = int32(i)
	}
	return &addedTokens{tokens, newTrie(contents, places)}
}

// split parts a text into tokens and what lies between them.
func (a *addedTokens) split(text []byte, dst []word) []word {
	if a == nil {
		return append(dst, word{0, int32(len(text)), noID})
	}
	from := 0
	for i := 0; i < len(text); {
		if a.trie.root[text[i]] < 0 {
			i++
			continue
		}
		length, place := a.trie.longest(text[i:])
		if length == 0 {
			i++
			continue
		}
		token := &a.tokens[place]
		start, end := i, i+length
		i = end
		if token.SingleWord && (wordEnds(text[:start]) || wordBegins(text[end:])) {
			continue
		}
		if token.LeftStrip {
			start = max(spacesEnd(text[:start]), from)
		}
		if token.RightStrip {
			end += spacesBegin(text[end:])
		}
		if end <= from { // within the white space that the token before took
			continue
		}
		start = max(start, from)
		if from < start {
			dst = append(dst, word{int32(from), int32(start), noID})
		}
		dst = append(dst, word{int32(start), int32(end), token.ID})
		from = end
	}
	if from < len(text) {
		dst = append(dst, word{int32(from), int32(len(text)), noID})
	}
	return dst
}

// wordEnds reports whether a text ends in a character of a word, wordBegins whether it begins with one.
func wordEnds(text []byte) bool {
	r, size := utf8.DecodeLastRune(text)
	return size > 0 && isWord(r)
}

func wordBegins(text []byte) bool {
	r, size := utf8.DecodeRune(text)
	return size > 0 && isWord(r)
}

// spacesEnd returns where the white space at the end of a text begins.
func spacesEnd(text []byte) int {
	for len(text) > 0 {
		r, size := utf8.DecodeLastRune(text)
		if !isSpace(r) {
			break
		}
		text = text[:len(text)-size]
	}
	return len(text)
}

// spacesBegin returns the length of the white space that a text begins with.
func spacesBegin(text []byte) int {
	i := 0
	for i < len(text) {
		r, size := decode(text[i:])
		if !isSpace(r) {
			break
		}
		i += size
	}
	return i
}
