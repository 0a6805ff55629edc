package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// eventsOf parses a whole stream.
func eventsOf(p *eventParser) []string {
	var out []string
	for {
		e, err := p.next()
		if err != nil {
			return out
		}
		out = append(out, fmt.Sprintf("%s|%s|%s|%s", e.kind, e.id, e.data, e.bad))
	}
}

func TestParseEvents(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
		retry    time.Duration
		id       string
	}{
		{"one", "data: a\n\n", []string{"message||a|"}, 0, ""},
		{"line ends", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", []string{"message||a|", "message||b|", "message||c|"}, 0, ""},
		{"several lines", "data: a\ndata:\ndata: b\n\n", []string{"message||a\n\nb|"}, 0, ""},
		{"empty", "data\n\ndata\ndata\n\ndata:", []string{"message|||", "message||\n|"}, 0, ""},
		{"spaces", "data:a\n\ndata:  b\n\n", []string{"message||a|", "message|| b|"}, 0, ""},
		{"id stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []string{"message|1|a|", "message|1|b|", "message||c|"}, 0, ""},
		{"id without data", "id: 7\n\ndata: a\n\n", []string{"message|7|a|"}, 0, "7"},
		{"id with a zero", "id: 1\x002\ndata: a\n\n", []string{"message||a|"}, 0, ""},
		{"kind", "event: add\ndata: a\n\ndata: b\n\n", []string{"add||a|", "message||b|"}, 0, ""},
		{"kind alone", "event: add\n\ndata: b\n\n", []string{"message||b|"}, 0, ""},
		{"comments", ": hello\n\n:\n\ndata: a\n: more\n\n", []string{"message||a|"}, 0, ""},
		{"retry", "retry: 250\nretry: soon\nretry: -1\n\n", nil, 250 * time.Millisecond, ""},
		{"long retry", "retry: 99999999999999999999\n\n", nil, time.Hour, ""},
		{"unknown", "other: x\ndata: a\n\n", []string{"message||a|"}, 0, ""},
		{"mark", "\ufeffdata: a\n\n", []string{"message||a|"}, 0, ""},
		{"cut", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []string{"message|1|a|"}, 0, "1"},
		{"long line", "data: " + strings.Repeat("x", 60) + "\nid: 1\n\ndata: a\n\n", []string{"message|1||an event over 50 bytes", "message|1|a|"}, 0, "1"},
		{"long event", "data: " + strings.Repeat("x", 30) + "\ndata: " + strings.Repeat("y", 30) + "\n\ndata: a\n\n",
			[]string{"message||" + strings.Repeat("x", 30) + "|an event over 50 bytes", "message||a|"}, 0, ""},
	}
	for _, test := range tests {
		for how, in := range map[string]io.Reader{"at once": strings.NewReader(test.in), "byte by byte": iotest.OneByteReader(strings.NewReader(test.in))} {
			p := newEventParser(in, "")
			p.limit = 50
			if got := eventsOf(p); !slices.Equal(got, test.want) {
				t.Errorf("%s, %s: %q, wanted %q", test.name, how, got, test.want)
			}
			if p.retry != test.retry || test.id != "" && p.id != test.id {
				t.Errorf("%s: retry %v, id %q", test.name, p.retry, p.id)
			}
		}
	}
}

// An event is handed out when its empty line is there, though that ends in \r and a \n may follow.
func TestParseEventsDoesNotWait(t *testing.T) {
	in, out := io.Pipe()
	defer func() { _ = in.Close() }()
	go func() { _, _ = io.WriteString(out, "data: a\r\r") }()
	if e, err := newEventParser(in, "").next(); err != nil || string(e.data) != "a" {
		t.Errorf("%+v, error %v", e, err)
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`: {}, ` [ ] `: {}, `[1]`: {"1"}, ` [1 , {"a":[1,2]},"]," ] `: {"1", `{"a":[1,2]}`, `"],"`}, `["\\"]`: {`"\\"`}, `["\",\""]`: {`"\",\""`},
	} {
		got, err := splitArray([]byte(text))
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q, error %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[`, `{}`, `[1,,2]`, `[,]`, `[1,]`, `[1]]`, `[{]`, `["]`, `[1][2]`, `x[1]`} {
		if got, err := splitArray([]byte(text)); !errors.Is(err, errNoArray) {
			t.Errorf("%s: %q, error %v", text, got, err)
		}
	}
	many := "[" + strings.Repeat("1,", maxMessages) + "1]"
	if _, err := splitBody([]byte(many), "", true); !errors.Is(err, errManyMessages) {
		t.Errorf("error %v", err)
	}
	if _, err := splitBody([]byte(strings.Repeat("1\n", maxMessages+1)), "application/x-ndjson", true); !errors.Is(err, errManyMessages) {
		t.Errorf("error %v", err)
	}
}

func TestCloudEvents(t *testing.T) {
	head := `"specversion":"1.0","id":"1","source":"s","type":"t"`
	for text, want := range map[string]string{
		`{` + head + `,"data":{"a": 1}}`:                                `{"a": 1}`,
		`{` + head + `,"data":"text"}`:                                  `"text"`,
		`{` + head + `,"datacontenttype":"text/plain","data":"te\"xt"}`: `te"xt`,
		`{` + head + `,"datacontenttype":"text/json","data":"x"}`:       `"x"`,
		`{` + head + `,"data_base64":"AQI="}`:                           "\x01\x02",
		`{` + head + `}`:                                                `{}`,
		`{` + head + `,"data":null}`:                                    `{}`,
		`{` + head + `,"data":1,"data_base64":"AQI="}`:                  "!both",
		`{` + head + `,"data_base64":"?"}`:                              "!data_base64",
		`{` + head + `,"time":"yesterday"}`:                             "!RFC 3339",
		`{"specversion":"1.0"}`:                                         "!without id, source, type",
		`{"specversion":"0.3","id":"1"}`:                                "!specversion 1.0",
		`[1]`:                                                           "!not a CloudEvent",
		``:                                                              "!not a CloudEvent",
	} {
		e, err := structuredEvent([]byte(text), true)
		if bad, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("%s: error %v, wanted %q", text, err, bad)
			}
			continue
		}
		if err != nil || string(e.data) != want {
			t.Errorf("%s: %q, error %v, wanted %q", text, e.data, err, want)
		}
	}
}

