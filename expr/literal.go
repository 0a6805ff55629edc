package expr

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/diag"
)

// stringToken is what a string literal says: text, or the pieces of an f-string.
type stringToken struct {
	bytes  bool
	text   string
	format bool
	pieces []piece
}

// piece is a part of an f-string: text, or a replacement field.
type piece struct {
	text       string
	field      bool
	start, end int // the field's expression in the source
	conversion string
	spec       []piece
	hasSpec    bool
}

// stringLiteral reads a string whose prefix begins at start; pos is at its quote.
func (l *lexer) stringLiteral(start int) {
	prefix := strings.ToLower(l.src.Text[start:l.pos])
	quote := l.src.Text[l.pos : l.pos+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.src.Text[l.pos:l.limit], triple) {
		quote = triple
	}
	l.pos += len(quote)
	s := &stringToken{bytes: strings.Contains(prefix, "b"), format: strings.Contains(prefix, "f")}
	raw := strings.Contains(prefix, "r")
	if s.format {
		if l.depth++; l.depth > MaxNesting/8 {
			l.fail(start, l.pos, "", "f-strings are nested more than %d deep", MaxNesting/8)
			return
		}
		s.pieces = l.pieces(start, quote, raw, false)
		l.depth--
	} else {
		s.text = l.plainText(start, quote, raw, s.bytes)
	}
	if l.err != nil {
		return
	}
	l.pos += len(quote)
	l.toks = append(l.toks, token{kind: tokString, text: l.src.Text[start:l.pos], start: start, end: l.pos, str: s})
}

// plainText reads up to the closing quote and undoes escapes.
func (l *lexer) plainText(start int, quote string, raw, bytes bool) string {
	from := l.pos
	for {
		if l.unterminated(start, quote) {
			return ""
		}
		if strings.HasPrefix(l.src.Text[l.pos:l.limit], quote) {
			break
		}
		if l.src.Text[l.pos] == '\\' && l.pos+1 < l.limit {
			l.pos++
		}
		l.pos++
	}
	return l.unescape(from, l.pos, raw, bytes)
}

// unterminated reports, and notes as a mistake, that the string that began at start does not end.
func (l *lexer) unterminated(start int, quote string) bool {
	if l.err != nil {
		return true
	}
	if l.pos < l.limit && (len(quote) == 3 || l.src.Text[l.pos] != '\n') {
		return false
	}
	l.fail(start, min(start+len(quote), l.limit), "Close it with "+quote+".", "the string is not closed")
	return true
}

// unescape returns what [from, to) of the text means inside a string.
func (l *lexer) unescape(from, to int, raw, bytes bool) string {
	text := l.src.Text[from:to]
	if strings.Contains(text, "\r") {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	}
	if bytes {
		for i := 0; i < len(text); i++ {
			if text[i] >= utf8.RuneSelf {
				l.fail(from+i, from+i+1, "Write other bytes as \\xhh.", "bytes can only contain ASCII characters")
				return ""
			}
		}
	}
	if raw || !strings.Contains(text, "\\") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text) && l.err == nil; {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			i++
			continue
		}
		i += l.escape(&b, text[i:], from+i, bytes)
	}
	return b.String()
}

var simpleEscapes = [...]struct{ c, means byte }{
	{'\\', '\\'}, {'\'', '\''}, {'"', '"'}, {'a', 7}, {'b', 8}, {'f', 12}, {'n', 10}, {'r', 13}, {'t', 9}, {'v', 11},
}

// escape writes what the escape at the beginning of text means, and returns its length.
func (l *lexer) escape(b *strings.Builder, text string, at int, bytes bool) int {
	c := text[1]
	for _, e := range simpleEscapes {
		if e.c == c {
			b.WriteByte(e.means)
			return 2
		}
	}
	switch {
	case c == '\n':
		return 2
	case '0' <= c && c <= '7':
		n, i := 0, 1
		for i < len(text) && i < 4 && '0' <= text[i] && text[i] <= '7' {
			n = n*8 + int(text[i]-'0')
			i++
		}
		if bytes {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
		return i
	case c == 'x' || !bytes && (c == 'u' || c == 'U'):
		return l.hexEscape(b, text, at, bytes)
	case c == 'N' && !bytes:
		l.fail(at, at+2, "Write the character itself, or \\uXXXX.", "characters by name cannot be compiled")
		if l.err != nil {
			l.err.code = diag.CannotCompile
		}
		return 2
	}
	b.WriteByte('\\') // an unknown escape means itself
	return 1
}

func (l *lexer) hexEscape(b *strings.Builder, text string, at int, bytes bool) int {
	size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]]
	end := min(2+size, len(text))
	n, err := strconv.ParseUint(text[2:end], 16, 32)
	if err != nil || end != 2+size {
		l.fail(at, at+end, "", "the escape \\%c needs %d hexadecimal digits", text[1], size)
		return end
	}
	switch {
	case bytes:
		b.WriteByte(byte(n))
	case n > utf8.MaxRune || 0xd800 <= n && n < 0xe000:
		l.fail(at, at+end, "", "%s is not a character", text[:end])
	default:
		b.WriteRune(rune(n))
	}
	return end
}

