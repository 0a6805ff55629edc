package models

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// maxBytes is what one model may add to the binary, all its files together.
const maxBytes = 2_000_000

func TestNames(t *testing.T) {
	want := []string{"clothing", "machine-failure", "review-sentiment"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
}

func TestEachModelIsWhole(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			folder, err := fs.Sub(FS(), name)
			if err != nil {
				t.Fatal(err)
			}
			if size := bytesIn(t, folder); size > maxBytes {
				t.Errorf("%d bytes, want at most %d", size, maxBytes)
			}
			if _, err := fs.Stat(folder, "model.onnx"); err != nil {
				t.Error(err)
			}
			testConfig(t, folder)
			testCard(t, folder)
		})
	}
}

func bytesIn(t *testing.T, folder fs.FS) (total int64) {
	t.Helper()
	err := fs.WalkDir(folder, ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func testConfig(t *testing.T, folder fs.FS) {
	t.Helper()
	text, err := fs.ReadFile(folder, "config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Leat    struct{ Task string }
		Labels  map[string]string `json:"id2label"`
		Numbers map[string]int    `json:"label2id"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if config.Leat.Task == "" || len(config.Labels) < 2 || len(config.Labels) != len(config.Numbers) {
		t.Errorf("config.json names task %q, %d labels and %d numbers of labels", config.Leat.Task, len(config.Labels), len(config.Numbers))
	}
}

// testCard looks for what a reader of a card must find.
func testCard(t *testing.T, folder fs.FS) {
	t.Helper()
	card, err := fs.ReadFile(folder, "README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"license:", "pipeline_tag:", "## Data", "## Figures", "never saw", "## Limits", "## Use", "reference/train_"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card lacks %q", want)
		}
	}
}
