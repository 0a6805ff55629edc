package model_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/models"
)

// field writes a length-delimited field.
func field(num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// value is a ValueInfoProto of a tensor; -1 is a dimension called "batch".
func value(name string, dtype model.DType, shape ...int64) []byte {
	var dims []byte
	for _, d := range shape {
		if d < 0 {
			dims = append(dims, field(1, field(2, []byte("batch")))...)
		} else {
			dims = append(dims, field(1, number(1, uint64(d)))...)
		}
	}
	tensor := append(number(1, uint64(dtype)), field(2, dims)...)
	return append(field(1, []byte(name)), field(2, field(1, tensor))...)
}

// graph is a ModelProto with an Identity from x to y; more are further fields of its GraphProto.
func graph(more ...[]byte) []byte {
	node := slices.Concat(field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("Identity")))
	g := slices.Concat(field(1, node), field(11, value("x", model.Float32, -1, 3)), field(12, value("y", model.Float32, -1, 3)))
	return slices.Concat(number(1, 9), field(8, number(2, 17)), field(7, slices.Concat(append([][]byte{g}, more...)...)))
}

// external is an initialiser whose weights lie in a file.
func external(location string) []byte {
	entry := slices.Concat(field(1, []byte("location")), field(2, []byte(location)))
	return field(5, slices.Concat(field(8, []byte("w")), field(13, entry), number(14, 1)))
}

func TestReadGraph(t *testing.T) {
	g, err := model.ReadGraph(graph(external("model.onnx_data"), field(11, value("w", model.Float32, 3))))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Inputs) != 1 || g.Inputs[0].String() != "float[batch,3]" || g.Outputs[0].Name != "y" {
		t.Errorf("inputs %v, outputs %v: an initialiser is no input", g.Inputs, g.Outputs)
	}
	if !slices.Equal(g.Ops, []string{"Identity"}) || g.Opsets["ai.onnx"] != 17 || !slices.Equal(g.External, []string{"model.onnx_data"}) || g.Quantised() {
		t.Errorf("operators %v, opsets %v, external %v", g.Ops, g.Opsets, g.External)
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":    {nil, "it holds no graph"},
		"text":     {[]byte("hello, this is text"), "not an ONNX model"},
		"cut off":  {graph()[:20], "its bytes are damaged or cut off"},
		"no graph": {number(1, 9), "it holds no graph"},
	} {
		if _, err := model.ReadGraph(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, wanted %q", name, err, tt.want)
		}
	}
}

// folder writes files below a new folder.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestChoice: file, else dtype, else onnx/model.onnx, else model.onnx; what is ambiguous is an error.
func TestChoice(t *testing.T) {
	all := map[string][]byte{"onnx/model.onnx": graph(), "onnx/model_fp16.onnx": graph(), "model.onnx": graph()}
	roles := map[string][]byte{"enc.onnx": graph(), "dec.onnx": graph(), "config.json": []byte(`{"leat": {"graphs": {"encoder": "enc.onnx", "decoder": "dec.onnx"}}}`)}
	for name, tt := range map[string]struct {
		files map[string][]byte
		o     model.Options
		role  string
		want  string // the file, or the error
	}{
		"first":     {all, model.Options{}, model.ModelRole, "onnx/model.onnx"},
		"dtype":     {all, model.Options{DType: "fp16"}, model.ModelRole, "onnx/model_fp16.onnx"},
		"file":      {all, model.Options{File: "model.onnx"}, model.ModelRole, "model.onnx"},
		"no dtype":  {all, model.Options{DType: "q8"}, model.ModelRole, "wanted onnx/model_quantized.onnx for dtype q8, found"},
		"bad dtype": {all, model.Options{DType: "fp8"}, model.ModelRole, `no dtype is named "fp8"`},
		"no file":   {all, model.Options{File: "other.onnx"}, model.ModelRole, "wanted the file other.onnx, found"},
		"outside":   {all, model.Options{File: "../model.onnx"}, model.ModelRole, "wanted the file ../model.onnx, found"},
		"only one":  {map[string][]byte{"net.onnx": graph()}, model.Options{}, model.ModelRole, "net.onnx"},
		"two":       {map[string][]byte{"a.onnx": graph(), "b.onnx": graph()}, model.Options{}, model.ModelRole, "ambiguous which graph to take of a.onnx, b.onnx"},
		"none":      {map[string][]byte{"config.json": []byte("{}")}, model.Options{}, model.ModelRole, "there is no .onnx file in it"},
		"roles":     {roles, model.Options{}, "decoder", "dec.onnx"},
		"no role":   {roles, model.Options{}, "vocoder", `wanted a graph for the role "vocoder", found decoder, encoder`},
		"config":    {map[string][]byte{"model.onnx": graph(), "config.json": []byte("{")}, model.Options{}, model.ModelRole, "config.json: unexpected end"},
		"an array":  {map[string][]byte{"model.onnx": graph(), "config.json": []byte("[1]")}, model.Options{}, model.ModelRole, "config.json: wanted an object, found array"},
		"a list":    {map[string][]byte{"model.onnx": graph(), "config.json": []byte(`{"id2label": ["a"]}`)}, model.Options{}, model.ModelRole, "id2label: wanted an object, found an array"},
		"graphs":    {map[string][]byte{"model.onnx": graph(), "config.json": []byte(`{"leat": {"graphs": "x"}}`)}, model.Options{}, model.ModelRole, `leat.graphs: wanted an object, found "x"`},
		"labels":    {map[string][]byte{"model.onnx": graph(), "config.json": []byte(`{"id2label": {"a": "b"}}`)}, model.Options{}, model.ModelRole, "id2label: wanted numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := model.Open(folder(t, tt.files), tt.o)
			var g *model.GraphFile
			if err == nil {
				g, err = p.Graph(tt.role)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, wanted %q", err, tt.want)
				}
			} else if g.Name != tt.want {
				t.Errorf("%s, wanted %s", g.Name, tt.want)
			}
		})
	}
}

