package library

import (
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/url"
	"path"
	"strings"
)

const (
	typeJSON = "application/vnd.pypi.simple.v1+json"
	typeHTML = "application/vnd.pypi.simple.v1+html"

	// acceptIndex asks for JSON and takes HTML, which older indexes give alone.
	acceptIndex = typeJSON + ", " + typeHTML + ";q=0.2, text/html;q=0.01"

	// maxIndexAnswer bounds an index's list of a project's files, in bytes; that of onnxruntime has 0.6 MB.
	maxIndexAnswer = 32 << 20
)

// link is a file that an index lists.
type link struct {
	name   string
	url    *url.URL
	sha256 string // in hexadecimal; empty where the index does not tell
	size   int64  // 0 where the index does not tell
}

// parseIndex reads an index's list of files, in JSON (PEP 691) or HTML (PEP 503), found at base.
func parseIndex(contentType string, body []byte, base *url.URL) ([]link, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = strings.TrimSpace(contentType)
	}
	switch kind {
	case typeJSON, "application/json":
		return parseIndexJSON(body, base)
	case typeHTML, "text/html", "application/xhtml+xml", "":
		return parseIndexHTML(string(body), base), nil
	}
	return nil, fmt.Errorf("wanted a list of files as JSON or HTML, found %q", kind)
}

func parseIndexJSON(body []byte, base *url.URL) ([]link, error) {
	var answer struct {
		Meta struct {
			Version string `json:"api-version"`
		} `json:"meta"`
		Files []struct {
			Filename string            `json:"filename"`
			URL      string            `json:"url"`
			Hashes   map[string]string `json:"hashes"`
			Size     int64             `json:"size"`
		} `json:"files"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("wanted a list of files as JSON: %w", err)
	}
	if major, _, _ := strings.Cut(answer.Meta.Version, "."); major != "1" && major != "" {
		return nil, fmt.Errorf("wanted version 1 of the index's JSON (PEP 691), found %q", answer.Meta.Version)
	}
	var links []link
	for _, f := range answer.Files {
		u, err := base.Parse(f.URL)
		if err != nil {
			continue // another file may be the one
		}
		links = append(links, link{name: f.Filename, url: u, sha256: strings.ToLower(f.Hashes["sha256"]), size: f.Size})
	}
	return links, nil
}

// parseIndexHTML takes all anchors for files, as PEP 503 has it: the address ends in the file's name and may have its
// hash as a fragment.
func parseIndexHTML(text string, base *url.URL) []link {
	var links []link
	for {
		tag, rest, ok := nextTag(text)
		if !ok {
			return links
		}
		text = rest
		name, values, _ := strings.Cut(strings.Map(spaces, tag), " ")
		href, ok := tagValue(values, "href")
		if !ok {
			continue
		}
		u, err := base.Parse(href)
		if err != nil {
			continue
		}
		switch strings.ToLower(name) {
		case "base":
			base = u
		case "a":
			l := link{name: path.Base(u.Path), url: u}
			if hash, ok := strings.CutPrefix(u.Fragment, "sha256="); ok {
				l.sha256, _, _ = strings.Cut(strings.ToLower(hash), "&")
			}
			u.Fragment, u.RawFragment = "", ""
			links = append(links, l)
		}
	}
}

// nextTag finds the next tag, without its brackets, and the text after it. Comments are passed over; a bracket inside
// quotes ends no tag.
func nextTag(text string) (tag, rest string, ok bool) {
	for {
		_, text, ok = strings.Cut(text, "<")
		if !ok {
			return "", "", false
		}
		if comment, is := strings.CutPrefix(text, "!--"); is {
			if _, text, ok = strings.Cut(comment, "-->"); !ok {
				return "", "", false
			}
			continue
		}
		quote := byte(0)
		for i := range len(text) {
			switch c := text[i]; {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"' || c == '\'':
				quote = c
			case c == '>':
				return text[:i], text[i+1:], true
			}
		}
		return "", "", false
	}
}

// tagValue finds the value that has a name in the text of a tag.
func tagValue(text, want string) (string, bool) {
	for {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return "", false
		}
		words := strings.Fields(name)
		rest = strings.TrimLeft(rest, " ")
		value := ""
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			value, rest, _ = strings.Cut(rest[1:], rest[:1])
		} else {
			value, rest, _ = strings.Cut(rest, " ")
		}
		if len(words) > 0 && strings.EqualFold(words[len(words)-1], want) {
			return strings.TrimSpace(html.UnescapeString(value)), true
		}
		text = rest
	}
}

// spaces turns all white space into spaces.
func spaces(r rune) rune {
	if r == '\n' || r == '\t' || r == '\r' || r == '\f' {
		return ' '
	}
	return r
}
