package image_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leat-project/leat/task/image"
)

// TestTensors wants the very numbers that the processors of transformers give from lossless pictures.
func TestTensors(t *testing.T) {
	text, err := os.ReadFile("testdata/tensors.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		Config json.RawMessage
		Image  string
		Shape  []int // channels, height, width
		SHA256 string
		At     []int
		Values []float32
	}
	if err := json.Unmarshal(text, &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		p, err := image.NewProcessor(r.Config)
		if err != nil {
			t.Errorf("%s: %v", r.Config, err)
			continue
		}
		data, err := os.ReadFile(filepath.Join("testdata", r.Image))
		if err != nil {
			t.Fatal(err)
		}
		m, err := image.Decode(data, p.Mode(), image.MaxPixels)
		if err != nil {
			t.Fatal(err)
		}
		pixels, width, height, err := p.Prepare(m)
		if err != nil {
			t.Errorf("%s: %v", r.Config, err)
			continue
		}
		if shape := []int{p.Channels(), height, width}; !slices.Equal(shape, r.Shape) {
			t.Errorf("%s: %s has shape %v, wanted %v", r.Config, r.Image, shape, r.Shape)
			continue
		}
		if w, h := p.Size(); w > 0 && (w != width || h != height) {
			t.Errorf("%s: %d×%d, and Size says %d×%d", r.Config, width, height, w, h)
		}
		if sum(pixels) != r.SHA256 {
			got := make([]float32, len(r.At))
			for i, at := range r.At {
				got[i] = pixels[at]
			}
			t.Errorf("%s: %s: found %v, wanted %v", r.Config, r.Image, got, r.Values)
		}
		two, err := p.Append([]float32{7}, m)
		if err != nil || two[0] != 7 || !slices.Equal(two[1:], pixels) {
			t.Errorf("%s: Append gives other numbers than Prepare: %v", r.Config, err)
		}
	}
}

// sum returns the SHA-256 of numbers as little-endian bytes.
func sum(numbers []float32) string {
	var b []byte
	for _, v := range numbers {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
