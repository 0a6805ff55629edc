package mqtt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/leat-project/leat/column"
)

// head is what the log keeps of a message beside its bytes.
type head struct {
	topic    string
	id       string
	qos      byte
	retained bool
	key      *key // what dedup knows it by
	levels   []column.Value
}

// The bits of a head's first byte, after two of the QoS.
const (
	headRetained = 4
	headKey      = 8
)

func appendHead(dst []byte, h *head) []byte {
	flags := h.qos
	if h.retained {
		flags |= headRetained
	}
	if h.key != nil {
		flags |= headKey
	}
	dst = append(dst, flags)
	if h.key != nil {
		dst = append(dst, h.key[:]...)
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(h.topic))), h.topic...)
	return append(dst, h.id...)
}

var errHead = errors.New("it is not one of this connector")

func parseHead(b []byte) (*head, error) {
	if len(b) == 0 || b[0]&3 == 3 || b[0] >= 2*headKey {
		return nil, errHead
	}
	h := &head{qos: b[0] & 3, retained: b[0]&headRetained != 0}
	keyed := b[0]&headKey != 0
	if b = b[1:]; keyed {
		if len(b) < len(key{}) {
			return nil, errHead
		}
		k := key(b)
		h.key, b = &k, b[len(k):]
	}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, errHead
	}
	b = b[used:]
	h.topic, h.id = string(b[:n]), string(b[n:])
	return h, nil
}

// randomID is the client id of a connection that nobody has to know again.
func randomID() string { return "leat-" + rand.Text()[:16] }
