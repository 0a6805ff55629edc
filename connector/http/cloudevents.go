package http

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// CloudEvents 1.0 in its HTTP binding: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md

// event is what matters of a CloudEvent.
type event struct {
	id, source, kind, subject string
	time                      time.Time // zero: it has none
	data                      []byte
}

// errNotEvent is the error of a request that is no CloudEvent at all.
var errNotEvent = errors.New("wanted a CloudEvent: Content-Type application/cloudevents+json or application/cloudevents-batch+json, or the header ce-specversion")

// parsed is an event, or the bytes of what should be one and what is wrong with them.
type parsed struct {
	event event
	raw   []byte
	err   error
}

// cloudEvents returns the events of a request. Its error is errNotEvent or errManyMessages; what is wrong with an event stands in it.
func cloudEvents(header http.Header, contentType string, body []byte, jsonFormat bool) ([]parsed, error) {
	switch {
	case contentType == typeCloudEvents:
		elements, err := splitArray(body)
		if errors.Is(err, errManyMessages) {
			return nil, err
		}
		if err != nil {
			return []parsed{{raw: body, err: fmt.Errorf("a batch of CloudEvents %w", err)}}, nil
		}
		out := make([]parsed, len(elements))
		for i, e := range elements {
			out[i] = parsed{raw: e}
			out[i].event, out[i].err = structuredEvent(e, jsonFormat)
		}
		return out, nil
	case contentType == typeCloudEvent:
		e, err := structuredEvent(body, jsonFormat)
		return []parsed{{e, body, err}}, nil
	case header.Get("ce-specversion") != "":
		e, err := binaryEvent(header, body, jsonFormat)
		return []parsed{{e, body, err}}, nil
	}
	return nil, errNotEvent
}

// structuredEvent reads an event in the JSON format.
func structuredEvent(text []byte, jsonFormat bool) (event, error) {
	var v struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Source      string          `json:"source"`
		Type        string          `json:"type"`
		Subject     string          `json:"subject"`
		Time        string          `json:"time"`
		ContentType string          `json:"datacontenttype"`
		Data        json.RawMessage `json:"data"`
		Base64      *string         `json:"data_base64"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	e := event{id: v.ID, source: v.Source, kind: v.Type, subject: v.Subject}
	if err := e.check(v.SpecVersion, v.Time); err != nil {
		return event{}, err
	}
	if string(v.Data) == "null" {
		v.Data = nil
	}
	switch {
	case v.Base64 != nil && v.Data != nil:
		return event{}, errors.New("a CloudEvent with both data and data_base64")
	case v.Base64 != nil:
		var err error
		if e.data, err = base64.StdEncoding.DecodeString(*v.Base64); err != nil {
			return event{}, fmt.Errorf("data_base64 of a CloudEvent: %w", err)
		}
	case v.Data != nil && !isJSON(mediaType(v.ContentType)) && v.Data[0] == '"': // a text that is no JSON stands in a string
		var s string
		if err := json.Unmarshal(v.Data, &s); err != nil {
			return event{}, fmt.Errorf("data of a CloudEvent: %w", err)
		}
		e.data = []byte(s)
	default:
		e.data = v.Data
	}
	e.noData(jsonFormat)
	return e, nil
}

// binaryEvent reads an event whose data are the body, the rest being in headers.
func binaryEvent(header http.Header, body []byte, jsonFormat bool) (event, error) {
	get := func(name string) string {
		v := header.Get("ce-" + name)
		if decoded, err := url.PathUnescape(v); err == nil { // headers are percent-encoded beyond ASCII
			return decoded
		}
		return v
	}
	e := event{id: get("id"), source: get("source"), kind: get("type"), subject: get("subject"), data: body}
	if err := e.check(get("specversion"), get("time")); err != nil {
		return event{}, err
	}
	e.noData(jsonFormat)
	return e, nil
}

// noData gives an event without data an object without fields, where the format is JSON: nothing would be malformed.
func (e *event) noData(jsonFormat bool) {
	if jsonFormat && len(e.data) == 0 {
		e.data = []byte("{}")
	}
}

func (e *event) check(version, at string) error {
	var missing []string
	for _, f := range [][2]string{{"id", e.id}, {"source", e.source}, {"type", e.kind}} {
		if f[1] == "" {
			missing = append(missing, f[0])
		}
	}
	switch {
	case version != "1.0":
		return fmt.Errorf("wanted a CloudEvent of specversion 1.0, found %q", version)
	case missing != nil:
		return fmt.Errorf("a CloudEvent without %s", strings.Join(missing, ", "))
	case at == "":
		return nil
	}
	var err error
	if e.time, err = time.Parse(time.RFC3339Nano, strings.ToUpper(at)); err != nil {
		return fmt.Errorf("the time %q of a CloudEvent is not as RFC 3339 has it", at)
	}
	return nil
}
