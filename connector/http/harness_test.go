package http

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// events that tests wait for come within this time, or the test has failed.
const patience = 30 * time.Second

// readings is the schema of most tests.
var readings = column.Schema{{Name: "id", Type: column.StringType}, {Name: "n", Type: column.IntType.OrNull()}}

// config returns a configuration of JSON messages, with more keys.
func config(more ...any) map[string]any {
	c := map[string]any{"format": "JSON", "schema": column.RowOf(readings)}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
		if more[i] == "format" && more[i+1] != "JSON" {
			delete(c, "schema")
		}
	}
	return c
}

// taken collects what a decoder makes.
type taken struct {
	schema column.Schema

	mu    sync.Mutex
	rows  []string // as name=value, in order
	times []int64
	lines []string
	bad   []catalog.BadRecord
	more  chan struct{} // closed at each change
}

func (o *taken) BatchRows() int { return 3 }

func (o *taken) Batch(b *column.Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.Each(func(i int) {
		var parts []string
		for c, f := range o.schema {
			v := b.Cols[c].Value(i)
			if m, ok := v.(*column.MapValue); ok {
				v = fmt.Sprint(m.Keys, m.Elems)
			}
			if p, ok := v.([]byte); ok {
				v = string(p)
			}
			parts = append(parts, fmt.Sprintf("%s=%v", f.Name, v))
		}
		o.rows = append(o.rows, strings.Join(parts, " "))
		o.times = append(o.times, int64(b.Time(i)))
		o.lines = append(o.lines, b.Where(i))
	})
	o.changed()
	return nil
}

func (o *taken) Bad(r catalog.BadRecord) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Record = slices.Clone(r.Record)
	o.bad = append(o.bad, r)
	o.changed()
	return nil
}

func (o *taken) changed() {
	close(o.more)
	o.more = make(chan struct{})
}

// wait returns once there are so many rows and bad records.
func (o *taken) wait(t *testing.T, rows, bad int) {
	t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		r, b, more := len(o.rows), len(o.bad), o.more
		o.mu.Unlock()
		if r >= rows && b >= bad {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%d rows and %d bad records, wanted %d and %d", r, b, rows, bad)
		}
	}
}

// check compares the rows, in any order.
func (o *taken) check(t *testing.T, want ...string) {
	t.Helper()
	o.wait(t, len(want), 0)
	o.mu.Lock()
	defer o.mu.Unlock()
	got := slices.Sorted(slices.Values(o.rows))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rows\n %s\nwanted\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// reading is a reader that is being read.
type reading struct {
	taken
	reader   catalog.Reader
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
	mu2      sync.Mutex
	position string
	seqs     []int64
}

// read reads until the test or stop ends it.
func read(t *testing.T, r catalog.Reader, schema column.Schema) *reading {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &reading{taken: taken{schema: schema, more: make(chan struct{})}, reader: r, cancel: cancel, done: make(chan struct{})}
	decoder := r.NewDecoder()
	go func() {
		defer close(d.done)
		for {
			var m catalog.Morsel
			if d.err = r.Next(ctx, &m); d.err != nil {
				return
			}
			d.mu2.Lock() // before its rows are seen, so that who sees them knows where they end
			d.position = m.Position
			d.seqs = append(d.seqs, m.Seq)
			d.mu2.Unlock()
			if d.err = decoder.Decode(ctx, &m, d); d.err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { d.stop(t) })
	return d
}

// stop ends the reading and closes the reader. It returns where the next one goes on.
func (d *reading) stop(t *testing.T) map[string]string {
	t.Helper()
	d.cancel()
	<-d.done
	if err := d.reader.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return d.positions()
}

func (d *reading) positions() map[string]string {
	d.mu2.Lock()
	defer d.mu2.Unlock()
	if d.position == "" {
		return nil
	}
	return map[string]string{"": d.position}
}

// order returns the Seqs of morsels.
func (d *reading) order() []int64 {
	d.mu2.Lock()
	defer d.mu2.Unlock()
	return slices.Clone(d.seqs)
}

// end waits until the reader ends by itself, and returns its error.
func (d *reading) end(t *testing.T) error {
	t.Helper()
	select {
	case <-d.done:
		return d.err
	case <-time.After(patience):
		t.Fatal("the reader does not end")
		return nil
	}
}

// open opens a source and resumes it.
func open(t *testing.T, s catalog.Source, resume catalog.Resume) (catalog.Reader, column.Schema) {
	t.Helper()
	schema, err := s.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.(catalog.Resumable).Resume(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	return r, schema
}

// certificate makes a self-signed certificate for 127.0.0.1 and returns the files of it and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// noLeaks fails the test if goroutines of this package are left at its end.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for {
			buf := make([]byte, 1<<20)
			stacks := string(buf[:runtime.Stack(buf, true)])
			left := 0
			for stack := range strings.SplitSeq(stacks, "\n\n") {
				if strings.Contains(stack, "leat/connector/") && !strings.Contains(stack, "testing.tRunner") {
					left++
				}
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines are left:\n%s", left, stacks)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// problems returns the keys that an error is about.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range joined.Unwrap() {
			out = append(out, problems(e)...)
		}
		return out
	}
	var p *catalog.Problem
	if errors.As(err, &p) {
		return []string{p.Key}
	}
	return []string{"!" + err.Error()}
}

// serveTLS is a server with a certificate that nobody knows.
func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are wanted
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// pemOf writes a certificate to a file.
func pemOf(t *testing.T, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