// However a stream is cut into reads, its events are the same, and none is larger than the limit.
func FuzzEventParser(f *testing.F) {
	f.Add([]byte("\ufeffid: 1\r\nevent: e\rdata: a\ndata\n\nretry: 5\n\n: c\n\n"))
	f.Add([]byte("data: " + strings.Repeat("x", 100) + "\n\ndata: y\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, bytewise := newEventParser(bytes.NewReader(in), ""), newEventParser(iotest.OneByteReader(bytes.NewReader(in)), "")
		whole.limit, bytewise.limit = 64, 64
		a, b := eventsOf(whole), eventsOf(bytewise)
		if !slices.Equal(a, b) {
			t.Fatalf("%q at once, %q byte by byte", a, b)
		}
		again := newEventParser(bytes.NewReader(in), "")
		again.limit = 64
		for {
			e, err := again.next()
			if err != nil {
				break
			}
			if len(e.data) > again.limit {
				t.Fatalf("an event of %d bytes", len(e.data))
			}
		}
	})
}

// A request is events, an error row for each that is none, or no CloudEvent at all; it never panics, and data that are taken are what was sent.
func FuzzCloudEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "1.0", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}`))
	f.Add("application/cloudevents-batch+json", "", []byte(`[{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AQI="},7]`))
	f.Add("application/json", "1.0", []byte(`{}`))
	f.Fuzz(func(t *testing.T, contentType, version string, body []byte) {
		header := http.Header{"Ce-Specversion": {version}, "Ce-Id": {"1"}, "Ce-Source": {"s"}, "Ce-Type": {"t"}}
		events, err := cloudEvents(header, mediaType(contentType), body, true)
		if err != nil {
			if !errors.Is(err, errNotEvent) && !errors.Is(err, errManyMessages) {
				t.Fatal(err)
			}
			return
		}
		for _, p := range events {
			if p.err == nil && (p.event.id == "" || p.event.source == "" || p.event.kind == "") {
				t.Fatalf("%+v is no event", p.event)
			}
			if p.err != nil && p.raw == nil && len(body) > 0 {
				t.Fatal("an error row without its bytes")
			}
		}
	})
}

// What splitArray takes for an array is split as a JSON parser does it.
func FuzzSplitArray(f *testing.F) {
	f.Add([]byte(`[1,{"a":"]"},[2,"\""]]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var want []json.RawMessage
		if json.Unmarshal(in, &want) != nil || !bytes.HasPrefix(bytes.TrimSpace(in), []byte("[")) {
			_, _ = splitArray(in) // it must not panic
			return
		}
		got, err := splitArray(in)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d elements, error %v, wanted %d", len(got), err, len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("element %d: %q, wanted %q", i, got[i], want[i])
			}
		}
	})
}
