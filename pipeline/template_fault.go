package pipeline

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"github.com/leat-project/leat/diag"
)

// faults are what the messages of the template library tell of a place. They are compiled at first use.
var faults = sync.OnceValue(func() (f struct{ exact, line, name, item, file, filter, noise *regexp.Regexp }) {
	f.exact = regexp.MustCompile(`\(Line: (\d+) Col: (\d+)`)
	f.line = regexp.MustCompile(`(?:at line |Line=)(\d+)`)
	f.name = regexp.MustCompile(`Unable to evaluate name "([^"]*)"`)
	f.item = regexp.MustCompile(`(?:attribute|item) '?([^':]+)'? not found`)
	f.file = regexp.MustCompile(`there is no file "([^"]*)"`)
	f.filter = regexp.MustCompile(`(filter|test) '([^']*)' not found`)
	f.noise = regexp.MustCompile(`(?s)^(unable to execute template|failed to parse template '.*'|Unable to execute controlStructure at line \d+|` +
		`Unable to render expression at line \d+|Unable to parse controlStructure "[^"]*"|\w+ControlStructure\([^)]*\)|` +
		`unable to load template '[^']*'|Unable to execute macro '[^']*'): `)
	return f
})

// report adds the problem that the template library found.
func (t *template) report(err error, problems *diag.List) {
	message, f := err.Error(), faults()
	if found := f.name.FindAllStringSubmatch(message, -1); found != nil {
		t.undefined(found[len(found)-1][1], t.lastLine(message), problems)
		return
	}
	if found := f.file.FindStringSubmatch(message); found != nil {
		name := found[1]
		problems.Errorf(t.find(tokens.String, name, t.lastLine(message)), diag.BadTemplate, "there is no file %q", name).Hint =
			"Files are looked for beside the pipeline file and in the working directory."
		return
	}
	if found := f.filter.FindStringSubmatch(message); found != nil {
		problems.Errorf(t.find(tokens.Name, found[2], t.lastLine(message)), diag.BadTemplate, "no template %s is named %q", found[1], found[2])
		return
	}
	if found := f.item.FindAllStringSubmatch(message, -1); found != nil {
		name := strings.Trim(found[len(found)-1][1], "'\"")
		problems.Errorf(t.find(tokens.Name, name, t.lastLine(message)), diag.BadTemplate, "the template's value has no %q", name)
		return
	}
	if strings.Contains(message, "Unexpected EOF") {
		if tag, at, ok := t.unclosed(); ok {
			problems.Errorf(at, diag.BadTemplate, "the template tag %q is never closed", tag).Hint = "Write {% end" + tag + " %} behind what belongs to it."
			return
		}
	}
	at := t.placeOf(message)
	if at.Line == 0 {
		if tag, bare, ok := t.bare(); ok {
			problems.Errorf(bare, diag.BadTemplate, "the template tag %q wants something behind it", tag)
			return
		}
	}
	problems.Errorf(at, diag.BadTemplate, "the template cannot be expanded: %s", t.plainMessage(message))
}

// unclosed finds the last tag that a file opens and does not close, in the file read last.
func (t *template) unclosed() (tag string, at diag.Place, ok bool) {
	name := t.order[len(t.order)-1]
	var open []*tokens.Token
	begun := false
	for stream := tokens.LexAll(t.files[name], config.New()); !stream.End(); stream.Next() {
		token := stream.Current()
		if token.Type == tokens.BlockBegin {
			begun = true
			continue
		}
		if !begun || token.Type == tokens.Whitespace {
			continue
		}
		begun = false
		switch {
		case strings.HasPrefix(token.Val, "end"):
			for len(open) > 0 {
				last := open[len(open)-1].Val
				open = open[:len(open)-1]
				if last == token.Val[len("end"):] {
					break
				}
			}
		case slices.Contains([]string{"if", "for", "macro", "block", "filter", "call", "with", "autoescape", "raw"}, token.Val):
			open = append(open, token)
		}
	}
	if len(open) == 0 {
		return "", diag.Place{}, false
	}
	last := open[len(open)-1]
	return last.Val, t.at(name, last.Line, last.Col, len(last.Val)), true
}

