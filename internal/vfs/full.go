package vfs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// IsFull reports whether an error says that there is no space left, which may pass.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Patient tries again while the disk is full. It says so once, and once more when it goes on.
type Patient struct {
	Say func(level, text string) // nil: nobody is told
}

// The pauses between tries.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// Do tries something until it works, fails for another reason than a full disk, or the context is done. who is named in what is said.
func (p Patient) Do(ctx context.Context, who string, try func() error) error {
	err := try()
	if !IsFull(err) {
		return err
	}
	p.say("ERROR", "%s waits until there is space: %v", who, err)
	for pause := firstPause; IsFull(err); pause = min(2*pause, mostPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		err = try()
	}
	if err == nil {
		p.say("INFO", "%s has space again, and goes on", who)
	}
	return err
}

// Write writes all of b, as Do does. It returns how much is written.
func (p Patient) Write(ctx context.Context, who string, f File, b []byte) (written int, err error) {
	err = p.Do(ctx, who, func() error {
		n, err := f.Write(b[written:]) // a full disk may have taken a part
		written += n
		return err
	})
	return written, err
}

func (p Patient) say(level, format string, values ...any) {
	if p.Say != nil {
		p.Say(level, fmt.Sprintf(format, values...))
	}
}
