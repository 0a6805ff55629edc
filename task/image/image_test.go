package image_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	stdimage "image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/task/image"
)

// pixelsOf reads a PNG that Pillow wrote, which holds shades of grey or colours without transparency.
func pixelsOf(t *testing.T, file string) *image.Image {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := &image.Image{Width: m.Bounds().Dx(), Height: m.Bounds().Dy(), Channels: 3}
	switch m := m.(type) {
	case *stdimage.Gray:
		out.Channels = 1
		for y := range out.Height {
			out.Pix = append(out.Pix, m.Pix[y*m.Stride:y*m.Stride+out.Width]...)
		}
	case *stdimage.RGBA:
		for i := 0; i < len(m.Pix); i += 4 {
			out.Pix = append(out.Pix, m.Pix[i:i+3]...)
		}
	default:
		t.Fatalf("%s is a %T", file, m)
	}
	return out
}

// TestDecode wants the very pixels that Pillow gives, from lossy files too.
func TestDecode(t *testing.T) {
	files, err := filepath.Glob("testdata/*.rgb.png")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".rgb.png")
		for mode, suffix := range map[image.Mode]string{image.RGB: ".rgb.png", image.Grey: ".l.png"} {
			t.Run(filepath.Base(name)+suffix, func(t *testing.T) {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				got, err := image.Decode(data, mode, image.MaxPixels)
				if err != nil {
					t.Fatal(err)
				}
				want := pixelsOf(t, name+suffix)
				if got.Width != want.Width || got.Height != want.Height || got.Channels != want.Channels {
					t.Fatalf("%d×%d×%d, wanted %d×%d×%d", got.Width, got.Height, got.Channels, want.Width, want.Height, want.Channels)
				}
				most, mean := difference(got, want)
				if most > 0 {
					t.Errorf("the greatest difference is %d, the mean %.3f", most, mean)
				}
			})
		}
	}
}

func difference(a, b *image.Image) (most int, mean float64) {
	sum := 0
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		if d < 0 {
			d = -d
		}
		most, sum = max(most, d), sum+d
	}
	return most, float64(sum) / float64(len(a.Pix))
}

// TestResize wants the very bytes that Pillow gives, for every filter, up and down.
func TestResize(t *testing.T) {
	text, err := os.ReadFile("testdata/resize.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		Filter image.Filter
		Size   [2]int
		Mode   string
		SHA256 string
		First  []int
	}
	if err := json.Unmarshal(text, &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		source := pixelsOf(t, map[string]string{"RGB": "testdata/png-rgb.png.rgb.png", "L": "testdata/png-rgb.png.l.png"}[r.Mode])
		got := source.Resize(r.Size[0], r.Size[1], r.Filter)
		sum := sha256.Sum256(got.Pix)
		if hex.EncodeToString(sum[:]) != r.SHA256 {
			t.Errorf("filter %d to %v, %s: begins with %v, wanted %v", r.Filter, r.Size, r.Mode, got.Pix[:min(6, len(got.Pix))], r.First)
		}
	}
}

// TestBad wants an error that says what was wanted, and none of the memory of a bomb.
func TestBad(t *testing.T) {
	whole, err := os.ReadFile("testdata/jpeg-420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	bomb := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x9c\x40\x00\x00\x9c\x40\x08\x02\x00\x00\x00"), 0x7c, 0x3a, 0x67, 0xb5)
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":   {nil, "not an image: wanted JPEG, PNG, GIF, BMP or WebP, found nothing"},
		"text":      {[]byte("hello"), "found text/plain; charset=utf-8"},
		"cut off":   {whole[:len(whole)/2], "the image cannot be read: "},
		"bomb":      {bomb, ""},
		"a PNG cut": {bomb[:20], "the image cannot be read"},
	} {
		_, err := image.Decode(tt.data, image.RGB, 1<<20)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, wanted %q", name, err, tt.want)
		}
	}
	if _, err := image.Decode(whole, image.RGB, 64*48-1); err == nil || !strings.Contains(err.Error(), "64×48 pixels, which is more than the 3071") {
		t.Errorf("too many pixels: %v", err)
	}
}

