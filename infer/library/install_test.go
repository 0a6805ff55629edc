package library

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const secret = "s3cret-token"

// entry is a file of a made wheel.
type entry struct {
	name, text string
	mode       os.FileMode
}

// goodWheel is a wheel as ONNX Runtime's are laid out.
func goodWheel() []entry {
	return []entry{
		{name: "onnxruntime/LICENSE", text: "MIT"},
		{name: "onnxruntime/ThirdPartyNotices.txt", text: "others"},
		{name: "onnxruntime/capi/libonnxruntime.so.9.9.9", text: "the library"},
		{name: "onnxruntime/capi/libother.so", text: "another"},
		{name: "onnxruntime/capi/libother.so.1", text: "another"},
		{name: "onnxruntime/capi/onnxruntime_pybind11_state.so", text: "for Python"},
		{name: "onnxruntime/__init__.py", text: "for Python"},
		{name: "onnxruntime-9.9.9.dist-info/LICENSE", text: "MIT"},
	}
}

func makeWheel(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		header.SetMode(0o644 | e.mode)
		w, err := z.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// index is a package index on this machine, with one wheel.
type index struct {
	*httptest.Server
	wheel   []byte
	html    bool           // it knows no JSON
	failing map[string]int // answers 500 so often, by path
	cut     int            // breaks the wheel's download off so often
	login   bool           // wants a name and a password
	listed  string         // the hash it lists, empty for the wheel's

	mu       sync.Mutex
	requests []string
}

const wheelName = "onnxruntime-9.9.9-cp311-cp311-manylinux_2_28_x86_64.whl"

func startIndex(t testing.TB, x *index) *index {
	t.Helper()
	x.Server = httptest.NewServer(x)
	t.Cleanup(x.Close)
	return x
}

// ServeHTTP implements http.Handler.
func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests = append(x.requests, r.URL.Path)
	if x.login {
		if user, password, ok := r.BasicAuth(); !ok || user != "ann" || password != secret {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
	}
	if x.failing[r.URL.Path] > 0 {
		x.failing[r.URL.Path]--
		http.Error(w, "later", http.StatusInternalServerError)
		return
	}
	hash := x.listed
	if hash == "" {
		hash = hashOfBytes(x.wheel)
	}
	switch {
	case r.URL.Path == "/simple/onnxruntime/" && x.html:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<a href="../../files/%s#sha256=%s">%s</a>`, wheelName, hash, wheelName)
	case r.URL.Path == "/simple/onnxruntime/":
		w.Header().Set("Content-Type", typeJSON)
		fmt.Fprintf(w, `{"meta":{"api-version":"1.1"},"files":[{"filename":%q,"url":"../../files/%s","hashes":{"sha256":%q}}]}`, wheelName, wheelName, hash)
	case r.URL.Path == "/files/"+wheelName:
		w.Header().Set("Content-Length", fmt.Sprint(len(x.wheel)))
		if x.cut > 0 {
			x.cut--
			w.Write(x.wheel[:len(x.wheel)/2])
			return
		}
		w.Write(x.wheel)
	default:
		http.NotFound(w, r)
	}
}

func hashOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// newInstaller makes an installer of a made wheel from an index. It gathers what is logged.
func newInstaller(t testing.TB, wheel []byte, address string) (*installer, *strings.Builder) {
	t.Helper()
	var logged strings.Builder
	return &installer{
		Options: Options{CacheDir: t.TempDir(), Log: func(level, text string) { fmt.Fprintln(&logged, level, text) }},
		pin: &pin{Flavour: CPU, Version: "9.9.9", OS: "linux", Arch: "amd64", Wheel: wheelName,
			Size: int64(len(wheel)), SHA256: hashOfBytes(wheel)},
		env:     environment{"PIP_CONFIG_FILE": os.DevNull, "PIP_INDEX_URL": address, "HOME": t.TempDir()}.get,
		backOff: time.Millisecond,
	}, &logged
}

// nothingLeft fails where an installation has left something in the cache.
func nothingLeft(t testing.TB, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}

func TestInstall(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	cases := []struct {
		name  string
		index *index
		logs  string
	}{
		{name: "JSON", index: &index{}},
		{name: "HTML", index: &index{html: true}},
		{name: "errors that pass", index: &index{failing: map[string]int{"/simple/onnxruntime/": 2, "/files/" + wheelName: 1}}, logs: "answered 500"},
		{name: "a download that breaks off", index: &index{cut: 2}, logs: "unexpected EOF"},
		{name: "a login", index: &index{login: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.index.wheel = wheel
			x := startIndex(t, c.index)
			address := strings.Replace(x.URL, "://", "://ann:"+secret+"@", 1) + "/simple"
			in, logged := newInstaller(t, wheel, address)
			var last int64
			in.Progress = func(done, total int64) {
				if total != int64(len(wheel)) {
					t.Errorf("%d bytes in all, wanted %d", total, len(wheel))
				}
				last = done
			}
			l, err := in.install(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if last != int64(len(wheel)) {
				t.Errorf("the progress ended at %d bytes", last)
			}
			if !strings.Contains(logged.String(), c.logs) || strings.Contains(logged.String(), secret) {
				t.Errorf("logged:\n%s", logged)
			}
			text, err := os.ReadFile(l.Path)
			if err != nil || string(text) != "the library" || l.Version != "9.9.9" || l.Flavour != CPU || l.From != FromCache {
				t.Errorf("found %+v with %q (%v)", l, text, err)
			}
			var names []string
			entries, _ := os.ReadDir(l.Dir)
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if got := strings.Join(names, " "); got != "LICENSE ThirdPartyNotices.txt libonnxruntime.so.9.9.9 libother.so libother.so.1 manifest.json" {
				t.Errorf("found the files %s", got)
			}
			if got, want := sizeOf(l.Dir), int64(len("MIT"+"others"+"the library"+"another"))+fileSize(filepath.Join(l.Dir, manifestName)); got != want {
				t.Errorf("%d bytes on disk, wanted %d: the same content only once", got, want)
			}
			requests := len(x.requests)
			if _, err := in.install(context.Background()); err != nil || len(x.requests) != requests {
				t.Errorf("again: %v, %d more requests", err, len(x.requests)-requests)
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	good := makeWheel(t, goodWheel())
	other := bytes.Clone(good)
	other[len(other)/2] ^= 1
	long := append(bytes.Clone(good), 0)
	slip := append(goodWheel(), entry{name: "onnxruntime/capi/../../../../evil.so", text: "x"})
	cases := []struct {
		name   string
		index  *index
		pinned []byte // nil for the index's wheel
		wants  []string
	}{
		{"another content", &index{wheel: other}, good, []string{"refused", hashOfBytes(good), hashOfBytes(other)}},
		{"another content, listed with the right hash", &index{wheel: other, listed: hashOfBytes(good)}, good, []string{"refused", hashOfBytes(good), hashOfBytes(other)}},
		{"another size", &index{wheel: long, listed: hashOfBytes(good)}, good, []string{fmt.Sprintf("wanted %d bytes, the server has %d", len(good), len(long))}},
		{"errors that stay", &index{wheel: good, failing: map[string]int{"/simple/onnxruntime/": 99}}, nil, []string{"answered 500", Variable, "PIP_INDEX_URL"}},
		{"a download that always breaks off", &index{wheel: good, cut: 99}, nil, []string{"unexpected EOF", Variable}},
		{"no login", &index{wheel: good, login: true}, nil, []string{"answered 401", "netrc"}},
		{"a path that leads outside", &index{wheel: makeWheel(t, slip)}, nil, []string{"leads outside"}},
		{"a path of Windows", &index{wheel: makeWheel(t, []entry{{name: `onnxruntime/capi/..\evil.dll`}})}, nil, []string{"leads outside"}},
		{"an absolute path", &index{wheel: makeWheel(t, []entry{{name: "/etc/evil.so"}})}, nil, []string{"leads outside"}},
		{"a link", &index{wheel: makeWheel(t, []entry{{name: "onnxruntime/capi/libonnxruntime.so", text: "/etc/passwd", mode: os.ModeSymlink}})}, nil, []string{"no regular file"}},
		{"one name twice", &index{wheel: makeWheel(t, append(goodWheel(), entry{name: "more/capi/LIBOTHER.so"}))}, nil, []string{"same name"}},
		{"no library", &index{wheel: makeWheel(t, goodWheel()[:2])}, nil, []string{"no libonnxruntime.so"}},
		{"no zip", &index{wheel: []byte("nonsense")}, nil, []string{"not a valid zip"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := startIndex(t, c.index)
			pinned := c.pinned
			if pinned == nil {
				pinned = x.wheel
			}
			in, logged := newInstaller(t, pinned, strings.Replace(x.URL, "://", "://eve:"+secret+"@", 1)+"/simple")
			_, err := in.install(context.Background())
			if err == nil {
				t.Fatal("it was installed")
			}
			for _, want := range c.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("found the error %q, wanted %q in it", err, want)
				}
			}
			if strings.Contains(err.Error()+logged.String(), secret) {
				t.Errorf("the password was told: %v\n%s", err, logged)
			}
			nothingLeft(t, in.CacheDir)
		})
	}
}

func TestInstallBomb(t *testing.T) {
	wheel := makeWheel(t, []entry{{name: "onnxruntime/capi/libonnxruntime.so", text: strings.Repeat("\x00", 1<<20)}})
	z, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := extract(z.File[0], t.TempDir(), 1<<20-1); err == nil || !strings.Contains(err.Error(), "unpacks to more") {
		t.Errorf("found %v", err)
	}
}

func TestInstallFromOtherPlaces(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	x := startIndex(t, &index{wheel: wheel, login: true})
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(wheelName, string(wheel))
	netrc := write("netrc", "machine 127.0.0.1 login ann password "+secret)
	cases := []struct {
		name  string
		env   environment
		fails string
	}{
		{"an extra index, a login of netrc", environment{"PIP_INDEX_URL": empty.URL, "PIP_EXTRA_INDEX_URL": x.URL + "/simple", "NETRC": netrc}, ""},
		{"a folder", environment{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": dir}, ""},
		{"nowhere", environment{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": t.TempDir()}, "no-index"},
		{"without TLS", environment{"PIP_INDEX_URL": "http://ann:" + secret + "@index.example/simple"}, "not secure"},
		{"a strange proxy", environment{"PIP_PROXY": "ann:" + secret}, "option proxy"},
		{"a broken address", environment{"PIP_INDEX_URL": "https://ann:" + secret + "@in dex.example:x/simple"}, "cannot be read"},
		{"no certificates", environment{"PIP_CERT": netrc}, "no certificate in"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in, logged := newInstaller(t, wheel, "")
			c.env["PIP_CONFIG_FILE"] = os.DevNull
			in.env = c.env.get
			_, err := in.install(context.Background())
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("found the error %v, wanted %q", err, c.fails)
			}
			if strings.Contains(fmt.Sprint(err)+logged.String(), secret) {
				t.Errorf("the password was told: %v\n%s", err, logged)
			}
		})
	}
}

func TestInstallAtOnce(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	x := startIndex(t, &index{wheel: wheel})
	first, _ := newInstaller(t, wheel, x.URL+"/simple")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			in := *first
			in.Log = nil
			if l, err := in.install(context.Background()); err != nil || l.Version != "9.9.9" {
				t.Errorf("found %+v, %v", l, err)
			}
		})
	}
	group.Wait()
	entries, _ := os.ReadDir(first.CacheDir)
	if len(entries) != 1 {
		t.Errorf("%d folders in the cache, wanted 1", len(entries))
	}
}

func TestInstallMends(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	x := startIndex(t, &index{wheel: wheel})
	in, _ := newInstaller(t, wheel, x.URL+"/simple")
	l, err := in.install(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, harm := range []func() error{
		func() error { return os.WriteFile(l.Path, []byte("the LIBRARY"), 0o644) },
		func() error { return os.Remove(l.Path) },
		func() error { return os.WriteFile(filepath.Join(l.Dir, manifestName), []byte("{"), 0o644) },
		func() error { return os.RemoveAll(filepath.Join(l.Dir, manifestName)) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		err := verifyDir(l.Dir, in.pin)
		if err == nil || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "leat runtime install cpu") {
			t.Errorf("found %v", err)
		}
		if l, err = in.install(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := verifyDir(l.Dir, in.pin); err != nil {
			t.Errorf("after the installation: %v", err)
		}
	}
}

func TestInstallStops(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	x := startIndex(t, &index{wheel: wheel, failing: map[string]int{"/simple/onnxruntime/": 99}})
	in, _ := newInstaller(t, wheel, x.URL+"/simple")
	in.backOff = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	in.Log = func(string, string) { cancel() } // it says that it will try again
	if _, err := in.install(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
	nothingLeft(t, in.CacheDir)
	in.Offline = true
	var missing *NotInstalled
	if _, err := in.install(context.Background()); !errors.As(err, &missing) {
		t.Errorf("offline: found %v", err)
	}
}

// TestSilentDownload breaks a download off over which nothing comes, and says so.
func TestSilentDownload(t *testing.T) {
	end := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-end
	}))
	defer s.Close()
	defer close(end)
	c, err := newClient(config{}, environment{"HOME": t.TempDir()}.get, func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	c.idle, c.backOff = time.Millisecond, time.Millisecond
	_, err = c.files(context.Background(), mustURL(t, s.URL))
	if err == nil || !strings.Contains(err.Error(), "nothing came") {
		t.Errorf("found %v", err)
	}
}

// TestInstallForReal installs the CPU flavour from the index in use.
func TestInstallForReal(t *testing.T) {
	if testing.Short() || os.Getenv("LEAT_OFFLINE") != "" {
		t.Skip("SKIPPED: no download of ONNX Runtime with -short or LEAT_OFFLINE")
	}
	o := Options{CacheDir: t.TempDir(), Log: func(level, text string) { t.Log(level, text) }}
	l, err := Install(context.Background(), o)
	if _, none := findPin(CPU, runtime.GOOS, runtime.GOARCH); none != nil {
		t.Skipf("SKIPPED: %v", none)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(o); err != nil {
		t.Error(err)
	}
	if fileSize(l.Path) < 10<<20 {
		t.Errorf("%s has %d bytes", l.Path, fileSize(l.Path))
	}
	t.Setenv(Variable, "")
	found, err := Find(o)
	if err != nil || found.Path != l.Path {
		t.Errorf("found %+v (%v), wanted %+v", found, err, l)
	}
}

func TestExplain(t *testing.T) {
	cases := []struct {
		err  error
		want []string
	}{
		{fmt.Errorf("write x: %w", syscall.ENOSPC), []string{"no room in /cache", Variable}},
		{fmt.Errorf("mkdir x: %w", os.ErrPermission), []string{"writable", Variable}},
		{&networkError{url: "https://index.example/", err: errors.New("no such host")}, []string{"PIP_INDEX_URL", Variable, "no such host"}},
	}
	for _, c := range cases {
		for _, want := range c.want {
			if text := explain(c.err, "/cache").Error(); !strings.Contains(text, want) {
				t.Errorf("found %q, wanted %q in it", text, want)
			}
		}
	}
}
