package vfs

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tight is a file on a disk that has space for a few bytes at each try.
type tight struct {
	File
	bytes.Buffer
	space []int
	other error // after that
}

func (f *tight) Write(p []byte) (int, error) {
	if len(f.space) == 0 && f.other != nil {
		return 0, f.other
	}
	n := len(p)
	if len(f.space) > 0 {
		n, f.space = min(n, f.space[0]), f.space[1:]
	}
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *tight) Sync() error  { return nil }
func (f *tight) Close() error { return nil }

func TestPatientWrite(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		file  tight
		stop  bool
		want  string
		err   error
		heard []string
	}{
		{"space", tight{}, false, "hello", nil, nil},
		{"full twice", tight{space: []int{2, 0}}, false, "hello", nil, []string{"ERROR", "INFO"}},
		{"broken", tight{other: broken}, false, "", broken, nil},
		{"full, then broken", tight{space: []int{2}, other: broken}, false, "he", broken, []string{"ERROR"}},
		{"full and stopped", tight{space: []int{2, 0}}, true, "he", syscall.ENOSPC, []string{"ERROR"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.stop {
				cancel()
			}
			var heard []string
			p := Patient{Say: func(level, text string) {
				heard = append(heard, level)
				if !strings.HasPrefix(text, "it ") {
					t.Errorf("said %q", text)
				}
			}}
			n, err := p.Write(ctx, "it", &test.file, []byte("hello"))
			if !errors.Is(err, test.err) || n != len(test.want) || test.file.String() != test.want {
				t.Errorf("wrote %d, %q: %v", n, test.file.String(), err)
			}
			if !slices.Equal(heard, test.heard) {
				t.Errorf("heard %q, want %q", heard, test.heard)
			}
		})
	}
}