// TestOutside: nothing is read from outside of a package.
func TestOutside(t *testing.T) {
	for _, location := range []string{"../secret", "/etc/passwd", "", `..\secret`, "sub/../../secret"} {
		dir := folder(t, map[string][]byte{"p/model.onnx": graph(external(location)), "secret": []byte("x")})
		p, err := model.Open(filepath.Join(dir, "p"), model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Graph(model.ModelRole); err == nil || !strings.Contains(err.Error(), "leads out of the package") {
			t.Errorf("%q: %v", location, err)
		}
		if _, err := p.ID(); err == nil {
			t.Errorf("%q: the package has an identity", location)
		}
	}
	dir := folder(t, map[string][]byte{"p/model.onnx": graph(external("weights")), "secret": []byte("x")})
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "p", "weights")); err != nil {
		t.Skip(err)
	}
	p, err := model.Open(filepath.Join(dir, "p"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Graph(model.ModelRole); err == nil || !strings.Contains(err.Error(), "which is not there") {
		t.Errorf("a link out of the package: %v", err)
	}
	if _, err := p.ReadFile("../secret"); err == nil {
		t.Error("a file outside was read")
	}
}

// TestHubCache: a snapshot of the Hub's cache consists of links into its repository's folder.
func TestHubCache(t *testing.T) {
	dir := folder(t, map[string][]byte{"models--a--b/blobs/123": graph(), "models--a--b/snapshots/abc/config.json": []byte("{}")})
	snapshot := filepath.Join(dir, "models--a--b", "snapshots", "abc")
	if err := os.Symlink("../../blobs/123", filepath.Join(snapshot, "model.onnx")); err != nil {
		t.Skip(err)
	}
	p, err := model.Open(snapshot, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Graph(model.ModelRole); err != nil {
		t.Error(err)
	}
}

// TestID: the identity is that of the content; a model card does not matter, a tokenizer does.
func TestID(t *testing.T) {
	id := func(files map[string][]byte) string {
		p, err := model.Open(folder(t, files), model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := p.ID()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	base := map[string][]byte{"model.onnx": graph(), "config.json": []byte("{}")}
	with := func(name, text string) map[string][]byte {
		out := map[string][]byte{name: []byte(text)}
		for k, v := range base {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	first := id(base)
	if id(base) != first || id(with("README.md", "a card")) != first {
		t.Error("the same content has another identity")
	}
	if id(with("tokenizer.json", "{}")) == first || id(with("config.json", "{ }")) == first {
		t.Error("other content has the same identity")
	}
	file := filepath.Join(folder(t, base), "model.onnx")
	p, err := model.Open(file, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(graph())
	if got, err := p.ID(); err != nil || got != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("a single file has the identity %s, %v", got, err)
	}
}

func TestShipped(t *testing.T) {
	for _, name := range models.Names() {
		p, err := model.Open(name, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if g, err := p.Graph(model.ModelRole); err != nil || g.Path != "" || !bytes.Contains(g.Bytes, []byte("onnx")) && len(g.Bytes) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := model.Open("review-sentimant", model.Options{}); err == nil || !strings.Contains(err.Error(), "the models that come with leat are clothing") {
		t.Error(err)
	}
}

func FuzzReadGraph(f *testing.F) {
	f.Add(graph())
	f.Add(graph(external("w"), field(5, field(8, []byte("t")))))
	f.Fuzz(func(t *testing.T, file []byte) {
		g, err := model.ReadGraph(file)
		if err != nil {
			return
		}
		for _, v := range append(g.Inputs, g.Outputs...) {
			_ = v.String()
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"id2label": {"0": "a", "2": "b"}, "leat": {"graphs": {"x": "y.onnx"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := model.ParseConfig(text); err == nil {
			_ = c.Label(0)
		}
	})
}
