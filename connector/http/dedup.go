package http

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// dedup says what a message is known by: a field of it, or a header of the request that brought it.
type dedup struct {
	field  path
	header string
}

func (d dedup) set() bool { return d.field != nil || d.header != "" }

// readDedup reads the key "dedup". A field is found in messages of format JSON alone.
func readDedup(config map[string]any, jsonFormat, headers bool) (dedup, error) {
	text, given := config["dedup"].(string)
	if !given {
		return dedup{}, nil
	}
	bad := func(hint, text string, args ...any) (dedup, error) {
		return dedup{}, &catalog.Problem{Key: "dedup", Code: diag.BadValue, Text: `"dedup": ` + fmt.Sprintf(text, args...), Hint: hint}
	}
	if name, ok := strings.CutPrefix(text, "header:"); ok && headers {
		if !isToken(name) {
			return bad("", "%q is no name of a header", name)
		}
		return dedup{header: name}, nil
	}
	if text == "" || strings.Contains("."+text+".", "..") {
		return bad("", "wanted the name of a field, found %q", text)
	}
	if !jsonFormat {
		return bad("", "a field is found in messages of format JSON alone")
	}
	return dedup{field: newPath(text)}, nil
}

// key returns what a message is known by; nil where it lacks that: it is taken then, however often it comes. number is its place in the request.
func (d dedup) key(message []byte, header http.Header, number int) *key {
	var k key
	if d.header != "" {
		v := header.Get(d.header)
		if v == "" {
			return nil
		}
		k = newKeyOf("header", v, strconv.Itoa(number))
		return &k
	}
	if d.field == nil {
		return nil
	}
	v, err := d.field.find(message)
	if err != nil || v == nil {
		return nil
	}
	k = newKeyOf("field", string(v))
	return &k
}

// newKeyOf returns the key of several texts, none of which holds a zero but the last.
func newKeyOf(texts ...string) key { return newKey(strings.Join(texts, "\x00")) }