// bare finds the first tag without its arguments, in the file read last.
func (t *template) bare() (tag string, at diag.Place, ok bool) {
	name := t.order[len(t.order)-1]
	var last *tokens.Token // the name of the tag, while nothing else has come
	begun := false
	for stream := tokens.LexAll(t.files[name], config.New()); !stream.End(); stream.Next() {
		switch token := stream.Current(); {
		case token.Type == tokens.Whitespace:
		case token.Type == tokens.BlockBegin:
			begun, last = true, nil
		case token.Type == tokens.BlockEnd && last != nil:
			return last.Val, t.at(name, last.Line, last.Col, len(last.Val)), true
		case begun && slices.Contains([]string{"if", "elif", "for", "set", "include", "import", "from", "extends", "macro", "block", "filter"}, token.Val):
			begun, last = false, token
		default:
			begun, last = false, nil
		}
	}
	return "", diag.Place{}, false
}

// undefined reports a variable that has no value.
func (t *template) undefined(name string, line int, problems *diag.List) {
	at := t.find(tokens.Name, name, line)
	p := problems.Errorf(at, diag.BadTemplate, "the template variable %q is not defined", name)
	near := diag.Suggest(name, slices.Sorted(maps.Keys(t.vars)))
	switch {
	case name == "datetime":
		p.Hint = "Templates have no clock here, so that a run can be repeated: pass the date with --var."
	case near != "":
		p.Hint = fmt.Sprintf("Did you mean %q?", near)
	default:
		p.Hint = fmt.Sprintf("Give it a value with --var %s=…", name)
	}
}

// lastLine is the innermost line that a message names, or 0.
func (t *template) lastLine(message string) int {
	found := faults().line.FindAllStringSubmatch(message, -1)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[len(found)-1][1])
	return n
}

// find returns the place of a token in the file read last that has it in that line; line 0 is any.
func (t *template) find(kind tokens.Type, value string, line int) diag.Place {
	settings := config.New()
	for _, wanted := range []int{line, 0} {
		for _, name := range slices.Backward(t.order) {
			text := t.files[name]
			for stream := tokens.LexAll(text, settings); !stream.End(); stream.Next() {
				token := stream.Current()
				if token.Type == kind && token.Val == value && (wanted == 0 || token.Line == wanted) {
					return t.at(name, token.Line, token.Col, utf8.RuneCountInString(value))
				}
			}
		}
	}
	return t.at(t.file, line, 0, 0)
}

func (t *template) at(file string, line, col, length int) diag.Place {
	return diag.Place{File: file, Line: line, Col: col, Len: length, Text: lineOf(t.files[file], line)}
}

// placeOf reads the place out of a message. The library names no file: it is the pipeline's where only that was read.
func (t *template) placeOf(message string) diag.Place {
	file := t.file
	if len(t.order) > 1 {
		file = t.order[len(t.order)-1]
	}
	if found := faults().exact.FindStringSubmatch(message); found != nil {
		line, _ := strconv.Atoi(found[1])
		col, _ := strconv.Atoi(found[2])
		return t.at(file, line, col, 1)
	}
	if line := t.lastLine(message); line > 0 {
		return t.at(file, line, 0, 0)
	}
	return diag.Place{File: t.file}
}

// plainMessage takes the library's layers, and the text of the template that it repeats, off a message.
func (t *template) plainMessage(message string) string {
	f := faults()
	for {
		cut := f.noise.ReplaceAllString(message, "")
		if cut == message {
			break
		}
		message = cut
	}
	if i := strings.Index(message, " (Line: "); i > 0 {
		message = message[:i]
	}
	message = strings.TrimSuffix(message, ".")
	if len(message) > 1 && message[1] >= 'a' && message[1] <= 'z' && !strings.HasPrefix(message, "ControlStructure") {
		message = strings.ToLower(message[:1]) + message[1:]
	}
	const most = 200
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "…"
	}
	return message
}
