package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/leat-project/leat"
)

// fences are packages that only some folders may import, tests aside: a room that knows a library can leave it.
var fences = map[string][]string{
	module + "/connector/all":         {"cmd/leat", "cmd/internal"},
	"go.yaml.in/yaml":                 {"pipeline"},
	"github.com/nikolalohinski/gonja": {"pipeline"},
	"github.com/spf13/cobra":          {"cmd"},
	"golang.org/x/term":               {"cmd"},
	"github.com/parquet-go":           {"connector/parquet"},
	"github.com/hamba/avro":           {"connector/avro"},
	module + "/infer/onnx":            {"infer/local", "cmd/leat"},
	"github.com/ebitengine/purego":    {"infer/onnx"},
	"google.golang.org/protobuf":      {"model", "connector/message"},
	"github.com/jackc/pgx":            {"connector/postgres", "cmd/internal"},
	"github.com/twmb/franz-go":        {"connector/kafka", "connector/message", "cmd/internal"},
	"github.com/eclipse/paho":         {"connector/mqtt"},
	"github.com/nats-io":              {"connector/nats"},
	"github.com/shirou/gopsutil":      {"connector/hostmetrics"},
	"github.com/prometheus":           {"cmd/leat"},
	"go.opentelemetry.io":             {"cmd/leat"},
	"C":                               {},
}

// file is one source file of a room and what it imports.
type file struct {
	path, room string
	imports    []string
}

func sources(t *testing.T) []file {
	t.Helper()
	var out []file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "tmp") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				return filepath.SkipDir // a peer of bench's: a module of its own, nothing of which is in leat
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		room, _, nested := strings.Cut(rel, "/")
		if !nested {
			room = ""
		}
		f := file{path: rel, room: room}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rules(t *testing.T) *Rules {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(string(text))
	if err != nil {
		t.Fatalf("docs/ARCHITECTURE.md: %v", err)
	}
	return r
}

// TestRooms compares the picture with the folders that hold source files.
func TestRooms(t *testing.T) {
	r := rules(t)
	have := map[string]string{}
	for _, f := range sources(t) {
		have[f.room] = f.path
	}
	for _, room := range r.Rooms {
		if have[room] == "" {
			t.Errorf("docs/ARCHITECTURE.md: there is no room %q", room)
		}
	}
	for room, path := range have {
		if _, known := r.May[room]; !known && room != "" {
			t.Errorf("%s: the room %q is not in docs/ARCHITECTURE.md", path, room)
		}
	}
}

// TestImports compares the picture with the imports of every file.
func TestImports(t *testing.T) {
	r := rules(t)
	for _, f := range sources(t) {
		for _, imported := range f.imports {
			if rest, ours := strings.CutPrefix(imported, module+"/"); ours {
				to, _, _ := strings.Cut(rest, "/")
				if !r.Allowed(f.room, to) {
					t.Errorf("%s: the room %q may not import %q; docs/ARCHITECTURE.md says what it may", f.path, f.room, to)
				}
			}
			for fenced, folders := range fences {
				if (imported == fenced || strings.HasPrefix(imported, fenced+"/")) && !within(f.path, folders) {
					t.Errorf("%s: only %v may import %q", f.path, folders, imported)
				}
			}
		}
	}
}

func within(path string, folders []string) bool {
	for _, f := range folders {
		if strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

func TestParse(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no block", "nothing", "no block of rooms found"},
		{"open block", "```rooms\na:\n", "no block of rooms found"},
		{"upward", "```rooms\na: b\nb:\n```", `room "a" may import "b", which does not stand above it`},
		{"twice", "```rooms\na:\na:\n```", `room "a" stands there twice`},
		{"no colon", "```rooms\na\n```", `wanted "room: rooms", found "a"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse(test.text); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	r, err := Parse("```rooms\ninternal:\na:\nb: a\nc: *\n```")
	if err != nil {
		t.Fatal(err)
	}
	allowed := []struct {
		from, to string
		want     bool
	}{{"a", "b", false}, {"b", "a", true}, {"a", "a", true}, {"a", "internal", true}, {"c", "b", true}, {"internal", "a", false}}
	for _, test := range allowed {
		if got := r.Allowed(test.from, test.to); got != test.want {
			t.Errorf("%s imports %s: got %v", test.from, test.to, got)
		}
	}
}