// TestCut wants an error wherever a JPEG ends early.
func TestCut(t *testing.T) {
	for _, name := range []string{"jpeg-420.jpg", "jpeg-odd-444.jpg", "jpeg-progressive.jpg", "jpeg-restart.jpg", "jpeg-three-scans.jpg"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if _, err := image.Decode(whole[:n], image.RGB, image.MaxPixels); err == nil {
				t.Errorf("%s of %d bytes, cut to %d, is an image", name, len(whole), n)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*")
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && len(b) < 4096 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := image.Decode(data, image.RGB, 1<<16)
		if err == nil && len(m.Pix) != m.Width*m.Height*3 {
			t.Errorf("%d bytes for %d×%d pixels", len(m.Pix), m.Width, m.Height)
		}
	})
}

func FuzzNewProcessor(f *testing.F) {
	f.Add([]byte(vit))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := image.NewProcessor(data)
		if err != nil {
			return
		}
		m := &image.Image{Width: 3, Height: 2, Channels: 3, Pix: make([]uint8, 18)}
		pixels, w, h, err := p.Prepare(m)
		if err == nil && len(pixels) != w*h*p.Channels() {
			t.Errorf("%d numbers for %d×%d pixels", len(pixels), w, h)
		}
	})
}

const vit = `{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": 32, "width": 24}, "resample": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`

func TestProcessor(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"unknown":   {`{"image_processor_type": "DonutImageProcessor"}`, `found "DonutImageProcessor"`},
		"no size":   {`{"image_processor_type": "ViTImageProcessor", "size": {}}`, "size: wanted edges from 1 to 8192, found {}"},
		"too large": {`{"image_processor_type": "ViTImageProcessor", "size": 100000}`, "size: wanted edges from 1 to 8192"},
		"means":     {`{"image_processor_type": "ViTImageProcessor", "size": 8, "image_mean": [1], "image_std": [1]}`, "image_mean: wanted 3 numbers"},
		"zero":      {`{"image_processor_type": "ViTImageProcessor", "size": 8, "image_mean": 0.5, "image_std": 0}`, "image_std: wanted numbers other than 0"},
		"filter":    {`{"image_processor_type": "ViTImageProcessor", "size": 8, "resample": 9}`, "resample: wanted a filter of Pillow's"},
	} {
		if _, err := image.NewProcessor([]byte(tt.config)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, wanted %q", name, err, tt.want)
		}
	}
	p, err := image.NewProcessor([]byte(vit))
	if err != nil {
		t.Fatal(err)
	}
	pixels, w, h, err := p.Prepare(&image.Image{Width: 1, Height: 1, Channels: 3, Pix: []uint8{0, 255, 51}})
	if err = errors.Join(err); err != nil || w != 24 || h != 32 || len(pixels) != 3*24*32 {
		t.Fatal(err, w, h, len(pixels))
	}
	for c, want := range []float32{-1, 1, -0.6} {
		if d := pixels[c*24*32] - want; d > 1e-6 || d < -1e-6 {
			t.Errorf("channel %d is %v, wanted %v", c, pixels[c*24*32], want)
		}
	}
}

// photo returns the JPEG that LEAT_JPEG names, or one of 640×480 pixels with edges, gradients and some texture.
func photo(b *testing.B) []byte {
	if file := os.Getenv("LEAT_JPEG"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	rng := rand.New(rand.NewPCG(1, 2))
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, 640, 480))
	for i := range m.Pix {
		x, y, c := i/4%640, i/4/640, i%4
		m.Pix[i] = uint8(90 + x/10 + y/12 + 40*((x/37+y/23+c)%2) + rng.IntN(12))
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkJPEG prepares a photo of 640×480 for a model of 224×224, as ViT's processor does: all of it, and its two halves.
func BenchmarkJPEG(b *testing.B) {
	data := photo(b)
	p, err := image.NewProcessor([]byte(`{"size": 224, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`))
	if err != nil {
		b.Fatal(err)
	}
	m, err := image.Decode(data, image.RGB, image.MaxPixels)
	if err != nil {
		b.Fatal(err)
	}
	tensor := make([]float32, 0, 3*224*224)
	decode := func() (*image.Image, error) { return image.Decode(data, image.RGB, image.MaxPixels) }
	for name, step := range map[string]func() error{
		"decode":  func() error { _, err := decode(); return err },
		"prepare": func() error { _, err := p.Append(tensor, m); return err },
		"all": func() error {
			m, err := decode()
			if err == nil {
				_, err = p.Append(tensor, m)
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
