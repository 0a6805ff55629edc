package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/leat-project/leat/catalog"
)

// Sample calls f with pieces of whole lines from the files, for inferring a schema: head, middle and tail of
// each file that can be sought, else its head. Pieces hold about bytes in all, spread over at most maxSampled files.
// f may return ErrEnough. first is true for a piece that begins a file.
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
	head := NewLines([]string{path}, c, split)
	var m catalog.Morsel
	err := head.Next(context.Background(), &m)
	if closing := head.Close(); err == nil {
		err = closing
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if n := split(m.Data[:min(share, len(m.Data))]); n > 0 && info.Size() > int64(3*share) {
		m.Data = m.Data[:n]
	}
	if err := f(&m, true); err != nil {
		return err
	}
	if c.Of(path) != None || !info.Mode().IsRegular() || info.Size() <= int64(3*share) {
		return nil
	}
	for _, at := range []int64{info.Size() / 2, info.Size() - int64(share)} {
		if err := samplePiece(path, at, share, f); err != nil {
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
		return err
	}
	defer file.Close()
	data := make([]byte, share)
	n, err := file.ReadAt(data, at)
	if err != nil && err != io.EOF {
		return err
	}
	data = data[:n]
	from, to := bytes.IndexByte(data, '\n')+1, bytes.LastIndexByte(data, '\n')+1
	if from == 0 || from >= to {
		return nil
	}
	return f(&catalog.Morsel{File: path, Data: data[from:to]}, false)
}
