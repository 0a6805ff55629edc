package message

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leat-project/leat/catalog"
)

const (
	oldReading = `{"type":"record","name":"R","fields":[{"name":"device","type":"string"}]}`
	newReading = `{"type":"record","name":"R","fields":[{"name":"temp","type":["null","double"]},{"name":"device","type":"string"}]}`
)

// registryStandIn answers as a Confluent schema registry does; it is none.
type registryStandIn struct {
	*httptest.Server
	asked atomic.Int64 // for schemas by number
	down  atomic.Int64 // so many requests are refused
}

func newRegistryStandIn(t *testing.T) *registryStandIn { return startRegistry(t, httptest.NewServer) }

func startRegistry(t *testing.T, start func(http.Handler) *httptest.Server) *registryStandIn {
	s := &registryStandIn{}
	schemas := map[string]string{"1": oldReading, "2": newReading, "3": "{"}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		_ = json.NewEncoder(w).Encode(v)
	}
	missing := func(w http.ResponseWriter, code int) {
		w.WriteHeader(http.StatusNotFound)
		answer(w, map[string]any{"error_code": code, "message": "not found"})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /schemas/ids/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if text, ok := schemas[r.PathValue("id")]; ok {
			answer(w, map[string]any{"schema": text})
			return
		}
		missing(w, 40403)
	})
	mux.HandleFunc("GET /subjects/{subject}/versions/latest", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("subject") == "readings-value" {
			answer(w, map[string]any{"subject": "readings-value", "id": 2, "version": 2, "schema": newReading})
			return
		}
		missing(w, 40401)
	})
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "leat" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if s.down.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *registryStandIn) address(user string) string {
	return strings.Replace(s.URL, "://", "://"+user+"@", 1)
}

// framed is a message with the number of its schema.
func framed(id byte, rest string) string { return string([]byte{0, 0, 0, 0, id}) + rest }

func TestRegistry(t *testing.T) {
	s := newRegistryStandIn(t)
	f := open(t, map[string]any{"format": "AVRO", "confluent_schema_registry_url": s.address("leat:s3cret")})
	s.down.Store(2)
	if err := f.Bind(t.Context(), "readings"); err != nil {
		t.Fatal(err)
	}
	d := f.NewDecoder(f.Schema())
	s.down.Store(2)
	for range 2 {
		rows, faults := decode(t, d, framed(1, "\x02a"), framed(2, "\x02\x00\x00\x00\x00\x00\x00\xf0\x3f\x02b"), "", "\x01\x00\x00\x00\x00x", framed(9, ""), framed(3, ""), framed(2, "\x00\x02c"))
		same(t, "rows", rows, []string{"0: None a", "1: 1.0 b", "6: None c"})
		if len(faults) != 4 || !strings.Contains(faults[0], "number of its schema") || !strings.Contains(faults[2], "no schema 9") || !strings.Contains(faults[3], "schema 3") {
			t.Errorf("faults: %q", faults)
		}
	}
	if n := s.asked.Load(); n != 5 { // 1, 2, 3 once, 9 each time
		t.Errorf("asked %d times for schemas, wanted 5", n)
	}
}

func TestRegistryProblems(t *testing.T) {
	s := newRegistryStandIn(t)
	for _, c := range []struct{ user, subject, text string }{
		{"leat:s3cret", "other", `"other"`},
		{"leat:wr0ng", "", `"readings-value"`},
	} {
		f := open(t, map[string]any{"format": "AVRO", "confluent_schema_registry_url": s.address(c.user), "confluent_schema_registry_subject": c.subject})
		err := f.Bind(t.Context(), "readings")
		var p *catalog.Problem
		if !errors.As(err, &p) || !strings.Contains(p.Text, c.text) || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", c.user, err)
		}
	}
}

// TestRegistryOverTLS has a registry whose authority only those know whom SSL_CERT_FILE tells. Go reads that once, so it takes a process of its own.
func TestRegistryOverTLS(t *testing.T) {
	const told = "LEAT_TEST_REGISTRY"
	if address := os.Getenv(told); address != "" {
		f := open(t, map[string]any{"format": "AVRO", "confluent_schema_registry_url": address})
		if err := f.Bind(t.Context(), "readings"); err != nil {
			t.Fatal(err)
		}
		rows, faults := decode(t, f.NewDecoder(f.Schema()), framed(1, "\x02a"))
		same(t, "rows", rows, []string{"0: None a"})
		same(t, "faults", faults, nil)
		return
	}
	s := startRegistry(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		return s
	})
	f := open(t, map[string]any{"format": "AVRO", "confluent_schema_registry_url": s.address("leat:s3cret")})
	err := f.Bind(t.Context(), "readings")
	var p *catalog.Problem
	if !errors.As(err, &p) || !strings.Contains(p.Hint, "SSL_CERT_FILE") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("an unknown authority: %v", err)
	}
	if _, _, err := f.registry.byID(t.Context(), 1); err == nil { // it ends, too
		t.Error("an unknown authority: no error")
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		t.Skip("the variable is not for this system")
	}
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRegistryOverTLS$", "-test.count=1")
	cmd.Env = append(os.Environ(), told+"="+s.address("leat:s3cret"), "SSL_CERT_FILE="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with SSL_CERT_FILE: %v\n%s", err, out)
	}
}

func TestFramedJSON(t *testing.T) {
	s := newRegistryStandIn(t)
	f := open(t, map[string]any{"format": "JSON", "schema": readings, "confluent_schema_registry_url": s.address("leat:s3cret")})
	rows, faults := decode(t, f.NewDecoder(f.Schema()), framed(1, `{"device":"a"}`), `{"device":"b"}`, framed(1, "{"), framed(1, `{"device":"c"}`))
	same(t, "rows", rows, []string{"0: a None None", "3: c None None"})
	same(t, "faults", faults, []string{"1: " + errFrame.Error(), "2: the record ends in the middle of a value"})
}
