package library

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRedirect follows an index to signed addresses of its files, whose signatures are not told.
func TestRedirect(t *testing.T) {
	wheel := makeWheel(t, goodWheel())
	broken := true
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok && strings.HasPrefix(r.Host, "localhost") {
			t.Error("the login of the index was sent to another host")
		}
		if broken {
			broken = false
			panic(http.ErrAbortHandler) // the error of the client names the address
		}
		w.Write(wheel)
	}))
	defer files.Close()
	elsewhere := strings.Replace(files.URL, "127.0.0.1", "localhost", 1) + "/x?signature=" + secret
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/onnxruntime/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typeHTML)
		fmt.Fprintf(w, `<a href="%s">x</a>`, wheelName)
	})
	mux.HandleFunc("/simple/onnxruntime/"+wheelName, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	x := httptest.NewServer(mux)
	defer x.Close()
	in, logged := newInstaller(t, wheel, strings.Replace(x.URL, "://", "://ann:"+secret+"@", 1)+"/simple")
	if _, err := in.install(context.Background()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "attempt 2") || strings.Contains(logged.String(), secret) {
		t.Errorf("logged:\n%s", logged)
	}
	elsewhere = "http://files.example/x?signature=" + secret
	in.CacheDir = t.TempDir()
	if _, err := in.install(context.Background()); err == nil || !strings.Contains(err.Error(), "not secure") || strings.Contains(err.Error(), secret) {
		t.Errorf("found %v", err)
	}
}

// TestCertificates checks those of a server as pip's options cert and trusted-host say.
func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typeJSON)
		fmt.Fprint(w, `{"meta":{"api-version":"1.0"},"files":[]}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate are what is tested
	s.StartTLS()
	defer s.Close()
	u := mustURL(t, s.URL)
	cert := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		config config
		fails  bool
	}{
		{"neither", config{}, true},
		{"cert", config{cert: cert}, false},
		{"trusted host", config{trusted: []string{"127.0.0.1"}}, false},
		{"trusted host and port", config{trusted: []string{u.Host}}, false},
		{"another trusted host", config{trusted: []string{"127.0.0.2"}}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			retried := false
			web, err := newClient(c.config, environment{"HOME": t.TempDir()}.get, func(string, string) { retried = true })
			if err != nil {
				t.Fatal(err)
			}
			web.backOff = time.Millisecond
			if _, err := web.files(context.Background(), u); (err != nil) != c.fails || retried {
				t.Errorf("found %v, tried again: %t", err, retried)
			}
		})
	}
}

func TestShow(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"https://index.example/simple/", "https://index.example/simple/"},
		{"https://ann:pass@index.example/simple/", "https://***@index.example/simple/"},
		{"https://token@index.example:8080/a?sig=1#x", "https://***@index.example:8080/a"},
	} {
		u, err := url.Parse(c.address)
		if err != nil || show(u) != c.want {
			t.Errorf("%s: found %s, wanted %s", c.address, show(u), c.want)
		}
	}
	if found := hide(`proxy "http://ann:pass@proxy.example:1": refused`); found != `proxy "http://***@proxy.example:1": refused` {
		t.Errorf("found %s", found)
	}
}
