package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Sample calls f with pieces of whole lines from the files, for inferring a schema: head, middle and tail of
// each file that can be sought, else its head. Pieces hold about bytes in all, spread over at most maxSampled files.
// f may return ErrEnough. first is true for a piece that begins a file.
//
// What can be read only once, such as a named pipe, is not sampled: the error is a *catalog.Problem.
func Sample(paths []string, c Compression, split Splitter, bytes int, f func(m *catalog.Morsel, first bool) error) error {
	files := spread(paths)
	share := max(bytes/len(files)/3, minPiece)
	for _, path := range files {
		if err := sampleFile(path, c, split, share, f); err != nil {
			if errors.Is(err, ErrEnough) {
				return nil
			}
			return err
		}
	}
	return nil
}

// ErrEnough ends a Sample without an error.
var ErrEnough = errors.New("enough")

const (
	maxSampled = 16       // files that are sampled, evenly spread
	minPiece   = 16 << 10 // bytes of the smallest piece
)

func spread(paths []string) []string {
	if len(paths) <= maxSampled {
		return paths
	}
	out := make([]string, maxSampled)
	for i := range out {
		out[i] = paths[i*(len(paths)-1)/(maxSampled-1)]
	}
	return out
}

func sampleFile(path string, c Compression, split Splitter, share int, f func(*catalog.Morsel, bool) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return &catalog.Problem{Key: "path", Code: diag.CannotInfer, Text: fmt.Sprintf("%q can be read only once, so no schema can be inferred from it", path),
			Hint: "Declare the fields in \"schema\"."}
	}
	small := info.Size() <= int64(3*share)
	if small || c.Of(path) != None {
		return sampleHead(path, c, split, 3*share, f)
	}
	if err := sampleHead(path, c, split, share, f); err != nil {
		return err
	}
	for _, at := range []int64{info.Size() / 2, info.Size() - int64(share)} {
		if err := samplePiece(path, at, share, f); err != nil {
			return err
		}
	}
	return nil
}

// sampleHead passes the first size bytes of a file on, or its first record where that is longer.
func sampleHead(path string, c Compression, split Splitter, size int, f func(*catalog.Morsel, bool) error) error {
	head := NewLines([]string{path}, c, split)
	defer head.Close()
	var m catalog.Morsel
	for first := true; size > 0; first = false {
		err := head.Next(context.Background(), &m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := split(m.Data[:min(size, len(m.Data))]); n > 0 && size < len(m.Data) {
			m.Data = m.Data[:n]
		}
		size -= len(m.Data)
		if err := f(&m, first); err != nil {
			return err
		}
	}
	return nil
}

// samplePiece reads whole lines from the middle of a file. What a quoted newline makes of them is the format's business:
// a piece is a sample, and records in it that cannot be read are left out.
func samplePiece(path string, at int64, share int, f func(*catalog.Morsel, bool) error) error {
	file, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer file.Close()
	data := make([]byte, share)
	n, err := file.ReadAt(data, at)
	if err != nil && err != io.EOF {
		return unreadable(path, err)
	}
	data = data[:n]
	from, to := bytes.IndexByte(data, '\n')+1, bytes.LastIndexByte(data, '\n')+1
	if from == 0 || from >= to {
		return nil
	}
	return f(&catalog.Morsel{File: path, Data: data[from:to]}, false)
}
