package kafka

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	refuse "github.com/leat-project/leat/connector/refusal"
)

// The most that one slab holds. Small enough that memory comes back soon, large enough that its costs are spread over many rows.
const (
	slabRows  = 1024
	slabBytes = 256 << 10
)

// span is where some bytes lie in a slab; null where from is negative.
type span struct{ from, to int }

var nullSpan = span{from: -1}

// cut is one record of a slab.
type cut struct {
	key, value span
	headers    int // where its headers end in slab.heads; they begin where those of the record before end
	partition  int32
}

// head is one header of a record.
type head struct {
	key   string
	value span
}

// slab holds the records of some rows in one piece of memory. It is filled by an encoder, sent, and used again once the client has told the fate of
// each record: until then its memory belongs to the client.
type slab struct {
	data  []byte
	cuts  []cut
	heads []head
	rows  []refuse.Row // that the records were made of, where refused ones are asked for
	time  int64        // when it was sent, ms

	records []kgo.Record
	headers []kgo.RecordHeader
	left    atomic.Int64 // records whose fate is open
	spoiled atomic.Bool  // a record failed: the client may still hold on to the memory
	box     *outbox
	done    func(*kgo.Record, error) // told, made once
	size    int                      // as counted by the outbox
	epoch   int                      // of the outbox
}

func newSlab() *slab {
	s := &slab{}
	s.done = s.told
	return s
}

func (s *slab) reset() {
	s.data, s.cuts, s.heads = s.data[:0], s.cuts[:0], s.heads[:0]
	clear(s.rows)
	s.rows = s.rows[:0]
	clear(s.records)
	clear(s.headers)
	s.records, s.headers, s.box = s.records[:0], s.headers[:0], nil
}

// full reports whether it should be sent.
func (s *slab) full() bool { return len(s.cuts) >= slabRows || len(s.data) >= slabBytes }

// bytes returns what a span holds, nil where it is null.
func (s *slab) bytes(x span) []byte {
	if x.from < 0 {
		return nil
	}
	return s.data[x.from:x.to:x.to]
}

// build makes the records, once all of data is there: it may move while it grows.
func (s *slab) build(topic string, now int64) {
	s.time = now
	at := time.UnixMilli(now)
	for _, h := range s.heads {
		s.headers = append(s.headers, kgo.RecordHeader{Key: h.key, Value: s.bytes(h.value)})
	}
	first := 0
	for _, c := range s.cuts {
		s.records = append(s.records, kgo.Record{Topic: topic, Partition: c.partition, Timestamp: at, Key: s.bytes(c.key), Value: s.bytes(c.value),
			Headers: s.headers[first:c.headers:c.headers]})
		first = c.headers
	}
	s.left.Store(int64(len(s.records)))
}

// told is called by the client for each record, when its fate is known.
func (s *slab) told(r *kgo.Record, err error) {
	if err != nil {
		s.spoiled.Store(true)
		if !s.refused(r, err) {
			s.box.failed(r, err)
		}
	}
	if s.left.Add(-1) == 0 {
		s.box.release(s)
	}
}

// refused puts the row of a record aside that the brokers do not take, where somebody asks for it.
func (s *slab) refused(r *kgo.Record, err error) bool {
	if s.box.refused == nil || len(s.rows) < len(s.records) || !ofRecord(err) {
		return false
	}
	for i := range s.records {
		if &s.records[i] == r {
			return s.box.refused.Add(s.rows[i], explainRecord(r, err))
		}
	}
	return false
}
