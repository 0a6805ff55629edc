// Package models holds the models that come with leat, as files in Hugging Face layout, one folder each.
//
// They are small and really trained, and named without a path, as in --model review-sentiment. Each folder has a card,
// README.md, that tells the data, the licence, the accuracy on rows that training never saw, and the limits. The scripts
// reference/train_*.py make them.
package models

import (
	"embed"
	"io/fs"
)

//go:embed clothing machine-failure review-sentiment
var files embed.FS

// FS returns the files of all models, a folder named after each at its root. The files are part of the binary: nothing
// is read from disk.
func FS() fs.FS { return files }

// Names returns the names of the models, sorted.
func Names() []string {
	folders, _ := files.ReadDir(".") // An embedded root can always be read.
	names := make([]string, len(folders))
	for i, folder := range folders {
		names[i] = folder.Name()
	}
	return names
}
