package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// The media types that matter here.
const (
	typeCloudEvent  = "application/cloudevents+json"
	typeCloudEvents = "application/cloudevents-batch+json"
	typeEventStream = "text/event-stream"
)

// mediaType returns the type of a Content-Type header in lower case, without its parameters.
func mediaType(header string) string {
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		t, _, _ = strings.Cut(header, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	return t
}

// isNDJSON reports whether a media type is that of JSON values, one a line; it has several names.
func isNDJSON(t string) bool {
	switch t {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines", "application/json-lines":
		return true
	}
	return false
}

// isJSON reports whether a media type is JSON, or built on it.
func isJSON(t string) bool {
	return t == "" || t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json")
}

// maxMessages limits the messages of one body: each takes memory beside its bytes.
const maxMessages = 100_000

var errManyMessages = fmt.Errorf("over %d messages in one body", maxMessages)

// splitBody returns the messages of a body: of JSON the elements of an array or the lines of NDJSON, else the body. A body that cannot be
// split is one message, which its decoder will not like: nothing is lost. The error is errManyMessages.
func splitBody(body []byte, contentType string, jsonFormat bool) ([][]byte, error) {
	switch {
	case !jsonFormat:
	case isNDJSON(contentType):
		return splitLines(body)
	default:
		elements, err := splitArray(body)
		if !errors.Is(err, errNoArray) {
			return elements, err
		}
	}
	return [][]byte{body}, nil
}

// splitLines returns the lines that are not blank.
func splitLines(body []byte) ([][]byte, error) {
	var out [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, line)
		}
		if len(out) > maxMessages {
			return nil, errManyMessages
		}
	}
	return out, nil
}

var errNoArray = errors.New("is no JSON array")

// splitArray returns the elements of a JSON array, which share its memory. What is wrong within an element is left to who decodes it.
func splitArray(text []byte) ([][]byte, error) {
	text = bytes.TrimSpace(text)
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return nil, errNoArray
	}
	out := [][]byte{}
	text = text[1 : len(text)-1]
	depth, from, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth < 0 {
				return nil, errNoArray
			}
		case c == ',' && depth == 0:
			if out, from = append(out, bytes.TrimSpace(text[from:i])), i+1; len(out) >= maxMessages {
				return nil, errManyMessages
			}
		}
	}
	if quoted || depth != 0 {
		return nil, errNoArray
	}
	last := bytes.TrimSpace(text[from:])
	if len(out) == 0 && len(last) == 0 {
		return out, nil
	}
	out = append(out, last)
	for _, e := range out {
		if len(e) == 0 { // [1,,2]
			return nil, errNoArray
		}
	}
	return out, nil
}

// path is a dotted path into a JSON object.
type path []string

func newPath(dotted string) path {
	if dotted == "" {
		return nil
	}
	return strings.Split(dotted, ".")
}

func (p path) String() string { return strings.Join(p, ".") }

// find returns the value at the path as it stands in text; nil where there is none or null.
func (p path) find(text []byte) (json.RawMessage, error) {
	at := json.RawMessage(text)
	for _, name := range p {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(at, &object); err != nil {
			return nil, fmt.Errorf("no object with the field %q: %w", name, err)
		}
		if at = object[name]; at == nil {
			return nil, nil
		}
	}
	if string(at) == "null" {
		return nil, nil
	}
	return at, nil
}