// pieces reads the pieces of an f-string up to its closing quote, or of a format spec up to the closing brace.
func (l *lexer) pieces(start int, quote string, raw, spec bool) []piece {
	var out []piece
	from := l.pos
	var text strings.Builder
	flush := func() {
		text.WriteString(l.unescape(from, l.pos, raw, false))
	}
	for {
		if l.unterminated(start, quote) {
			return nil
		}
		rest := l.src.Text[l.pos:l.limit]
		switch {
		case !spec && strings.HasPrefix(rest, quote), spec && rest[0] == '}':
			flush()
			if text.Len() > 0 {
				out = append(out, piece{text: text.String()})
			}
			return out
		case rest[0] == '\\' && !raw && len(rest) > 1:
			l.pos++
			if l.src.Text[l.pos] != '{' && l.src.Text[l.pos] != '}' {
				l.pos++
			}
		case rest[0] == '\\' && raw && len(rest) > 1 && rest[1] != '{' && rest[1] != '}':
			l.pos += 2
		case !spec && (strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}")):
			l.pos++
			flush()
			l.pos++
			from = l.pos
		case rest[0] == '}':
			l.fail(l.pos, l.pos+1, "A brace in the text is written }}.", "a single '}' is not allowed in an f-string")
		case rest[0] == '{':
			flush()
			if l.err != nil {
				return nil
			}
			l.pos++
			f, debug := l.field(start, quote, raw)
			text.WriteString(debug)
			if text.Len() > 0 {
				out = append(out, piece{text: text.String()})
				text.Reset()
			}
			out = append(out, f)
			from = l.pos
		default:
			l.pos++
		}
	}
}

// field reads a replacement field after its opening brace up to and with its closing one. The text of {x=} is returned
// as debug.
func (l *lexer) field(start int, quote string, raw bool) (f piece, debug string) {
	open := l.pos - 1
	f = piece{field: true, start: l.pos}
	l.skipExpression(start, quote)
	if l.err != nil {
		return f, ""
	}
	f.end = l.pos
	if l.at(l.pos) == '=' {
		l.pos++
		for c := l.at(l.pos); c == ' ' || c == '\t' || c == '\n'; c = l.at(l.pos) {
			l.pos++
		}
		debug = l.src.Text[f.start:l.pos]
	}
	if strings.TrimSpace(l.src.Text[f.start:f.end]) == "" {
		l.fail(open, l.pos+1, "Write the value between the braces, or {{ and }} for the braces themselves.", "there is no expression between the braces")
		return f, ""
	}
	if l.at(l.pos) == '!' {
		l.pos++
		from := l.pos
		for isNamePart(l.at(l.pos)) {
			l.pos++
		}
		f.conversion = l.src.Text[from:l.pos]
		if f.conversion != "r" && f.conversion != "s" && f.conversion != "a" {
			l.fail(from-1, l.pos, "It is !s, !r or !a.", "!%s is not a conversion", f.conversion)
			return f, ""
		}
	}
	if l.at(l.pos) == ':' {
		l.pos++
		f.hasSpec = true
		if l.depth++; l.depth > MaxNesting/8 {
			l.fail(open, l.pos, "", "f-strings are nested more than %d deep", MaxNesting/8)
			return f, ""
		}
		f.spec = l.pieces(start, quote, raw, true)
		l.depth--
	}
	if l.err == nil && l.at(l.pos) != '}' {
		l.fail(open, open+1, "Close it with }.", "the replacement field is not closed")
	}
	l.pos++
	if debug != "" && f.conversion == "" && !f.hasSpec {
		f.conversion = "r"
	}
	return f, debug
}

// skipExpression moves to the end of the expression in a replacement field: its =, !, : or }.
func (l *lexer) skipExpression(start int, quote string) {
	depth := 0
	for l.err == nil {
		if l.pos >= l.limit {
			l.fail(start, min(start+len(quote), l.limit), "", "the f-string is not closed")
			return
		}
		switch c := l.src.Text[l.pos]; c {
		case '(', '[', '{':
			depth++
		case ')', ']':
			depth--
		case '}':
			if depth <= 0 {
				return
			}
			depth--
		case ':':
			if depth <= 0 {
				return
			}
		case '!':
			if l.at(l.pos+1) == '=' {
				l.pos++
			} else if depth <= 0 {
				return
			}
		case '<', '>':
			if l.at(l.pos+1) == '=' {
				l.pos++
			}
		case '=':
			if l.at(l.pos+1) == '=' {
				l.pos++
			} else if depth <= 0 {
				return
			}
		case '\'', '"':
			l.skipString()
			continue
		}
		l.pos++
	}
}

// skipString moves past a string inside a replacement field.
func (l *lexer) skipString() {
	from := l.pos
	for from > 0 && isNamePart(l.src.Text[from-1]) {
		from--
	}
	if !isStringPrefix(l.src.Text[from:l.pos]) {
		from = l.pos
	}
	kept := len(l.toks)
	l.stringLiteral(from)
	l.toks = l.toks[:kept]
}
