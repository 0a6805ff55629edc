package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUpToDate(t *testing.T) {
	const root = "../../.."
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not as it would be generated now: run \"make gen\"", name)
		}
	}
}
