package kafka

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// newRegistryStandIn answers as a Confluent schema registry does that has one schema; it is none.
func newRegistryStandIn(t *testing.T, schema string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/schemas/ids/7":
			_ = json.NewEncoder(w).Encode(map[string]any{"schema": schema})
		case strings.HasSuffix(r.URL.Path, "-value/versions/latest"):
			_ = json.NewEncoder(w).Encode(map[string]any{"id": 7, "version": 1, "schema": schema})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestReadWithRegistry(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.produce(&kgo.Record{Value: []byte("\x00\x00\x00\x00\x07\x02a\x04")}, &kgo.Record{Value: []byte("\x02a\x04")}, &kgo.Record{Key: []byte("k")},
		&kgo.Record{Value: []byte("\x00\x00\x00\x00\x07\x02b\x06")})
	url := newRegistryStandIn(t, `{"type":"record","name":"R","fields":[{"name":"s","type":"string"},{"name":"n","type":"long"}]}`)
	config := map[string]any{"format": "AVRO", "confluent_schema_registry_url": url, "until": "latest", "metadata": map[string]any{"k": "key"}}
	r := rig.begin(rig.source(config), nil).all()
	r.want("rows", r.rows, "0:0 a 2 None", "0:2 None None b'k'", "0:3 b 3 None")
	if len(r.bad) != 1 {
		t.Errorf("bad records: %q", r.bad)
	}
	// The engine opens the source anew, and does not ask it for the schema again.
	schema, err := rig.source(config).Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := rig.source(config).Open(t.Context(), schema[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	second := &reading{t: t, r: again, d: again.NewDecoder()}
	second.all().want("rows of one field", second.rows, "0:0 a", "0:2 None", "0:3 b")
}

func TestLoginOfJaas(t *testing.T) {
	for text, want := range map[string][2]string{
		`org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`: {"u", "p"},
		`X required password='a"b' username='u' ;`:                                                    {"u", `a"b`},
		`X required username="u" password="a\"b\\";`:                                                  {"u", `a"b\`},
	} {
		c := connection{jaas: text}
		if user, password, ok := c.login(); !ok || user != want[0] || password != want[1] {
			t.Errorf("%s: %q, %q", text, user, password)
		}
	}
}
