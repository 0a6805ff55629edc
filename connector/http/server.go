package http

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
)

// limits bound what clients can hold of a server.
type limits struct {
	memory      int64         // of all bodies that are under way
	connections int           // at a time
	header      time.Duration // for sending the headers
	body        time.Duration // for sending all of a request
	stall       time.Duration // for sending any more of it
	wait        time.Duration // how long a request waits for room, until it is told to come again
	idle        time.Duration // that a connection stays without a request
	grace       time.Duration // for what is under way when the server stops
}

var defaultLimits = limits{memory: 64 << 20, connections: 10_000, header: 10 * time.Second, body: time.Minute, stall: 10 * time.Second,
	wait: 10 * time.Second, idle: time.Minute, grace: 20 * time.Second}

// retryLater is the Retry-After of a 503, in seconds.
const retryLater = 5

// messageMemory is roughly what a message takes beside its bytes, until it is answered.
const messageMemory = 512

// server takes requests and puts what they bring into the inbox.
type server struct {
	*webhook
	inbox  *inbox
	bodies *budget // memory of bodies
	parsed *budget // and of what is made of them

	listener net.Listener
	http     *http.Server
	served   sync.WaitGroup
	stopping atomic.Bool
	answers  [600]atomic.Int64 // by status
	taken    atomic.Int64      // messages
	again    atomic.Int64      // messages that were known
}

// start listens.
func (s *server) start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.listen, err)
	}
	s.listener = limit(l, s.limits.connections)
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: s.limits.header, ReadTimeout: s.limits.body, IdleTimeout: s.limits.idle,
		WriteTimeout: s.limits.body + 3*s.limits.wait, MaxHeaderBytes: 64 << 10, TLSConfig: s.webhook.tls,
		ErrorLog: log.New(io.Discard, "", 0), // connections that break are no news
	}
	s.served.Go(func() {
		var err error
		if s.webhook.tls != nil {
			err = s.http.ServeTLS(s.listener, "", "")
		} else {
			err = s.http.Serve(s.listener)
		}
		if !errors.Is(err, http.ErrServerClosed) { // nobody would be told otherwise
			s.inbox.breaks(fmt.Errorf("listening on %s: %w", s.listen, err))
		}
	})
	return nil
}

// stop accepts nothing more, and waits until what is under way has been answered.
func (s *server) stop() {
	s.stopping.Store(true)
	if s.http == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.served.Wait()
}

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, text := s.answer(w, r)
	if status < len(s.answers) {
		s.answers[status].Add(1)
	}
	switch status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryLater))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "POST, PUT")
	}
	if status >= 400 {
		// The rest of the body, if any, is not read: the connection ends.
		w.Header().Set("Connection", "close")
	}
	if s.stopping.Load() {
		w.Header().Set("Connection", "close")
	}
	if text != "" {
		http.Error(w, text, status)
		return
	}
	w.WriteHeader(status)
}

// answer takes a request and returns the status, and what is wrong.
func (s *server) answer(w http.ResponseWriter, r *http.Request) (status int, text string) {
	switch {
	case r.URL.Path != s.path:
		return http.StatusNotFound, "nothing listens at this path"
	case !s.lets(r):
		return http.StatusUnauthorized, "wanted the token, as Authorization: Bearer TOKEN"
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		return http.StatusMethodNotAllowed, "wanted POST or PUT"
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.body)
	defer cancel()
	held := &share{of: s.bodies}
	defer held.release()
	body, err := s.read(ctx, w, r, held)
	if err != nil {
		return unread(err)
	}
	messages, err := s.messages(r, body)
	if err != nil {
		return unread(err)
	}
	wait, cancelWait := context.WithTimeout(context.WithoutCancel(r.Context()), s.limits.wait)
	defer cancelWait()
	made := &share{of: s.parsed}
	defer made.release()
	if err := made.take(wait, messageMemory*int64(len(messages))); err != nil {
		return unread(err)
	}
	known, err := s.inbox.put(wait, messages)
	if err != nil {
		return http.StatusServiceUnavailable, "it cannot be taken now, send it again later"
	}
	s.again.Add(int64(known))
	s.taken.Add(int64(len(messages) - known))
	return http.StatusAccepted, ""
}

// lets reports whether a request brings the token. How long that takes does not depend on the token.
func (s *server) lets(r *http.Request) bool {
	if s.token == "" {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// unread is the answer to a request that could not be read.
func unread(err error) (status int, text string) {
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, errManyMessages):
		return http.StatusRequestEntityTooLarge, err.Error()
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable, "too much is under way, send it again later"
	case errors.Is(err, errEncoding):
		return http.StatusUnsupportedMediaType, err.Error()
	case errors.Is(err, errNotEvent):
		return http.StatusBadRequest, err.Error()
	}
	return http.StatusBadRequest, "the body cannot be read"
}

