package file

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// tree makes files, each holding a line, under a new folder, which becomes the working directory.
func tree(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("1\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	tree(t, "a.json", "b.json", "b.csv", "[x].json", ".hidden.json", ".leat-0123.part", "d/a.json", "d/e/a.json", "d/e/b.csv")
	tests := []struct {
		pattern string
		want    string // joined by spaces
	}{
		{"a.json", "a.json"},
		{"./a.json", "./a.json"},
		{"*.json", ".hidden.json [x].json a.json b.json"},
		{"[ab].json", "a.json b.json"},
		{"[!b].json", "a.json"},
		{"[a-b].*", "a.json b.csv b.json"},
		{"?.csv", "b.csv"},
		{"[x].json", "[x].json"},
		{"[[]x].json", "[x].json"},
		{"*", ".hidden.json [x].json a.json b.csv b.json"},
		{"*/*.json", "d/a.json"},
		{"d/*", "d/a.json"},
		{"d/**", "d/a.json d/e/a.json d/e/b.csv"},
		{"d**.json", "d/a.json d/e/a.json"},
		{"**/b.csv", "d/e/b.csv"},
		{"**b.csv", "b.csv d/e/b.csv"},
		{"d/?/a.json", "d/e/a.json"},
		{"./d/e/*", "./d/e/a.json ./d/e/b.csv"},
	}
	for _, test := range tests {
		got, err := Find("path", test.pattern)
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("Find(%q) = %v, %v; want %s", test.pattern, got, err, test.want)
		}
	}
}

func TestFindNothing(t *testing.T) {
	tree(t, "data/events.json")
	tests := []struct {
		pattern string
		code    diag.Code
		text    string // a part of text and hint
	}{
		{"", diag.BadValue, "empty"},
		{"data/event.json", diag.NoSuchFile, `Did you mean "data/events.json"?`},
		{"dota/events.json", diag.NoSuchFile, `There is no folder "dota"`},
		{"dota/**/*.json", diag.NoSuchFile, `There is no folder "dota"`},
		{"data/*.csv", diag.NoSuchFile, "no file matches"},
		{"data", diag.BadFile, `"data/*"`},
		{"[b-a].json", diag.BadValue, "is not a pattern"},
	}
	for _, test := range tests {
		_, err := Find("path", test.pattern)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != "path" || p.Code != test.code || !strings.Contains(p.Text+p.Hint, strings.Trim(test.text, `"*/`)) {
			t.Errorf("Find(%q): %#v; want %s and %q", test.pattern, err, test.code, test.text)
		}
	}
}

func TestFindUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	tree(t, "a.json", "b.json")
	if err := os.Chmod("b.json", 0); err != nil {
		t.Fatal(err)
	}
	var p *catalog.Problem
	if _, err := Find("path", "*.json"); !errors.As(err, &p) || !strings.Contains(p.Text, "b.json") {
		t.Errorf("a match that cannot be read: %v", err)
	}
}

func TestLinksUnderDeepGlobs(t *testing.T) {
	tree(t, "a/x.json")
	if err := os.Symlink("..", "a/up"); err != nil {
		t.Skip(err)
	}
	got, err := Find("path", "**.json")
	if err != nil || !slices.Equal(got, []string{"a/x.json"}) {
		t.Errorf("Find = %v, %v", got, err)
	}
}

func TestCompressionOf(t *testing.T) {
	tests := map[string]Compression{
		"a.json": None, "a.json.gz": Gzip, "a.zst": Zstd, "a.bz2": Bzip2,
		"out.json.gz-00000-of-00001": Gzip, "out.zst-7-of-9": Zstd,
		"out.json-00000-of-00001": None, "gz-00000-of-00001": None, "a.gz-": None, "a.gz-00": None, "a.gz-of-3": None, "a.gz3-of-3": None,
	}
	for path, want := range tests {
		if got := Auto.Of(path); got != want {
			t.Errorf("Auto.Of(%q) = %s, want %s", path, got, want)
		}
	}
}
