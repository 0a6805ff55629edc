package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// why says what the server has against a row, for its error output: the row stands beside it.
func (t *target) why(s *server, pg *pgconn.PgError) string {
	text := pg.Message
	if match := copyLine.FindStringSubmatch(pg.Where); match != nil && match[2] != "" {
		text = fmt.Sprintf("column %q: %s", t.columnName(match[2]), text)
	}
	if pg.ConstraintName != "" && !strings.Contains(text, pg.ConstraintName) {
		text += fmt.Sprintf(" (constraint %q)", pg.ConstraintName)
	}
	more := []string{pg.Detail, pg.Hint}
	if pg.Code == "23502" || pg.Code == "23514" {
		more[0] = "" // it is the row
	}
	for _, m := range more {
		if m = strings.Join(strings.Fields(m), " "); m != "" {
			text += "; " + m
		}
	}
	return s.hide(fmt.Sprintf("PostgreSQL does not take the row into %s: %s (SQLSTATE %s)", t.table, text, pg.Code))
}

// columnName is the name of a column of the table, where the server means one of staging.
func (t *target) columnName(name string) string {
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "c")); err == nil && t.key != nil && n >= 0 && n < len(t.schema) {
		return t.schema[n].Name
	}
	return name
}

// Refused rows of an epoch lie in a file from before its transaction is committed until a checkpoint says that they have been told:
//
//	refusedMagic
//	a piece for each batch, as in beside.go; behind its rows, for each, the length of what the server says, and that
//	CRC-32C of all before     4 bytes, little endian
const (
	refusedMagic  = "leat refused 1\n"
	refusedSuffix = ".refused"
	halfSuffix    = ".half" // of a file that is being written
)

func refusedName(epoch int64) string { return strconv.FormatInt(epoch, 10) + refusedSuffix }

// epochOf is the reverse of refusedName; 0 for other names.
func epochOf(name string) int64 {
	number, ok := strings.CutSuffix(name, refusedSuffix)
	epoch, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || refusedName(epoch) != name {
		return 0
	}
	return epoch
}

// refusedWriter writes such a file.
type refusedWriter struct {
	to  func(data []byte) error
	buf []byte
	sum uint32
}

func (w *refusedWriter) add(b *column.Batch, s column.Schema, texts []string) error {
	start := len(w.buf)
	w.buf = appendPiece(w.buf, b, s)
	for _, text := range texts {
		w.buf = append(binary.AppendUvarint(w.buf, uint64(len(text))), text...)
	}
	w.buf = endPiece(w.buf, start, b.Len())
	if len(w.buf) < blockBytes {
		return nil
	}
	return w.flush()
}

func (w *refusedWriter) flush() error {
	w.sum = crc32.Update(w.sum, castagnoli, w.buf)
	err := w.to(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *refusedWriter) end() error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.to(binary.LittleEndian.AppendUint32(nil, w.sum))
}

// readRefused reads such a file.
func readRefused(in io.Reader, s column.Schema) (out []catalog.RefusedRows, err error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	end := len(data) - 4
	if end < len(refusedMagic) || string(data[:len(refusedMagic)]) != refusedMagic || binary.LittleEndian.Uint32(data[end:]) != crc32.Checksum(data[:end], castagnoli) {
		return nil, errors.New("its checksum is wrong")
	}
	data = data[len(refusedMagic):end]
	for len(data) > 0 {
		if len(data) < pieceHead || binary.LittleEndian.Uint64(data) > uint64(len(data)-pieceHead) {
			return nil, errPiece
		}
		b, texts, err := readPiece(data[pieceHead:], s)
		if err != nil {
			return nil, err
		}
		of := catalog.RefusedRows{Batch: b}
		for i := range b.N {
			n, size := binary.Uvarint(texts)
			if size <= 0 || n > uint64(len(texts)-size) {
				return nil, errPiece
			}
			of.Rows = append(of.Rows, catalog.Refusal{Row: int32(i), Err: errors.New(string(texts[size : size+int(n)]))})
			texts = texts[size+int(n):]
		}
		out = append(out, of)
		data = data[pieceHead+binary.LittleEndian.Uint64(data):]
	}
	return out, nil
}

// refusedEpochs returns the epochs whose refused rows lie in the folder, rising.
func (s *stage) refusedEpochs() (epochs []int64, err error) {
	names, err := s.names()
	for _, name := range names {
		if epoch := epochOf(name); epoch > 0 {
			epochs = append(epochs, epoch)
		}
	}
	slices.Sort(epochs)
	return epochs, err
}

// forget removes the refused rows of an epoch.
func (s *stage) forget(epoch int64) error {
	err := s.fs.Remove(filepath.Join(s.dir, refusedName(epoch)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// refused reads the refused rows of an epoch.
func (s *stage) refused(epoch int64, schema column.Schema) ([]catalog.RefusedRows, error) {
	f, err := s.fs.Open(filepath.Join(s.dir, refusedName(epoch)))
	if err != nil {
		return nil, err
	}
	out, err := readRefused(f, schema)
	return out, errors.Join(err, f.Close())
}

// keepRefused writes the file of an epoch's refused rows, in one step: it is there whole, and outlasts a crash, or is not there.
func (s *stage) keepRefused(epoch int64, write func(w *refusedWriter) error, put func(f func() error) error) error {
	name := filepath.Join(s.dir, refusedName(epoch))
	if err := s.fs.Remove(name + halfSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(name + halfSuffix)
	if err != nil {
		return err
	}
	w := &refusedWriter{buf: []byte(refusedMagic), to: func(data []byte) error {
		return put(func() error {
			n, err := f.Write(data)
			data = data[n:]
			return err
		})
	}}
	if err = write(w); err == nil {
		err = w.end()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(name+halfSuffix, name)
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(name+halfSuffix))
	}
	return s.fs.SyncDir(s.dir)
}
