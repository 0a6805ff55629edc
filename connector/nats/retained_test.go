package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// keep has the stream of a test keep its last messages only, and then as many as before again.
func keep(t *testing.T, js jetstream.JetStream, name string, last uint64) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeKeep(last)); err != nil {
		t.Fatal(err)
	}
}

// ends reads until the reader fails, and returns its error.
func ends(t *testing.T, r *reader) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		var m catalog.Morsel
		if err := r.Next(ctx, &m); err != nil {
			return err
		}
	}
}

func wantGone(t *testing.T, err error, texts ...string) {
	t.Helper()
	var p *catalog.Problem
	if !errors.As(err, &p) || p.Code != diag.InputChanged || !strings.Contains(p.Hint, "leat state") {
		t.Fatalf("%v", err)
	}
	for _, text := range texts {
		if !strings.Contains(p.Text, text) {
			t.Errorf("%q does not say %q", p.Text, text)
		}
	}
}

func TestMessagesThatWereDroppedWhileWeWereAway(t *testing.T) {
	js, name, config := server(t)
	send(t, js, name+".x", 0, 10)
	keep(t, js, name, 3)
	wantGone(t, ends(t, reading(t, config, map[string]string{"": "5"})), "message 6", "8 to 10")
	rows, _ := take(t, reading(t, config, map[string]string{"": "7"}), 3)
	same(t, rows, "7", "8", "9")

	// A first run begins with what there is, and its checkpoint says so.
	r := reading(t, config, nil)
	_, position := take(t, r, 0)
	same(t, []string{position}, "7")
	keep(t, js, name, 0)
	wantGone(t, ends(t, reading(t, config, map[string]string{"": position})), "message 8")
	_, position = take(t, reading(t, config, nil), 0)
	same(t, []string{position}, "10")
}

func TestMessagesThatWereDroppedBeforeWeCameToThem(t *testing.T) {
	js, name, config := server(t)
	const all = 6000 // more than is fetched ahead
	send(t, js, name+".x", 0, 1)
	r := reading(t, config, nil)
	take(t, r, 1)
	for i := range all {
		if _, err := js.PublishAsync(name+".x", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	keep(t, js, name, 10)
	wantGone(t, ends(t, r), "have not been read")
}

func TestMessagesThatWereDroppedWhileTheServerWasAway(t *testing.T) {
	for _, subject := range []string{"", "x"} {
		t.Run("subject"+subject, func(t *testing.T) {
			js, name, config := server(t)
			link := newLink(t, strings.TrimPrefix(config["url"].(string), "nats://"))
			config["url"] = "nats://" + link.address()
			if subject != "" {
				config["subject"] = name + "." + subject
			}
			send(t, js, name+".x", 0, 3)
			r := reading(t, config, nil)
			take(t, r, 3)
			link.down()
			send(t, js, name+".x", 3, 9)
			keep(t, js, name, 2)
			link.up(t)
			wantGone(t, ends(t, r), "message 4", "8 to 9")
		})
	}
}

func TestGapsThatLoseNothing(t *testing.T) {
	js, name, config := server(t)
	send(t, js, name+".x", 0, 10)
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{3, 4, 7} { // of 1 to 10
		if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	r := reading(t, config, map[string]string{"": "2"}) // the next one was deleted
	rows, _ := take(t, r, 5)
	same(t, rows, "4", "5", "7", "8", "9")
}

// TestOtherSubjectsAreDropped reads a subject that is silent, of a stream that is not, and that keeps little.
func TestOtherSubjectsAreDropped(t *testing.T) {
	js, name, config := server(t)
	config["subject"] = name + ".x"
	send(t, js, name+".x", 0, 1)
	r := reading(t, config, nil)
	r.source.look = 10 * time.Millisecond
	_, position := take(t, r, 1)
	for i := range 5 {
		send(t, js, name+".y", 0, 20)
		// The checkpoint goes on with the stream, without rows.
		for want := fmt.Sprint(1 + (i+1)*20); position != want; {
			var m catalog.Morsel
			if err := r.Next(t.Context(), &m); err != nil {
				t.Fatal(err)
			}
			if position = m.Position; !m.Bare {
				t.Fatal("a row came")
			}
		}
		keep(t, js, name, 2)
	}
	again := reading(t, config, map[string]string{"": position})
	send(t, js, name+".y", 0, 20)
	send(t, js, name+".x", 1, 2)
	rows, _ := take(t, again, 1)
	same(t, rows, "1")
	rows, _ = take(t, r, 1)
	same(t, rows, "1")
}

// A stream that keeps so many messages of each subject drops old ones as newer ones come: that is what it is for.
func TestLastOfEachSubject(t *testing.T) {
	js, name, config := server(t)
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	send(t, js, name+".x", 0, 10)
	rows, _ := take(t, reading(t, config, map[string]string{"": "3"}), 1)
	same(t, rows, "9")
}

func TestWorkQueuesAreRefused(t *testing.T) {
	js, name, config := server(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name + "q", Subjects: []string{name + "q.>"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { js.DeleteStream(context.Background(), name+"q") })
	config["stream"] = name + "q"
	if err := ends(t, reading(t, config, nil)); err == nil || !strings.Contains(err.Error(), "work queue") {
		t.Error(err)
	}
}

// link is a connection that can be cut.
type link struct {
	to       string
	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
	running  sync.WaitGroup
}

func newLink(t *testing.T, to string) *link {
	l := &link{to: to}
	l.listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		l.down()
		l.running.Wait()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) up(t *testing.T) { l.listen(t, l.address()) }

func (l *link) listen(t *testing.T, at string) {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	l.listener = listener
	l.running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", l.to)
			if err != nil {
				in.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, in, out)
			l.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				l.running.Go(func() {
					io.Copy(way[0], way[1])
					way[0].Close()
					way[1].Close()
				})
			}
		}
	})
}

func (l *link) down() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		c.Close()
	}
	l.open = nil
}
