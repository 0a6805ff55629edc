package catalog

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// minSecret is the least length of a value that Redact replaces: a shorter one may be part of any text.
const minSecret = 4

// given remembers what Resolve has given out, so that no text that leaves the process holds it. It is for the whole process, as the environment is.
var given = struct {
	sync.Mutex
	values   map[string]string // the reference, by the value
	replacer *strings.Replacer // nil: to be made
}{values: map[string]string{}}

// remember notes a value that a reference stands for, also as it is within a URL, where passwords are escaped.
func remember(value, reference string) {
	given.Lock()
	defer given.Unlock()
	for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value), url.UserPassword("", value).String()[1:]} {
		if _, known := given.values[form]; !known && len(form) >= minSecret {
			given.values[form] = reference
			given.replacer = nil
		}
	}
	if lines := strings.Split(value, "\n"); len(lines) > 1 { // a key in a file: an error may show one line of it
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= 16 && given.values[line] == "" && !strings.HasPrefix(line, "-----") {
				given.values[line] = reference
				given.replacer = nil
			}
		}
	}
}

// Redact returns a text in which the values that Resolve has given out are replaced by their references, such as ${env:NAME}. Values shorter than four characters
// stay.
func Redact(text string) string {
	given.Lock()
	if len(given.values) == 0 {
		given.Unlock()
		return text
	}
	if given.replacer == nil {
		values := make([]string, 0, len(given.values))
		for value := range given.values {
			values = append(values, value)
		}
		// A replacer tries its pairs in order: a value that begins with another comes first.
		slices.SortFunc(values, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
		pairs := make([]string, 0, 2*len(values))
		for _, value := range values {
			pairs = append(pairs, value, given.values[value])
		}
		given.replacer = strings.NewReplacer(pairs...)
	}
	replacer := given.replacer
	given.Unlock()
	return replacer.Replace(text)
}
