package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/leat-project/leat/infer"
)

// drainTime is how long frames are still read after a child has ended, for what it said last.
const drainTime = time.Second

// child is a child process, seen from its parent.
type child struct {
	*pipe
	cmd     *exec.Cmd
	in, out *os.File // our ends of its standard output and input
	grace   time.Duration
	last    tail // of its standard error

	turn   chan struct{} // held by who writes
	unread chan struct{} // closed when nothing is read any more
	dead   chan struct{} // closed when the process has been waited for
	death  error         // how it died; set before dead is closed

	mu      sync.Mutex
	log     func(level, text string) // nil: dropped
	waiting map[uint64]chan<- frame  // for answers
	calls   uint64                   // the number of the last request
	reason  string                   // why leat killed it
}

// startChild starts a child.
func startChild(c Config) (*child, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	theirIn, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	in, theirOut, err := os.Pipe()
	if err != nil {
		closeAll(theirIn, out)
		return nil, err
	}
	widen(in)
	widen(out)
	w := &child{pipe: newPipe(in, out), cmd: cmd, in: in, out: out, grace: c.Grace, turn: make(chan struct{}, 1),
		unread: make(chan struct{}), dead: make(chan struct{}), waiting: map[uint64]chan<- frame{}}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, &w.last
	cmd.WaitDelay = drainTime // should something that the child started hold its standard error
	cmd.SysProcAttr = attributes()
	started := make(chan error)
	go w.wait(started)
	err = <-started
	closeAll(theirIn, theirOut)
	if err != nil {
		closeAll(in, out)
		return nil, err
	}
	go w.listen()
	return w, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // of a pipe; nothing is lost
	}
}

// wait starts the process and waits for it. It keeps its thread, since Linux ends a child whose parent's thread ends.
func (c *child) wait(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = c.cmd.Wait()
	_ = c.in.SetReadDeadline(time.Now().Add(drainTime)) // where that cannot be set, the pipe ends with the process
	<-c.unread
	closeAll(c.in, c.out)
	c.death = fmt.Errorf("%w: %s", infer.ErrCrashed, c.how(err))
	close(c.dead)
}

// how says how the process ended, given what waiting for it returned.
func (c *child) how(err error) string {
	c.mu.Lock()
	how := c.reason
	c.mu.Unlock()
	state := c.cmd.ProcessState
	switch {
	case how != "":
	case state == nil:
		how = err.Error()
	case state.String() == "signal: killed":
		how = "signal: killed, perhaps by the system for want of memory"
	default:
		how = state.String()
	}
	if text := c.last.text(); text != "" {
		how += "; it said last: " + text
	}
	return how
}

// listen reads what the child says until it says no more, and sees to it that it ends then.
func (c *child) listen() {
	for {
		f, err := c.read()
		if errors.Is(err, errDamaged) {
			c.kill("it was ended, since what it said makes no sense: " + err.Error())
		}
		if err != nil {
			break
		}
		c.mu.Lock()
		answer, log := c.waiting[f.id], c.log
		delete(c.waiting, f.id)
		c.mu.Unlock()
		var e logEntry
		switch {
		case answer != nil:
			answer <- f // which has room for one
		case f.kind == kindLog && log != nil && json.Unmarshal(f.head, &e) == nil:
			log(e.Level, e.Text)
		}
	}
	close(c.unread)
	timer := time.AfterFunc(c.grace, func() { c.kill("it was ended, since it said no more") })
	<-c.dead
	timer.Stop()
}

// logTo says where what the child logs goes.
func (c *child) logTo(log func(level, text string)) {
	c.mu.Lock()
	c.log = log
	c.mu.Unlock()
}

// alive reports whether the child can be asked something.
func (c *child) alive() bool {
	select {
	case <-c.unread:
		return false
	default:
		return true
	}
}

// kill ends the process at once.
func (c *child) kill(reason string) {
	c.mu.Lock()
	if c.reason == "" {
		c.reason = reason
	}
	c.mu.Unlock()
	_ = c.cmd.Process.Kill() // it fails where the process has ended
}

// stop lets the child end, and waits for it.
func (c *child) stop() {
	_ = c.out.Close() // on which it ends
	timer := time.AfterFunc(c.grace, func() { c.kill("it did not end when it was to") })
	<-c.dead
	timer.Stop()
}

// call sends a request and returns its answer. The payload of the answer is to be recycled. The error wraps infer.ErrCrashed where
// the child died before it answered; it is the context's where that is done.
func (c *child) call(ctx context.Context, k kind, m *message) (frame, error) {
	answer := make(chan frame, 1)
	c.mu.Lock()
	c.calls++
	id := c.calls
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if ctx.Done() != nil {
		ended := make(chan struct{})
		defer close(ended)
		defer context.AfterFunc(ctx, func() { c.cancel(id, ended) })()
	}
	if err := c.send(ctx, k, id, m); err != nil {
		return frame{}, err
	}
	var f frame
	select {
	case f = <-answer:
	case <-c.dead:
		select {
		case f = <-answer:
		default:
			return frame{}, c.ended(ctx)
		}
	}
	if f.kind == kindDone {
		return f, nil
	}
	if ctx.Err() != nil {
		return frame{}, ctx.Err() // what fails after a cancellation fails because of it
	}
	e := &remoteError{}
	if err := json.Unmarshal(f.head, &e.failure); err != nil {
		e.Text = "the process that runs models has failed"
	}
	return frame{}, e
}

// ended returns the error of a call whose child has died.
func (c *child) ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.death
}

// send writes a frame when nobody else does.
func (c *child) send(ctx context.Context, k kind, id uint64, m *message) error {
	if err := m.check(); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.death
	}
	if ctx.Err() != nil { // its cancellation may have been sent already
		return ctx.Err()
	}
	if err := c.write(k, id, m); err != nil {
		c.stop() // part of a frame may be written, so that no other can be
		return c.ended(ctx)
	}
	return nil
}

// cancel tells the child to end a request, and kills it where it does not within the grace.
func (c *child) cancel(id uint64, ended <-chan struct{}) {
	timer := time.AfterFunc(c.grace, func() {
		c.kill(fmt.Sprintf("it was ended, since a run that was cancelled did not end within %v", c.grace))
	})
	defer timer.Stop()
	select {
	case c.turn <- struct{}{}:
		_ = c.write(kindCancel, id, &message{}) // where that fails, the child dies
		<-c.turn
	case <-ended:
	case <-c.dead:
	}
	select {
	case <-ended:
	case <-c.dead:
	}
}
