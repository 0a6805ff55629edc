package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// Version is that of the form of checkpoints. A release reads its own and the one before.
const Version = 1

// Checkpoint is one epoch.
type Checkpoint struct {
	Version  int               `json:"version"`
	Job      string            `json:"job"`
	Epoch    int64             `json:"epoch"`
	Taken    time.Time         `json:"taken"`
	Program  string            `json:"program"` // that wrote it
	Parts    []Part            `json:"parts,omitempty"`
	Sources  []Source          `json:"sources,omitempty"`
	Sinks    []Sink            `json:"sinks,omitempty"`
	Restored string            `json:"restored,omitempty"` // the savepoint that was last gone back to
	Counters map[string]int64  `json:"counters,omitempty"` // rows since the first run, by node
	Notes    map[string]string `json:"notes,omitempty"`
}

// Part is the state of a transform.
type Part struct {
	Name      string `json:"name"`      // of the transform, and what of it
	Signature string `json:"signature"` // what must be the same for the state to fit
	Watermark int64  `json:"watermark"` // up to which windows have fired
	Data      []byte `json:"data,omitempty"`
	Files     []File `json:"files,omitempty"`
}

// File is a file of state, in the checkpoint's folder.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

// Source is where a source goes on.
type Source struct {
	Name      string            `json:"name"`
	Signature string            `json:"signature"`
	Positions map[string]string `json:"positions,omitempty"` // by partition
	Morsels   int64             `json:"morsels,omitempty"`   // of a source without positions: how many are done
	Ended     bool              `json:"ended,omitempty"`
}

// Sink is what a transactional sink has staged for the epoch.
type Sink struct {
	Name   string `json:"name"`
	Staged []byte `json:"staged,omitempty"`
}

// Part returns the part of that name, or nil.
func (c *Checkpoint) Part(name string) *Part {
	for i := range c.Parts {
		if c.Parts[i].Name == name {
			return &c.Parts[i]
		}
	}
	return nil
}

// Source returns the source of that name, or nil.
func (c *Checkpoint) Source(name string) *Source {
	for i := range c.Sources {
		if c.Sources[i].Name == name {
			return &c.Sources[i]
		}
	}
	return nil
}

// Bytes returns the size of the files of state.
func (c *Checkpoint) Bytes() (n int64) {
	for _, p := range c.Parts {
		n += int64(len(p.Data))
		for _, f := range p.Files {
			n += f.Bytes
		}
	}
	return n
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A manifest is the checkpoint as JSON and a last line with the checksum of all before it.
const checksumLine = "crc32c "

func (c *Checkpoint) encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the checkpoint: %w", err)
	}
	text = append(text, '\n')
	return fmt.Appendf(text, "%s%08x\n", checksumLine, crc32.Checksum(text, castagnoli)), nil
}

func decode(data []byte) (*Checkpoint, error) {
	at := bytes.LastIndex(data, []byte("\n"+checksumLine)) + 1
	if at <= 0 || !bytes.HasSuffix(data, []byte("\n")) {
		return nil, errors.New("it is cut off")
	}
	sum, err := strconv.ParseUint(string(data[at+len(checksumLine):len(data)-1]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(data[:at], castagnoli) {
		return nil, errors.New("it does not have its checksum")
	}
	var c Checkpoint
	if err := json.Unmarshal(data[:at], &c); err != nil {
		return nil, err
	}
	if c.Version < 1 || c.Version > Version {
		return nil, &VersionError{Found: c.Version, Program: c.Program}
	}
	return &c, nil
}

// VersionError is a checkpoint of a release that this one does not know.
type VersionError struct {
	Found   int
	Program string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("it is of version %d, written by leat %s; this leat reads version %d", e.Found, e.Program, Version)
}
