package tokenizer

import (
	"encoding/json"
	"strconv"
	"testing"
	"unicode/utf8"
)

// TestProperties compares the classes of all characters with what the library's parts take them for.
func TestProperties(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine and millions of characters: nothing for the race detector")
	}
	text, err := readGzip("testdata/properties.gz")
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(text, &sections); err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]func(rune) bool{
		"dropped":     func(r rune) bool { return r == 0 || r == utf8.RuneError || isControl(r) },
		"blank":       func(r rune) bool { return isSpace(r) && !isControl(r) },
		"accent":      isAccent,
		"mark":        isMark,
		"chinese":     isChinese,
		"punctuation": isPunctuation,
		"numeric":     isNumeric,
		"space":       isSpace,
		"word":        isWord,
		"letter":      isLetter,
		"number":      isNumber,
		"moved":       func(r rune) bool { return normalized(decomposed(false), "a"+string(r)+"\u0334") == "a\u0334"+string(r) },
	} {
		var ranges []rune
		if err := json.Unmarshal(sections[name], &ranges); err != nil || len(ranges) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for r := rune(0); r <= utf8.MaxRune; r++ {
			for len(ranges) > 0 && r > ranges[1] {
				ranges = ranges[2:]
			}
			if want := len(ranges) > 0 && r >= ranges[0]; utf8.ValidRune(r) && is(r) != want {
				t.Errorf("%s: %U: got %v, want %v", name, r, !want, want)
			}
		}
	}
	var maps map[string]map[string]string
	if err := json.Unmarshal(sections["maps"], &maps); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]normalizer{"Lowercase": lowercase{}, "NFC": composed(false), "NFD": decomposed(false), "NFKC": composed(true), "NFKD": decomposed(true)} {
		for r := rune(0); r <= utf8.MaxRune; r++ {
			want, ok := maps[name][strconv.Itoa(int(r))]
			if !ok {
				want = string(r)
			}
			if got := normalized(n, string(r)); utf8.ValidRune(r) && got != want {
				t.Errorf("%s of %U: got %+q, want %+q", name, r, got, want)
			}
		}
	}
}

// TestComposition has pairs that must not be composed, as recorded from the library.
func TestComposition(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\U000e0067\u0301", "\U000e0067\u0301"}, // a tag g
		{"\u11be\u1168\u110c\u11f9\u11bb\u11b6", "\u11be\u1168\u110c\u11f9\u11bb\u11b6"},
		{"\u1112\u1161\u11ab\u1100", "\ud55c\u1100"},
		{"q\u0307\u0323", "q\u0323\u0307"},
		{"e\u0323\u0301", "\u1eb9\u0301"},
		{"\U00011099\U000110ba", "\U0001109a"},
	} {
		if got := normalized(composed(false), c.text); got != c.want {
			t.Errorf("NFC of %+q: got %+q, want %+q", c.text, got, c.want)
		}
	}
}
