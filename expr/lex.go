package expr

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leat-project/leat/diag"
)

// Limits on the text of an expression. They keep every later walk over the tree within a bounded stack.
const (
	MaxText    = 64 << 10 // bytes of one expression
	MaxNesting = 200      // brackets, operators and f-strings within one another
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokInt
	tokFloat
	tokString
	tokOp
)

// token is a piece of the text [start, end). Of a string, str holds what it says.
type token struct {
	kind       tokenKind
	text       string
	start, end int
	str        *stringToken
}

// lexer splits [pos, limit) of a text into tokens. After the first mistake it stops and err is set.
type lexer struct {
	src   Source
	pos   int
	limit int
	depth int // of f-strings within f-strings
	toks  []token
	err   *lexError
}

// lexError is a mistake at [start, end) of the text.
type lexError struct {
	start, end int
	code       diag.Code
	text, hint string
}

func (l *lexer) fail(start, end int, hint, format string, args ...any) {
	if l.err == nil {
		l.err = &lexError{start: start, end: end, code: diag.BadExpression, text: fmt.Sprintf(format, args...), hint: hint}
	}
	l.pos = l.limit
}

// lex returns the tokens of the text, the last one being tokEnd.
func (l *lexer) lex() []token {
	for l.next() {
	}
	l.toks = append(l.toks, token{kind: tokEnd, start: l.limit, end: l.limit})
	return l.toks
}

func (l *lexer) add(kind tokenKind, start int) {
	l.toks = append(l.toks, token{kind: kind, text: l.src.Text[start:l.pos], start: start, end: l.pos})
}

func (l *lexer) at(i int) byte {
	if i < l.limit {
		return l.src.Text[i]
	}
	return 0
}

// next reads one token and reports whether there was one. Line ends mean nothing: Beam puts the text in parentheses.
func (l *lexer) next() bool {
	l.skipSpace()
	if l.pos >= l.limit {
		return false
	}
	start, c := l.pos, l.src.Text[l.pos]
	switch {
	case isDigit(c), c == '.' && isDigit(l.at(l.pos+1)):
		l.number()
	case c == '\'' || c == '"':
		l.stringLiteral(start)
	case isNameStart(c) || c >= utf8.RuneSelf:
		l.name()
	default:
		l.operator()
	}
	return l.err == nil && l.pos > start
}

func (l *lexer) skipSpace() {
	for l.pos < l.limit {
		switch c := l.src.Text[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			l.pos++
		case c == '\\' && l.at(l.pos+1) == '\n':
			l.pos += 2
		case c == '#':
			for l.pos < l.limit && l.src.Text[l.pos] != '\n' {
				l.pos++
			}
		default:
			return
		}
	}
}

func isDigit(c byte) bool     { return '0' <= c && c <= '9' }
func isNameStart(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
func isNamePart(c byte) bool  { return isNameStart(c) || isDigit(c) }

// name reads a name, or a string with a prefix.
func (l *lexer) name() {
	start := l.pos
	for l.pos < l.limit {
		if c := l.src.Text[l.pos]; c < utf8.RuneSelf {
			if !isNamePart(c) {
				break
			}
			l.pos++
			continue
		}
		r, size := utf8.DecodeRuneInString(l.src.Text[l.pos:l.limit])
		if !unicode.IsLetter(r) && !(l.pos > start && (unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r))) {
			if l.pos == start {
				l.badCharacter(r, size)
				return
			}
			break
		}
		l.pos += size
	}
	if c := l.at(l.pos); (c == '\'' || c == '"') && isStringPrefix(l.src.Text[start:l.pos]) {
		l.stringLiteral(start)
		return
	}
	l.add(tokName, start)
}

func isStringPrefix(s string) bool {
	switch strings.ToLower(s) {
	case "r", "b", "f", "u", "br", "rb", "fr", "rf":
		return true
	}
	return false
}

func (l *lexer) badCharacter(r rune, size int) {
	hint := ""
	switch r {
	case '“', '”', '„', '‘', '’', '‚', '«', '»', '`':
		hint = `Strings are written in ' or ".`
	case '×', '·', '∗':
		hint = "Multiplication is written *."
	case '÷':
		hint = "Division is written /."
	case '−', '–', '—':
		hint = "A minus is written -."
	case '≠':
		hint = "Write !=."
	case '≤':
		hint = "Write <=."
	case '≥':
		hint = "Write >=."
	case '\u00a0':
		hint = "This is a no-break space: write a plain one."
	case '$', '@':
		hint = "A field is written by its name alone."
	}
	if r == utf8.RuneError && size <= 1 {
		l.fail(l.pos, l.pos+1, "", "the expression is not valid UTF-8 here")
		return
	}
	l.fail(l.pos, l.pos+size, hint, "%q has no meaning in a Python expression", r)
}

