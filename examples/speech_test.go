package examples_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// unpack writes the WAV files of an archive into a folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	packed, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	decoder, err := zstd.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for r := tar.NewReader(decoder); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if path.Ext(h.Name) != ".wav" {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(h.Name)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wav is a sound file of one channel and 16 bits.
func wav(rate uint32, samples []int16) []byte {
	var b bytes.Buffer
	size := uint32(2 * len(samples))
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, size+36)
	b.WriteString("WAVEfmt ")
	binary.Write(&b, binary.LittleEndian, struct {
		Size              uint32
		Format, Channels  uint16
		Rate, BytesPerSec uint32
		Align, Bits       uint16
	}{16, 1, 1, rate, 2 * rate, 2, 16})
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, size)
	binary.Write(&b, binary.LittleEndian, samples)
	return b.Bytes()
}

// TestSpeechSegments wants the segments that a plain loop over the chunks in Python found, once, with onnxruntime 1.31.1, the
// same model and the same rule: 36 segments in 14 clips. There no probability lay closer to 0.5 than 0.0039. The four
// clips that are made here have no speech in them, or cannot be heard.
func TestSpeechSegments(t *testing.T) {
	model := realFile(t, "onnx", "models", "silero_vad.onnx")
	clips := t.TempDir()
	unpack(t, realFile(t, "speech", "asr-samples", "asr-samples.tar.zst"), clips)
	hum := make([]int16, 3*16000) // a hum of the mains is no speech
	for i := range hum {
		hum[i] = int16(2000 * math.Sin(2*math.Pi*50*float64(i)/16000))
	}
	for name, content := range map[string][]byte{
		"silence.wav":   wav(16000, make([]int16, 3*16000)),
		"hum.wav":       wav(16000, hum),
		"telephone.wav": wav(8000, make([]int16, 8000)),
		"broken.wav":    []byte("RIFF\x00\x00"),
	} {
		if err := os.WriteFile(filepath.Join(clips, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := runFile(t, "speech_segments.yaml", "segments", map[string]any{"input": clips, "model": model})

	got := map[string][][2]float64{}
	speech := 0.0
	for _, s := range rows[struct {
		Clip       string
		Start, End float64
	}](t, dir+"/segments") {
		clip := strings.TrimSuffix(filepath.Base(s.Clip), ".wav")
		got[clip] = append(got[clip], [2]float64{s.Start, s.End})
		speech += s.End - s.Start
	}
	want := map[string][][2]float64{
		"cards-001":     {{0.224, 0.992}},
		"cards-002":     {{0.288, 1.76}},
		"cards-003":     {{0.128, 1.344}},
		"cards-004":     {{0.32, 1.312}},
		"cards-005":     {{0.224, 3.296}},
		"goforward":     {{0.512, 2.24}},
		"jfk":           {{0.352, 2.24}, {3.296, 4.384}, {5.408, 7.616}, {8.192, 10.592}, {10.912, 11.008}},
		"librivox-0870": {{0.352, 6.88}},
		"librivox-0890": {{0.288, 5.152}},
		"librivox-0920": {{0.352, 5.856}},
		"sb-spk1_snt1":  {{0.064, 2.88}},
		"sb-spk1_snt2":  {{0.032, 3.168}},
		"silero-vad-test": {{0.032, 2.016}, {2.688, 4.64}, {4.992, 6.848}, {9.344, 13.28}, {13.568, 15.072}, {15.36, 15.84},
			{16.32, 17.888}, {18.4, 19.584}, {20.352, 37.6}, {37.984, 38.912}, {39.904, 43.264}, {43.648, 44.608},
			{45.056, 46.752}, {48.864, 49.952}, {51.104, 54.208}, {54.496, 59.552}, {59.904, 60}},
		"vosk-digits": {{0.896, 2.656}, {3.968, 4.992}, {6.272, 7.936}},
	}
	for clip, segments := range got {
		slices.SortFunc(segments, func(a, b [2]float64) int { return int(math.Copysign(1, a[0]-b[0])) })
		if fmt.Sprint(segments) != fmt.Sprint(want[clip]) {
			t.Errorf("%s: %v, want %v", clip, segments, want[clip])
		}
	}
	for clip := range want {
		if got[clip] == nil {
			t.Errorf("%s: no segment", clip)
		}
	}
	// A segment holds the short pauses within it, so the share is above the 77 % of chunks that are speech.
	if speech < 91 || speech > 93 {
		t.Errorf("%.1f s of speech, want 92.2 of 116.2", speech)
	}
	rejects := lines(t, dir+"/rejects")
	if len(rejects) != 2 || !strings.Contains(rejects[0], "broken.wav") || !strings.Contains(rejects[1], "telephone.wav") {
		t.Errorf("rejects: %q", rejects)
	}
}
