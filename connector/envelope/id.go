package envelope

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/leat-project/leat/column"
)

// IDs makes ids of rows that are the same when a row is written again after a crash, so that a server can drop it. It is for one encoder.
//
// An id follows from where the row came from and from what is written. Rows that a source's record became several of are counted. Rows of aggregates have
// no id: nothing in them says which pane they are of.
type IDs struct {
	job    string
	source int
	seq    int64
	file   string
	counts map[[16]byte]int // of the morsel that the last batch came from
	buf    []byte
}

// NewIDs returns ids for the rows of a job.
func NewIDs(job string) *IDs { return &IDs{job: job, counts: map[[16]byte]int{}} }

// Of returns the id of row i, of which target and message are written; "" where it has none.
func (d *IDs) Of(b *column.Batch, i int, target string, message []byte) string {
	o := b.Origin
	if o == nil || o.File == "" {
		return ""
	}
	if o.Source != d.source || o.Seq != d.seq || o.File != d.file {
		d.source, d.seq, d.file = o.Source, o.Seq, o.File
		clear(d.counts)
	}
	row := b.RowNumber(i)
	line := int64(0)
	if o.Line != nil {
		line = o.Line(row)
	}
	d.buf = append(append(append(d.buf[:0], d.job...), 0), o.File...)
	d.buf = append(binary.AppendVarint(append(d.buf, 0), int64(o.Source)), o.Partition...)
	d.buf = binary.AppendVarint(append(d.buf, 0), line)
	if line == 0 { // it says nothing: the morsel and the row within do
		d.buf = binary.AppendVarint(binary.AppendVarint(d.buf, o.Seq), int64(row))
	}
	d.buf = append(append(append(append(d.buf, 0), target...), 0), message...)
	sum := sha256.Sum256(d.buf)
	id := [16]byte(sum[:16])
	n := d.counts[id]
	d.counts[id]++
	text := base64.RawURLEncoding.EncodeToString(id[:])
	if n > 0 {
		text += "." + base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(nil, uint64(n)))
	}
	return text
}