// operators in order of length, so that the longest one is found first.
var operators = [...]string{
	"**=", "//=", ">>=", "<<=", "...", "===", "!==",
	"**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", "=>", ":=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "&&", "||", "<>", "?.", "??",
	"+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "!", "?",
}

// notPython says what to write for operators of other languages.
var notPython = [...]struct{ op, hint string }{
	{"&&", "Write and."}, {"||", "Write or."}, {"!", "Write not."}, {"===", "Write ==."}, {"!==", "Write !=."}, {"<>", "Write !=."},
	{"=", "To compare, write ==."}, {"?", "Write A if CONDITION else B."}, {"?.", "Write A.x if A is not None else None."},
	{"??", "Write A if A is not None else B."}, {";", "An expression is one value: leave out the semicolon."},
	{"=>", "A function is written lambda x: …, greater or equal >=."}, {"->", "A function is written lambda x: …."},
}

func (l *lexer) operator() {
	rest := l.src.Text[l.pos:l.limit]
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			start := l.pos
			l.pos += len(op)
			l.add(tokOp, start)
			return
		}
	}
	r, size := utf8.DecodeRuneInString(rest)
	l.badCharacter(r, size)
}

// number reads a number: all of Python's forms but for imaginary ones.
func (l *lexer) number() {
	start := l.pos
	kind := tokInt
	if l.at(l.pos) == '0' && l.at(l.pos+1) != 0 && strings.IndexByte("xXoObB", l.at(l.pos+1)) >= 0 {
		l.radixNumber()
	} else {
		kind = l.decimalNumber()
	}
	if l.err != nil {
		return
	}
	if c := l.at(l.pos); c == 'j' || c == 'J' {
		l.fail(start, l.pos+1, "", "complex numbers cannot be compiled")
		l.err.code = diag.CannotCompile
		return
	}
	if c := l.at(l.pos); (isNamePart(c) || c >= utf8.RuneSelf) && !l.keywordAfterNumber() {
		l.fail(start, l.pos+1, "Put a space between a number and a name, and quote text.", "%q is not a number", l.src.Text[start:l.pos]+string(rune(c)))
		return
	}
	l.add(kind, start)
}

// keywordAfterNumber reports whether one of the keywords follows that Python lets stand right after a number: 1if x else 2.
func (l *lexer) keywordAfterNumber() bool {
	for _, k := range [...]string{"and", "else", "for", "if", "in", "is", "not", "or"} {
		if strings.HasPrefix(l.src.Text[l.pos:l.limit], k) {
			return true
		}
	}
	return false
}

func (l *lexer) radixNumber() {
	start := l.pos
	digit := func(c byte) bool { return c == '0' || c == '1' }
	switch l.at(l.pos+1) | 0x20 {
	case 'x':
		digit = func(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
	case 'o':
		digit = func(c byte) bool { return '0' <= c && c <= '7' }
	}
	l.pos += 2
	if l.at(l.pos) == '_' {
		l.pos++
	}
	l.digits(digit)
	if l.pos == start+2 || isDigit(l.at(l.pos)) {
		l.fail(start, l.pos+1, "", "%q is not a number", l.src.Text[start:min(l.pos+1, l.limit)])
	}
}

// digits reads digits with single underscores between them.
func (l *lexer) digits(digit func(byte) bool) {
	from := l.pos
	for digit(l.at(l.pos)) || l.pos > from && l.at(l.pos) == '_' && digit(l.at(l.pos+1)) {
		l.pos++
	}
}

func (l *lexer) decimalNumber() tokenKind {
	start, kind := l.pos, tokInt
	l.digits(isDigit)
	whole := l.src.Text[start:l.pos]
	if l.at(l.pos) == '.' {
		kind = tokFloat
		l.pos++
		l.digits(isDigit)
	}
	if c := l.at(l.pos); c == 'e' || c == 'E' {
		mark := l.pos
		l.pos++
		if c := l.at(l.pos); c == '+' || c == '-' {
			l.pos++
		}
		if isDigit(l.at(l.pos)) {
			kind = tokFloat
			l.digits(isDigit)
		} else {
			l.pos = mark // 1else …
		}
	}
	if kind == tokInt && len(whole) > 1 && whole[0] == '0' && strings.Trim(whole, "0_") != "" && l.at(l.pos)|0x20 != 'j' {
		l.fail(start, l.pos, "Write it without leading zeros, or with 0o if it is octal.", "the number %s has leading zeros", whole)
	}
	return kind
}
