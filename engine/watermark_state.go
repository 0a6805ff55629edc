package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
)

// trackerState is what checkpoints before trackerForm had kept of a partition, as JSON.
type trackerState struct {
	Source    string           `json:"source"`
	Partition string           `json:"partition"`
	Max       int64            `json:"max"`
	Values    map[string]int64 `json:"values,omitempty"`
}

// trackerForm is the first byte of what a checkpoint keeps of a tracker.
const trackerForm = 2

// bytesOfValue is what a value takes there, more or less.
const bytesOfValue = 20

// save returns what a checkpoint keeps. There may be many values: each takes its name and a few bytes.
func (t *tracker) save(nodes []*node) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []byte{trackerForm}
	for k, m := range t.parts {
		source := ""
		if k.Source >= 0 {
			source = nodes[k.Source].Name
		}
		out = appendText(appendText(out, source), k.Partition)
		out = binary.AppendVarint(binary.AppendVarint(out, m.at), m.claims.walked)
		for _, c := range []claim{m.claims.first, m.claims.second} {
			out = append(out, flags(c.any, c.fast))
			out = binary.AppendVarint(appendText(out, c.value), c.time)
		}
		out = slices.Grow(binary.AppendUvarint(out, uint64(len(m.order))), bytesOfValue*len(m.order))
		for _, r := range m.order {
			out = binary.AppendVarint(appendText(out, r.of.name), r.of.max-m.at)
		}
	}
	return out
}

func appendText(out []byte, text string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(text))), text...)
}

func flags(any, fast bool) (f byte) {
	if any {
		f |= 1
	}
	if fast {
		f |= 2
	}
	return f
}

var errTracker = errors.New("the state of the watermark is damaged")

// load puts in place what save has returned, in this release or an older one.
func (t *tracker) load(data []byte, nodes []*node) error {
	if len(data) == 0 || data[0] != trackerForm {
		return t.loadOld(data, nodes)
	}
	r := &stateReader{data: data[1:]}
	for len(r.data) > 0 && !r.bad {
		source, partition := r.text(), r.text()
		m := t.part(keyFor(source, partition, nodes), 0)
		m.at, m.claims.walked = r.varint(), r.varint()
		for _, c := range []*claim{&m.claims.first, &m.claims.second} {
			f := r.byte()
			c.any, c.fast = f&1 != 0, f&2 != 0
			c.value, c.time = r.text(), r.varint()
		}
		for n := r.uvarint(); n > 0 && !r.bad; n-- {
			name := r.text()
			if at := m.at + r.varint(); t.per >= 0 {
				m.value([]byte(name), at, 0)
			}
		}
	}
	if r.bad {
		return errTracker
	}
	return nil
}

// loadOld reads the form of older releases, which kept no claims: they are taken from the values.
func (t *tracker) loadOld(data []byte, nodes []*node) error {
	var in []trackerState
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	for _, s := range in {
		m := t.part(keyFor(s.Source, s.Partition, nodes), 0)
		m.at = s.Max
		if t.per < 0 {
			continue
		}
		for name, at := range s.Values {
			m.at = min(m.at, at)
			m.value([]byte(name), at, 0)
			if t.spec.Future > 0 {
				m.claims.add([]byte(name), at)
			}
		}
	}
	return nil
}

// keyFor finds who puts those rows out, which may be one of several nodes of a transform.
func keyFor(source, partition string, nodes []*node) partitionKey {
	for _, n := range nodes {
		if n.Name == source && (len(n.In) == 0 || n.agg != nil || n.keyed != nil) {
			return partitionKey{n.ID, partition}
		}
	}
	return partitionKey{-1, partition}
}

// stateReader reads what a tracker has saved. bad says that there was less.
type stateReader struct {
	data []byte
	bad  bool
}

func (r *stateReader) took(n int) {
	if n <= 0 {
		r.bad, r.data = true, nil
		return
	}
	r.data = r.data[n:]
}

func (r *stateReader) varint() int64 {
	v, n := binary.Varint(r.data)
	r.took(n)
	return v
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	r.took(n)
	return v
}

func (r *stateReader) byte() (b byte) {
	if len(r.data) > 0 {
		b = r.data[0]
	}
	r.took(min(len(r.data), 1))
	return b
}

func (r *stateReader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.took(0)
		return ""
	}
	s := string(r.data[:n])
	r.data = r.data[n:]
	return s
}
