package file

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

func TestList(t *testing.T) {
	tree(t, "b.jpg", "a.jpg", "[x].jpg", ".hidden", ".leat-0123.part", "d/c.jpg", "d/e/f.jpg", "d/e-g.jpg", "d/.h/i.jpg", "d[1]/k.jpg", "none/.hidden")
	for link, target := range map[string]string{"link": "d", "d/circle": "..", "d/file": "../a.jpg", "d/dangling": "nothing"} {
		if err := os.Symlink(target, link); err != nil {
			t.Skip("SKIPPED: no symbolic links here:", err)
		}
	}
	for path, want := range map[string]string{
		"a.jpg":      "a.jpg",
		".hidden":    ".hidden",
		"[x].jpg":    "[x].jpg",
		"d/dangling": "d/dangling",
		"*.jpg":      "[x].jpg a.jpg b.jpg",
		"d/*":        "d/c.jpg d/dangling d/e-g.jpg d/file",
		"d":          "d/c.jpg d/dangling d/e-g.jpg d/e/f.jpg d/file",
		"d/":         "d/c.jpg d/dangling d/e-g.jpg d/e/f.jpg d/file",
		"./d/e":      "d/e/f.jpg",
		"d[1]":       "d[1]/k.jpg",
		"link":       "link/c.jpg link/dangling link/e-g.jpg link/e/f.jpg link/file",
		".":          "[x].jpg a.jpg b.jpg d/c.jpg d/dangling d/e-g.jpg d/e/f.jpg d/file d[1]/k.jpg",
		"d/**":       "d/.h/i.jpg d/c.jpg d/dangling d/e-g.jpg d/e/f.jpg d/file",
	} {
		got, err := List("path", path)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("List(%q)\n got %s, %v\nwant %s", path, strings.Join(got, " "), err, want)
		}
	}
	for path, want := range map[string]struct {
		code diag.Code
		text string
		hint string
	}{
		"":       {diag.BadValue, "the path is empty", "Name a file, a folder, or a pattern such as data/*.jpg."},
		"none":   {diag.NoSuchFile, `no file is in the folder "none"`, "Hidden files are left out; none/** finds them, too."},
		"c.jpg":  {diag.NoSuchFile, `no file "c.jpg"`, `Did you mean "a.jpg"?`},
		"*.png":  {diag.NoSuchFile, `no file matches "*.png"`, "The folder is there, but no file in it has such a name."},
		"x/*":    {diag.NoSuchFile, `no file matches "x/*"`, `There is no folder "x".`},
		"[b-a]?": {diag.BadValue, `"[b-a]?" is not a pattern`, "Write [[] for a bracket that is meant as such."},
	} {
		_, err := List("key", path)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != "key" || p.Code != want.code || !strings.HasPrefix(p.Text, want.text) || p.Hint != want.hint {
			t.Errorf("List(%q) = %+v, want %+v", path, p, want)
		}
	}
}

// TestListUnlisted returns a folder that cannot be listed, so that it is not passed over in silence.
func TestListUnlisted(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIPPED: permissions do not hold for root")
	}
	tree(t, "d/a", "d/secret/b")
	if err := os.Chmod("d/secret", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod("d/secret", 0o700) })
	if got, err := List("path", "d"); err != nil || strings.Join(got, " ") != "d/a d/secret" {
		t.Errorf("List = %v, %v", got, err)
	}
	if _, err := List("path", "d/secret"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
}
