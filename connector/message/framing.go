package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/leat-project/leat/column"
)

// Messages that go with a Confluent schema registry begin with a zero and the number of their schema, in four bytes.
const frameBytes = 5

var errFrame = errors.New("the message does not begin with the number of its schema, as with a schema registry")

// frame splits a message into the number of its schema and the rest.
func frame(m []byte) (id int, rest []byte, err error) {
	if len(m) < frameBytes || m[0] != 0 {
		return 0, nil, errFrame
	}
	return int(binary.BigEndian.Uint32(m[1:])), m[frameBytes:], nil
}

// unframed hands messages on without their frame.
type unframed struct {
	inner decoding
	proto bool // the place of the message within its file follows the number
	rest  [][]byte
	at    []int
}

// Decode decodes what follows the frames.
func (u *unframed) Decode(messages [][]byte, bad func(i int, err error) error) ([]*column.Vector, []int32, error) {
	u.rest, u.at = u.rest[:0], u.at[:0]
	for i, m := range messages {
		_, rest, err := frame(m)
		if err == nil && u.proto {
			rest, err = skipPlace(rest)
		}
		if err == nil {
			u.rest, u.at = append(u.rest, rest), append(u.at, i)
		} else if err := bad(i, err); err != nil {
			return nil, nil, err
		}
	}
	cols, rows, err := u.inner.Decode(u.rest, func(i int, err error) error { return bad(u.at[i], err) })
	for k, i := range rows {
		rows[k] = int32(u.at[i])
	}
	return cols, rows, err
}

// skipPlace passes over the path of indexes that says which message of its file it is.
func skipPlace(m []byte) ([]byte, error) {
	n, size := binary.Varint(m)
	if size <= 0 || n < 0 || n > int64(len(m)) {
		return nil, fmt.Errorf("%w: its place in the file is broken", errFrame)
	}
	m = m[size:]
	for range n {
		if _, size = binary.Varint(m); size <= 0 {
			return nil, fmt.Errorf("%w: its place in the file is broken", errFrame)
		}
		m = m[size:]
	}
	return m, nil
}
