package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html parses them.

// maxEvent limits one event, and a line of it.
const maxEvent = 16 << 20

// pushed is one event of a stream.
type pushed struct {
	kind string // "message" where none is given
	id   string // the last one given, by this event or one before
	data []byte
	bad  string // what is wrong with it, where it is no event
	at   int64  // when it was received
}

// eventParser reads events from a stream.
type eventParser struct {
	in    *bufio.Reader
	id    string        // the last one
	retry time.Duration // that the server asked for; 0: it did not
	limit int
	begun bool
	cr    bool // the last line ended in \r: a \n that follows belongs to it
}

func newEventParser(in io.Reader, id string) *eventParser {
	return &eventParser{in: bufio.NewReaderSize(in, 16<<10), id: id, limit: maxEvent}
}

// next returns the next event. An event that the stream's end cuts off is dropped, as the standard wants: it comes again.
func (p *eventParser) next() (pushed, error) {
	var e pushed
	id, size, seen := p.id, 0, false
	for {
		line, err := p.line()
		if errors.Is(err, errLongLine) {
			e.bad = fmt.Sprintf("an event over %d bytes", p.limit)
			seen = true
			continue
		}
		if err != nil {
			return pushed{}, err
		}
		if len(line) == 0 {
			p.id = id
			if !seen { // comments and the like alone
				e = pushed{}
				continue
			}
			e.data = bytes.TrimSuffix(e.data, []byte{'\n'})
			e.id = id
			if e.kind == "" {
				e.kind = "message"
			}
			return e, nil
		}
		name, value := fieldOf(line)
		switch name {
		case "event":
			e.kind = string(value)
		case "data":
			seen = true
			if size += len(value) + 1; size > p.limit {
				e.bad = fmt.Sprintf("an event over %d bytes", p.limit)
				continue // what came first is kept, to show which it is
			}
			e.data = append(append(e.data, value...), '\n')
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				id = string(value)
			}
		case "retry":
			p.wait(string(value))
		}
	}
}

// wait takes the pause that the server asks for before a reconnect: digits alone.
func (p *eventParser) wait(text string) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms > int64(time.Hour/time.Millisecond) {
		ms = int64(time.Hour / time.Millisecond)
	}
	p.retry = time.Duration(ms) * time.Millisecond
}

// fieldOf parts a line: a comment has no name, and a line without a colon no value.
func fieldOf(line []byte) (name string, value []byte) {
	before, value, found := bytes.Cut(line, []byte{':'})
	if found {
		value = bytes.TrimPrefix(value, []byte{' '})
	}
	return string(before), value
}

var errLongLine = errors.New("a line is too long")

// line returns the next line without its end, which is \n, \r\n or \r. It is valid until the next call. A line over the limit gives errLongLine once it has
// been passed over.
func (p *eventParser) line() ([]byte, error) {
	if !p.begun {
		p.begun = true
		if mark, err := p.in.Peek(3); err == nil && string(mark) == "\ufeff" {
			_, _ = p.in.Discard(3)
		}
	}
	if p.cr { // only now: after the \r the server may be silent
		if next, err := p.in.Peek(1); err == nil && next[0] == '\n' {
			_, _ = p.in.Discard(1)
		}
		p.cr = false
	}
	var whole []byte
	long := false
	for {
		if _, err := p.in.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := p.in.Peek(p.in.Buffered())
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if long = long || len(whole)+len(part) > p.limit; !long {
			whole = append(whole, part...)
		}
		if end < 0 {
			_, _ = p.in.Discard(len(chunk))
			continue
		}
		p.cr = chunk[end] == '\r'
		_, _ = p.in.Discard(end + 1)
		if long {
			return nil, errLongLine
		}
		return whole, nil
	}
}
