package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Input is what a source of files reads: the files of a pattern, or those that come for ever, or standard input.
type Input struct {
	Key     string // of the configuration, for problems
	Pattern string
	Paths   []string      // what is there when the pipeline is checked
	Every   time.Duration // how often new files are looked for; 0: only Paths are read
	folders bool          // a folder stands for the files below it
}

// WatchField is the key of sources that look for new files.
func WatchField() catalog.Field {
	return catalog.Field{Name: "watch", Type: catalog.Length,
		Doc: "Look for new files so often, for ever. A file is read once it has not changed for so long."}
}

// WatchDoc says what WatchField does.
const WatchDoc = `**Watching**: with watch, files that match are read as they come, each once, those of one look in the order of their names. Names that begin with . or _ or end in
.tmp or .part are passed over, and a file that has changed within that time is left for the next look: write elsewhere and rename, and it is whole. A file that
changes after it was read is not read again, and told once; one that is replaced after it was gone is new. A new file must have the schema of those before.`

// FindInput reads the keys path and watch. The error is *catalog.Problems.
func FindInput(config map[string]any, standard bool) (Input, error) {
	return findInput(config, standard, false, Find)
}

// ListInput is FindInput of a source of which a folder stands for the files below it.
func ListInput(config map[string]any) (Input, error) { return findInput(config, false, true, List) }

func findInput(config map[string]any, standard, folders bool, find func(key, path string) ([]string, error)) (Input, error) {
	in := Input{Key: "path", folders: folders}
	in.Pattern, _ = config["path"].(string)
	every, err := catalog.Duration(config, "watch", 0)
	if err != nil {
		return in, err
	}
	_, watched := config["watch"]
	if watched = watched && config["watch"] != nil; watched && every <= 0 {
		return in, &catalog.Problem{Key: "watch", Code: diag.BadDuration, Text: "wanted some time for \"watch\", found none", Hint: "Write 5s."}
	}
	if in.Pattern == Dash && standard {
		if watched {
			return in, &catalog.Problem{Key: "watch", Code: diag.BadValue, Text: "standard input is read as it comes, there is nothing to watch", Hint: "Leave \"watch\" out."}
		}
		return in, nil
	}
	in.Every = every
	in.Paths, err = find(in.Key, in.Pattern)
	if !watched {
		return in, err
	}
	var p *catalog.Problem
	if errors.As(err, &p) && p.Code == diag.NoSuchFile && in.Pattern != "" {
		err = nil // it may come
	}
	in.Paths = slices.DeleteFunc(in.Paths, passedOver)
	return in, err
}

// passedOver reports whether the name of a file says that it is not whole, or nobody's business.
func passedOver(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part")
}

// Standard reports whether standard input is read.
func (in Input) Standard() bool { return in.Pattern == Dash && in.Paths == nil }

// Unbounded reports whether the input may not end.
func (in Input) Unbounded() bool { return in.Standard() || in.Every > 0 }

// Guarantee is what the input promises in a stream: standard input is gone once it is read.
func (in Input) Guarantee() catalog.Guarantee {
	if in.Standard() {
		return catalog.AtMostOnce
	}
	return catalog.ExactlyOnce
}

// Sampled is the problem of inferring a schema from the input, where there is nothing to infer one from.
func (in Input) Sampled(hint string) error {
	switch {
	case in.Standard():
		return &catalog.Problem{Key: in.Key, Code: diag.CannotInfer, Text: "no schema can be inferred from standard input: it can be read only once", Hint: hint}
	case len(in.Paths) == 0:
		return &catalog.Problem{Key: in.Key, Code: diag.CannotInfer, Text: fmt.Sprintf("no schema can be inferred: no file matches %q yet", in.Pattern), Hint: hint}
	}
	return nil
}

// bytes returns how much there is to read, or -1 where that is not known.
func (in Input) bytes() int64 {
	if in.Unbounded() {
		return -1
	}
	total := int64(0)
	for _, p := range in.Paths {
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			return -1
		}
		total += info.Size()
	}
	return total
}

// look returns the files that match now, whether or not they are whole.
func (in Input) look() ([]string, error) {
	find := glob
	if in.folders {
		find = func(pattern string) ([]string, error) { return List(in.Key, pattern) }
	} else if !strings.ContainsAny(in.Pattern, magic) {
		return []string{in.Pattern}, nil
	}
	paths, err := find(in.Pattern)
	var p *catalog.Problem
	if errors.As(err, &p) && p.Code == diag.NoSuchFile {
		err = nil
	}
	return slices.DeleteFunc(paths, passedOver), err
}

// WithoutResume hides that a reader could begin anywhere, as that of standard input cannot.
func WithoutResume(r catalog.Reader) catalog.Reader {
	if n, ok := r.(catalog.Noter); ok {
		return struct {
			catalog.Reader
			catalog.Noter
		}{r, n}
	}
	return struct{ catalog.Reader }{r}
}
