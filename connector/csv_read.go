package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// Open begins reading the named fields.
func (s *csvSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	r := &csvReader{Lines: file.OpenLines(s.Input, file.Auto, s.dialect.split), source: s, fields: fields}
	return resumable(r, s.Input), nil
}

// csvReader hands out records without the files' heads.
type csvReader struct {
	*file.Lines
	source *csvSource
	fields column.Schema
	head   csvHead
	of     string     // the file that head is of
	layout *csvLayout // of the current file; nil: its head has not been read
}

// Next fills m with whole records; m.Part is the layout of their file.
func (r *csvReader) Next(ctx context.Context, m *catalog.Morsel) error {
	for {
		if err := r.Lines.Next(ctx, m); err != nil {
			return err
		}
		switch {
		case m.Line == 1:
			r.head, r.of, r.layout = csvHead{source: r.source, skip: r.source.skip}, m.File, nil
		case r.of != m.File: // reading goes on in the middle
			if err := r.readHead(ctx, m.File); err != nil {
				return err
			}
		}
		if _, long := m.Part.(file.TooLong); long {
			return nil
		}
		if r.layout == nil {
			n, ok, err := r.head.read(m.Data, m.File)
			if err != nil {
				return err
			}
			m.Line += int64(bytes.Count(m.Data[:n], []byte{'\n'}))
			m.Data = m.Data[n:]
			if !ok {
				continue
			}
			r.layout = r.layoutOf(m.File)
		}
		if len(m.Data) > 0 {
			m.Part = r.layout
			return nil
		}
	}
}

// readHead reads the head of a file that is read from the middle on.
func (r *csvReader) readHead(ctx context.Context, path string) error {
	r.head, r.of, r.layout = csvHead{source: r.source, skip: r.source.skip}, path, nil
	lines := file.NewLines([]string{path}, file.Auto, r.source.dialect.split)
	defer lines.Close()
	for {
		var m catalog.Morsel
		err := lines.Next(ctx, &m)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%q has no header any more", path)
		}
		if err != nil {
			return err
		}
		if _, long := m.Part.(file.TooLong); long {
			continue
		}
		_, ok, err := r.head.read(m.Data, path)
		if err != nil {
			return err
		}
		if ok {
			r.layout = r.layoutOf(path)
			return nil
		}
	}
}

// layoutOf returns what to do with the columns of a file whose names are known.
func (r *csvReader) layoutOf(path string) *csvLayout {
	l := &csvLayout{file: path, names: r.head.names, wanted: make([]int32, len(r.head.names))}
	found := make([]bool, len(r.fields))
	for i, name := range r.head.names {
		l.wanted[i] = int32(r.fields.Index(name))
		if l.wanted[i] >= 0 {
			found[l.wanted[i]] = true
		}
	}
	for i := range r.fields {
		if !found[i] {
			l.fixed = append(l.fixed, int32(i))
		}
	}
	return l
}

// NewDecoder returns a decoder for one worker.
func (r *csvReader) NewDecoder() catalog.Decoder {
	return newCSVDecoder(r.source.dialect, &r.source.nulls, r.fields, r.source.filename)
}
