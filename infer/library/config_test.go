package library

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// environment is a process's environment for tests.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

// What pip finds in these texts was taken from "pip config list" of pip 23.2.1, but for the broken one, which it refuses.
func TestParseConfig(t *testing.T) {
	cases := []struct {
		name, text string
		want       string // section.key=value, sorted
	}{
		{"empty", "", ""},
		{"plain", "[global]\nindex-url = https://a.example/simple\n", "global.index-url=https://a.example/simple"},
		{"colon and case", "[global]\nINDEX_URL: https://a.example/simple\r\n--timeout=5", "global.index-url=https://a.example/simple|global.timeout=5"},
		{"sections", "[install]\nindex-url = b\n[global]\nindex-url = a\ncert = c\n", "global.cert=c|global.index-url=a|install.index-url=b"},
		{"lists", "[global]\nextra-index-url =\n    https://b.example/simple\n\n    # note\n    https://c.example/simple\ncert = x\n",
			"global.cert=x|global.extra-index-url=https://b.example/simple\nhttps://c.example/simple"},
		{"comments", "# a\n; b\n[global]\n#index-url = a\ncert = x ; y\n", "global.cert=x ; y"},
		{"empty value", "[global]\nindex-url =\n", "global.index-url="},
		{"percent and equals", "[global]\nindex-url = https://u:p%40=@a.example/simple?x=1\n", "global.index-url=https://u:p%40=@a.example/simple?x=1"},
		{"broken", "index-url = a\n[global\ncert = x\nnonsense\n  more\n= y\n", "global.cert=x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sections := map[string]map[string]string{}
			parseConfig(c.text, sections)
			var lines []string
			for name, section := range sections {
				for key, value := range section {
					lines = append(lines, name+"."+key+"="+value)
				}
			}
			slices.Sort(lines)
			if found := strings.Join(lines, "|"); found != c.want {
				t.Errorf("found %q, wanted %q", found, c.want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  b\n  c\n")
	f.Add("[install\n=:\n [x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		sections := map[string]map[string]string{}
		parseConfig(text, sections)
		c := newConfig(sections["global"], environment{}.get)
		if len(c.indexes) > 0 && c.indexes[0] == "" {
			t.Error("an index without an address")
		}
	})
}

func TestLoadConfig(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: the places of the files are those of Linux")
	}
	home := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("xdg/pip/pip.conf", "[global]\nindex-url = https://machine.example/simple\nproxy = http://proxy.example:0\n[install]\nproxy = http://proxy.example:1\ncert = ~/ca.pem")
	write(".config/pip/pip.conf", "[global]\nindex-url = https://user.example/simple\ntrusted-host = a.example b.example:8080\nproxy = http://proxy.example:2")
	write("venv/pip.conf", "[global]\nindex-url = https://venv.example/simple")
	named := write("named.conf", "[global]\nindex-url = https://named.example/simple\nfind-links = /wheels https://x.example/ file:///more")
	cases := []struct {
		env  environment
		want config
	}{
		{environment{"PIP_CONFIG_FILE": os.DevNull}, config{indexes: []string{defaultIndex}}},
		{environment{"PIP_CONFIG_FILE": os.DevNull, "PIP_INDEX_URL": "https://e.example/simple", "PIP_EXTRA_INDEX_URL": "https://f.example https://g.example"},
			config{indexes: []string{"https://e.example/simple", "https://f.example", "https://g.example"}}},
		{environment{"PIP_CONFIG_FILE": os.DevNull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w", "CURL_CA_BUNDLE": "/ca"},
			config{findLinks: []string{"/w"}, cert: "/ca"}},
		{environment{}, config{indexes: []string{"https://user.example/simple"}, trusted: []string{"a.example", "b.example:8080"},
			proxy: "http://proxy.example:1", cert: home + "/ca.pem"}},
		{environment{"VIRTUAL_ENV": home + "/venv"}, config{indexes: []string{"https://venv.example/simple"}, trusted: []string{"a.example", "b.example:8080"},
			proxy: "http://proxy.example:1", cert: home + "/ca.pem"}},
		{environment{"VIRTUAL_ENV": home + "/venv", "PIP_CONFIG_FILE": named, "PIP_CERT": "/c", "PIP_TRUSTED_HOST": "c"},
			config{indexes: []string{"https://named.example/simple"}, findLinks: []string{"/wheels", "/more"}, trusted: []string{"c"},
				proxy: "http://proxy.example:1", cert: "/c"}},
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c.env["HOME"], c.env["XDG_CONFIG_DIRS"] = home, filepath.Join(home, "xdg")
			files := slices.DeleteFunc(configFiles(c.env.get), func(path string) bool { return path == "/etc/pip.conf" }) // this machine's
			found, err := loadConfig(files, c.env.get)
			if err != nil {
				t.Fatal(err)
			}
			if found.trusted = append([]string(nil), found.trusted...); !reflect.DeepEqual(found, c.want) {
				t.Errorf("found %+v, wanted %+v", found, c.want)
			}
		})
	}
}

func TestParseNetrc(t *testing.T) {
	const text = `# logins
machine a.example login ann password one
machine b.example
	login bob
	password two
macdef init
machine c.example login no password no

machine d.example password three
default login any password four
`
	cases := []struct {
		host string
		want login
	}{
		{"a.example", login{"ann", "one"}},
		{"B.example", login{"bob", "two"}},
		{"c.example", login{"any", "four"}}, // it is in a macro
		{"d.example", login{"", "three"}},
	}
	for _, c := range cases {
		found, ok := parseNetrc(text, c.host)
		if !ok || found != c.want {
			t.Errorf("%s: found %v (%t), wanted %v", c.host, found, ok, c.want)
		}
	}
	if found, ok := parseNetrc("machine a.example login ann password one", "e.example"); ok {
		t.Errorf("found %v for a host that is not named", found)
	}
}

func FuzzParseNetrc(f *testing.F) {
	f.Add("machine a.example login ann password one\ndefault login x", "a.example")
	f.Add("macdef x\n\nmachine", "")
	f.Fuzz(func(t *testing.T, text, host string) {
		if l, ok := parseNetrc(text, host); ok && l == (login{}) {
			t.Error("a login without name and password")
		}
	})
}
