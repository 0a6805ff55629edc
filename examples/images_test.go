package examples_test

import (
	"encoding/csv"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writePNG writes a grey image of 28 × 28 pixels, a byte each.
func writePNG(t *testing.T, name string, pixels []byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, &image.Gray{Pix: pixels, Stride: 28, Rect: image.Rect(0, 0, 28, 28)}); err != nil {
		t.Fatal(err)
	}
}

// table reads a CSV output into a map from the first field to the second.
func table(t *testing.T, prefix string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(prefix + "-00000-of-00001")
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range records[1:] {
		out[strings.TrimSuffix(filepath.Base(r[0]), ".png")] = r[1]
	}
	return out
}

// TestClassifyImages draws a pair of trousers, and has a file that is no image.
func TestClassifyImages(t *testing.T) {
	images := t.TempDir()
	trousers := make([]byte, 28*28)
	for y := range 28 {
		for x := range 28 {
			leg := x >= 8 && x < 13 || x >= 15 && x < 20
			waist := y < 8 && x >= 8 && x < 20
			if leg || waist {
				trousers[y*28+x] = 200
			}
		}
	}
	writePNG(t, filepath.Join(images, "trousers.png"), trousers)
	if err := os.WriteFile(filepath.Join(images, "notes.txt"), []byte("from the shop"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := runFile(t, "classify_images.yaml", "labels", map[string]any{"input": images})
	labels, rejects := table(t, dir+"/labels"), table(t, dir+"/rejects")
	if len(labels) != 1 || labels["trousers"] != "Trouser" || len(rejects) != 1 || !strings.Contains(rejects["notes.txt"], "image") {
		t.Errorf("labels: %v, to look at: %v", labels, rejects)
	}
}

// TestClassifyImagesReal shows real images to the model, most of which it has seen in training; on others it is right for
// 94 % as its card says, and of those that it is sure about for more.
func TestClassifyImagesReal(t *testing.T) {
	pixels := gunzip(t, realFile(t, "images", "fashion-mnist", "train-images-idx3-ubyte.gz"))[16:]
	kinds := gunzip(t, realFile(t, "images", "fashion-mnist", "train-labels-idx1-ubyte.gz"))[8:]
	names := []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}
	const size, count = 28 * 28, 200
	images := t.TempDir()
	for i := range count {
		writePNG(t, filepath.Join(images, fmt.Sprintf("%d.png", i)), pixels[i*size:(i+1)*size])
	}
	dir := runFile(t, "classify_images.yaml", "labels", map[string]any{"input": images})
	labels, doubts := table(t, dir+"/labels"), table(t, dir+"/rejects")
	right, rightAtAll := 0, 0
	for i := range count {
		name, want := fmt.Sprint(i), names[kinds[i]]
		if labels[name] == want {
			right++
		}
		if labels[name] == want || strings.HasPrefix(doubts[name], want+" or ") {
			rightAtAll++
		}
	}
	t.Logf("%d images: right %d; sure about %d, of which right %d", count, rightAtAll, len(labels), right)
	if len(labels)+len(doubts) != count || rightAtAll*100 <= 90*count || right*100 <= 95*len(labels) || len(labels) < 150 {
		t.Errorf("%d images: right %d; sure about %d, of which right %d", count, rightAtAll, len(labels), right)
	}
}
