package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
)

// maxAnswer limits an answer, pollTimeout how long it may take.
const (
	maxAnswer   = 64 << 20
	pollTimeout = 5 * time.Minute
)

// figures are what a client counts.
type figures struct {
	running  sync.WaitGroup
	requests atomic.Int64
	failures atomic.Int64
	known    atomic.Int64
}

// metrics are the figures.
func (f *figures) metrics() []catalog.Metric {
	return []catalog.Metric{
		{Name: "requests_total", Help: "Requests that were sent.", Value: float64(f.requests.Load()), Counter: true},
		{Name: "failures_total", Help: "Requests that failed and were tried again.", Value: float64(f.failures.Load()), Counter: true},
		{Name: "duplicates_total", Help: "Messages that came again and were dropped.", Value: float64(f.known.Load()), Counter: true},
	}
}

// start begins to poll.
func (p *poller) start(context.Context) error {
	p.running.Go(func() {
		if err := p.run(p.inbox.ctx); p.inbox.ctx.Err() == nil { // it ends by an error alone
			p.inbox.breaks(err)
		}
	})
	return nil
}

// stop waits until the request that is under way has been given up.
func (p *poller) stop() {
	p.inbox.cancel()
	p.running.Wait()
	p.client.close()
}

func (p *poller) run(ctx context.Context) error {
	for {
		began := time.Now()
		if err := p.once(ctx); err != nil {
			return err
		}
		if err := retry.Sleep(ctx, max(0, p.every-time.Since(began))); err != nil {
			return err
		}
	}
}

// validators are what the server gave, to ask whether there is something new.
type validators struct {
	Tag      string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
}

// once asks until there is an answer, and puts that into the inbox.
func (p *poller) once(ctx context.Context) error {
	var messages []incoming
	var state string
	caller := retry.Caller{Policy: p.policy, Failed: func(error) { p.failures.Add(1) }}
	err := caller.Do(ctx, func(ctx context.Context) (err error) {
		messages, state, err = p.ask(ctx)
		return err
	})
	if err != nil || state == "" && messages == nil {
		return err
	}
	if n := len(messages); n > 0 { // the last one: those before it may be in the log without it
		last := *messages[n-1].note
		last.State = state
		messages[n-1].note = &last
	}
	known, err := p.inbox.put(ctx, messages)
	if err != nil {
		return err
	}
	p.known.Add(int64(known))
	p.inbox.window.setState(state)
	return nil
}

// ask sends one request. Without messages and state there is nothing new.
func (p *poller) ask(ctx context.Context) ([]incoming, string, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	header := p.client.header.Clone()
	var v validators
	if state := p.inbox.window.getState(); state != "" && json.Unmarshal([]byte(state), &v) == nil {
		if v.Tag != "" {
			header.Set("If-None-Match", v.Tag)
		} else if v.Modified != "" {
			header.Set("If-Modified-Since", v.Modified)
		}
	}
	p.requests.Add(1)
	answer, err := p.client.do(ctx, http.MethodGet, header, nil)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNotModified || answer.StatusCode == http.StatusNoContent {
		return nil, "", nil
	}
	body, err := readAnswer(answer.Body)
	if err != nil {
		return nil, "", p.fail("the answer: %w", err)
	}
	v = validators{Tag: answer.Header.Get("ETag"), Modified: answer.Header.Get("Last-Modified")}
	state, err := json.Marshal(v)
	if err != nil {
		return nil, "", retry.Permanent(err)
	}
	messages, err := p.messages(answer, body)
	return messages, string(state), err
}

// readAnswer reads a body of at most maxAnswer bytes.
func readAnswer(in io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(in, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = retry.Permanent(fmt.Errorf("it has over %d bytes: ask for less at a time", maxAnswer))
	}
	return body, err
}

// messages returns what an answer holds.
func (p *poller) messages(answer *http.Response, body []byte) ([]incoming, error) {
	shared := &note{}
	if p.meta.wants(metaHeaders) {
		shared.Headers = plainHeaders(answer.Header)
	}
	at := time.Now().UnixMilli()
	bodies, err := p.split(answer, body)
	if errors.Is(err, errManyMessages) {
		return nil, retry.Permanent(p.fail("the answer: %w: ask for less at a time", err))
	}
	if err != nil { // it is no answer of the kind that was expected: an error row
		return []incoming{{message: body, time: at, note: &note{Bad: err.Error(), Headers: shared.Headers}}}, nil
	}
	out := make([]incoming, len(bodies))
	for i, b := range bodies {
		out[i] = incoming{message: b, time: at, note: shared, key: p.dedup.key(b, nil, i)}
	}
	return out, nil
}

func (p *poller) split(answer *http.Response, body []byte) ([][]byte, error) {
	if p.items == nil {
		if len(bytes.TrimSpace(body)) == 0 {
			return nil, nil
		}
		return splitBody(body, mediaType(answer.Header.Get("Content-Type")), p.json)
	}
	list, err := p.items.find(body)
	if err != nil {
		return nil, fmt.Errorf("the answer has no list at %q: %w", p.items, err)
	}
	if list == nil {
		return nil, fmt.Errorf("the answer has no list at %q", p.items)
	}
	elements, err := splitArray(list)
	if errors.Is(err, errNoArray) {
		return nil, fmt.Errorf("what the answer has at %q is no list", p.items)
	}
	return elements, err
}