var errEncoding = errors.New("wanted a Content-Encoding of gzip, or none")

// read returns the body, decompressed.
func (s *server) read(ctx context.Context, w http.ResponseWriter, r *http.Request, held *share) ([]byte, error) {
	if r.ContentLength > s.maxBytes {
		return nil, errTooLarge
	}
	size := r.ContentLength
	var in io.Reader = &patient{Reader: http.MaxBytesReader(w, r.Body, s.maxBytes+1), control: http.NewResponseController(w), stall: s.limits.stall,
		end: time.Now().Add(s.limits.body)}
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		defer func() { _ = zip.Close() }()
		in, size = zip, -1
	default:
		return nil, errEncoding
	}
	body, err := readBody(ctx, in, size, s.maxBytes, held)
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, errTooLarge
	}
	return body, err
}

// patient reads from a client that has to send something from time to time.
type patient struct {
	io.Reader
	control *http.ResponseController
	stall   time.Duration
	end     time.Time // of its whole request
}

func (p *patient) Read(to []byte) (int, error) {
	until := time.Now().Add(p.stall)
	if p.end.Before(until) {
		until = p.end
	}
	_ = p.control.SetReadDeadline(until) // where it cannot, the server's own holds
	return p.Reader.Read(to)
}

// messages returns what a request brings.
func (s *server) messages(r *http.Request, body []byte) ([]incoming, error) {
	at := time.Now().UnixMilli()
	contentType := mediaType(r.Header.Get("Content-Type"))
	if s.cloudEvents {
		return s.events(r, contentType, body, at)
	}
	bodies, err := splitBody(body, contentType, s.json)
	if err != nil {
		return nil, err
	}
	shared := s.note(r)
	out := make([]incoming, len(bodies))
	for i, b := range bodies {
		out[i] = incoming{message: b, time: at, note: shared, key: s.dedup.key(b, r.Header, i)}
	}
	return out, nil
}

// events returns the CloudEvents that a request brings.
func (s *server) events(r *http.Request, contentType string, body []byte, at int64) ([]incoming, error) {
	events, err := cloudEvents(r.Header, contentType, body, s.json)
	if err != nil {
		return nil, err
	}
	out := make([]incoming, len(events))
	for i := range events {
		p := &events[i]
		n := *s.note(r)
		in := incoming{message: p.raw, time: at, note: &n}
		if out[i] = in; p.err != nil {
			n.Bad = p.err.Error()
			continue
		}
		e := &p.event
		for name, value := range map[string]string{metaID: e.id, metaSource: e.source, metaType: e.kind, metaSubject: e.subject} {
			n.set(s.meta, name, value)
		}
		k := newKeyOf("event", e.source, e.id)
		in.message, in.key = e.data, &k
		if s.dedup.set() {
			in.key = s.dedup.key(e.data, r.Header, i)
		}
		if !e.time.IsZero() {
			in.time = e.time.UnixMilli()
			if s.meta.wants(metaTime) {
				n.Time = &in.time
			}
		}
		out[i] = in
	}
	return out, nil
}

// note returns what is wanted of a request beside its body. Tokens and cookies are not kept.
func (s *server) note(r *http.Request) *note {
	n := &note{}
	n.set(s.meta, metaPath, r.URL.Path)
	n.set(s.meta, metaQuery, r.URL.RawQuery)
	if s.meta.wants(metaHeaders) {
		n.Headers = plainHeaders(r.Header)
	}
	return n
}

// plainHeaders returns headers as they may be shown, and kept: without secrets.
func plainHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		switch name {
		case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Connection":
			continue
		}
		out[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "�")
	}
	return out
}

// metrics are the figures of the server.
func (s *server) metrics() []catalog.Metric {
	out := []catalog.Metric{
		{Name: "messages_total", Help: "Messages that were taken.", Value: float64(s.taken.Load()), Counter: true},
		{Name: "duplicates_total", Help: "Messages that came again and were dropped.", Value: float64(s.again.Load()), Counter: true},
	}
	for status := range s.answers {
		if n := s.answers[status].Load(); n > 0 {
			out = append(out, catalog.Metric{Name: "requests_total", Help: "Requests, by the status of the answer.",
				Labels: map[string]string{"status": strconv.Itoa(status)}, Value: float64(n), Counter: true})
		}
	}
	return out
}
