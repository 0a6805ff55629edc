package mqtt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, filter, topic, want string }{
		{"a/b", "a/b", "a/b", "map[]"},
		{"a/b", "a/b", "a/b/c", "no"},
		{"site/{site}/+/temp", "site/+/+/temp", "site/north/3/temp", "map[site:north]"},
		{"site/{site}/+/temp", "site/+/+/temp", "site/north/3", "no"},
		{"a/#", "a/#", "a", "map[]"},
		{"a/{rest...}", "a/#", "a/b/c", "map[rest:b/c]"},
		{"a/{rest...}", "a/#", "a", "map[rest:]"},
		{"+/{x}", "+/+", "/", "map[x:]"},
		{"#", "#", "$SYS/x", "no"},
		{"{x...}", "#", "ü/b", "map[x:ü/b]"},
		{"$SYS/#", "$SYS/#", "$SYS/x", "map[]"},
		{"a+", "", "", ""}, {"a/#/b", "", "", ""}, {"{}", "", "", ""}, {"", "", "", ""}, {"x{y}", "", "", ""},
	} {
		p, problem := parsePattern(c.pattern)
		if (problem != "") != (c.filter == "") || problem == "" && p.filter != c.filter {
			t.Errorf("%q: %q, %s", c.pattern, p.filter, problem)
			continue
		}
		if problem != "" {
			continue
		}
		got := "no"
		if values, ok := p.match(c.topic); ok {
			got = fmt.Sprint(values)
		}
		if got != c.want {
			t.Errorf("%q of %q: %s", c.pattern, c.topic, got)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	for _, c := range []struct {
		key    string
		config map[string]any
	}{
		{"url", map[string]any{"url": "http://user:secret@x", "topics": "t"}},
		{"url", map[string]any{"url": "mqtt://", "topics": "t"}},
		{"qos", map[string]any{"url": "mqtt://x", "qos": int64(3), "topics": "t"}},
		{"version", map[string]any{"url": "mqtt://x", "version": 3.1, "topics": "t"}},
		{"topics", map[string]any{"url": "mqtt://x", "topics": []any{"a/b#"}}},
		{"topics", map[string]any{"url": "mqtt://x"}},
		{"shared", map[string]any{"url": "mqtt://x", "topics": "t", "shared": "a/b"}},
		{"retained", map[string]any{"url": "mqtt://x", "topics": "t", "retained": "maybe"}},
		{"tls", map[string]any{"url": "mqtt://x", "topics": "t", "tls": map[string]any{}}},
		{"tls", map[string]any{"url": "mqtts://x", "topics": "t", "tls": map[string]any{"ca": "missing.pem"}}},
		{"dedup", map[string]any{"url": "mqtt://x", "topics": "t", "dedup": "nothing"}},
		{"dedup", map[string]any{"url": "mqtt://x", "topics": "t", "dedup": "message_id", "version": "3.1.1"}},
		{"metadata", map[string]any{"url": "mqtt://x", "topics": "a/{payload}"}},
		{"metadata", map[string]any{"url": "mqtt://x", "topics": "a", "metadata": map[string]any{"a": "nothing"}}},
		{"format", map[string]any{"url": "mqtt://x", "topics": "t", "format": "XML"}},
	} {
		_, err := openSource(c.config)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != c.key || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", c.config, err)
		}
	}
}

func TestVersionAsNumber(t *testing.T) {
	s, p := readSettings(map[string]any{"url": "mqtt://x", "version": int64(5)})
	if p != nil || s.version != version5 || s.url.Host != "x:1883" {
		t.Fatal(s, p)
	}
}

func TestSeenOutlastsItsProcess(t *testing.T) {
	dir := t.TempDir()
	s := newSeen(10)
	for i := range 35 {
		if s.add(keyOf(fmt.Append(nil, i))) {
			t.Fatalf("%d is new", i)
		}
		if i < 34 {
			s.kept()
		}
	}
	if !s.add(keyOf([]byte("34"))) {
		t.Fatal("34 is known")
	}
	if err := s.save(vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	s = newSeen(10)
	if err := s.load(vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{33: true, 27: true, 10: false, 34: false} { // 34 was not on disk
		if _, known := s.known[keyOf(fmt.Append(nil, i))]; known != want {
			t.Errorf("%d: %t", i, known)
		}
	}
	bad := &vfs.Faulty{FS: vfs.OS, Fail: func(op vfs.Op, _ string) error {
		if op == vfs.OpRename {
			return errors.New("injected")
		}
		return nil
	}}
	s.add(key{})
	s.kept()
	if err := s.save(bad, dir); err == nil {
		t.Fatal("it was saved")
	}
	if err := newSeen(10).load(vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.save(vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	if err := newSeen(10).load(vfs.OS, filepath.Join(dir, "none")); err != nil {
		t.Fatal(err)
	}
}

func FuzzHead(f *testing.F) {
	k := key{1}
	f.Add(appendHead(nil, &head{topic: "a/b", id: "x", qos: 2, retained: true, key: &k}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b)
		if err != nil {
			return
		}
		again, err := parseHead(appendHead(nil, h))
		if err != nil || again.topic != h.topic || again.id != h.id || again.qos != h.qos || (again.key == nil) != (h.key == nil) {
			t.Fatalf("%+v, %+v", h, again)
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("a/{b}/#", "a/x/y")
	f.Fuzz(func(_ *testing.T, pattern, topic string) {
		if p, problem := parsePattern(pattern); problem == "" {
			p.match(topic)
		}
	})
}
