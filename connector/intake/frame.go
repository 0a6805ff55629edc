package intake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A file of the log is a header and then frames, each a group of messages:
//
//	header  magic (8) nonce (8) first offset (8) checksum (4)
//	frame   nonce (8) length of the body (4) messages (4) offset of the first (8) checksum (4) body
//	message time (varint), then length (varint) and bytes of partition, meta, message
//
// The nonce is drawn for each file, so that no message can hold what looks like a frame. Numbers are little endian; checksums are CRC-32C of all
// that stands before them in the header, and of the whole frame but themselves.
const (
	magic          = "LEATLOG1"
	headerBytes    = 28
	frameBytes     = 28
	maxRecordBytes = 1 << 30
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	little     = binary.LittleEndian
	errRecord  = errors.New("a message is damaged")
)

// nonce marks the frames of one file.
type nonce [8]byte

func appendHeader(dst []byte, n nonce, first int64) []byte {
	begin := len(dst)
	dst = append(append(dst, magic...), n[:]...)
	dst = little.AppendUint64(dst, uint64(first))
	return little.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func parseHeader(b []byte) (n nonce, first int64, ok bool) {
	if len(b) < headerBytes || string(b[:8]) != magic || little.Uint32(b[24:]) != crc32.Checksum(b[:24], castagnoli) {
		return n, 0, false
	}
	return nonce(b[8:16]), int64(little.Uint64(b[16:])), true
}

// appendFrame appends the head of a frame; its body follows.
func appendFrame(dst []byte, n nonce, first int64, count int, body []byte) []byte {
	begin := len(dst)
	dst = append(dst, n[:]...)
	dst = little.AppendUint32(dst, uint32(len(body)))
	dst = little.AppendUint32(dst, uint32(count))
	dst = little.AppendUint64(dst, uint64(first))
	return little.AppendUint32(dst, crc32.Update(crc32.Checksum(dst[begin:], castagnoli), castagnoli, body))
}

// frame is the head of a frame.
type frame struct {
	length, count int
	first         int64
	sum           uint32
	head          uint32 // checksum of what stands before sum
}

func (f frame) end() int64 { return f.first + int64(f.count) }

// holds reports whether that is the body of the frame.
func (f frame) holds(body []byte) bool { return crc32.Update(f.head, castagnoli, body) == f.sum }

// parseFrame reads the head of a frame; ok is false where none of that file begins.
func parseFrame(b []byte, n nonce) (f frame, ok bool) {
	if len(b) < frameBytes || !bytes.Equal(b[:8], n[:]) {
		return f, false
	}
	f = frame{length: int(little.Uint32(b[8:])), count: int(little.Uint32(b[12:])), first: int64(little.Uint64(b[16:])), sum: little.Uint32(b[24:]),
		head: crc32.Checksum(b[:24], castagnoli)}
	return f, f.count > 0 && f.first >= 0 && f.end() > f.first
}

func recordSize(partition string, meta, message []byte) int {
	return 4*binary.MaxVarintLen32 + len(partition) + len(meta) + len(message)
}

func appendRecord(dst []byte, partition string, time int64, meta, message []byte) []byte {
	dst = binary.AppendVarint(dst, time)
	dst = append(binary.AppendUvarint(dst, uint64(len(partition))), partition...)
	dst = append(binary.AppendUvarint(dst, uint64(len(meta))), meta...)
	return append(binary.AppendUvarint(dst, uint64(len(message))), message...)
}

// parseRecord reads the message that b begins with; what it returns are parts of b.
func parseRecord(b []byte) (e Entry, partition, rest []byte, err error) {
	time, n := binary.Varint(b)
	if n <= 0 {
		return e, nil, nil, errRecord
	}
	e.Time, b = time, b[n:]
	for _, to := range []*[]byte{&partition, &e.Meta, &e.Message} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return e, nil, nil, errRecord
		}
		end := n + int(length)
		*to, b = b[n:end:end], b[end:]
	}
	return e, partition, b, nil
}
