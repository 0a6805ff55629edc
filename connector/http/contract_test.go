package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
)

const contractSecret = "s3cret-word"

// freeAddress is one where nobody listens yet.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestContractWebhook(t *testing.T) {
	base := map[string]any{"format": "JSON", "schema": column.RowOf(contract.RowSchema), "token": contractSecret}
	contract.Source(t, contract.SourceCase{
		Bound: contract.Bound{
			Connector: "ReadFromWebhook", Secret: contractSecret,
			Config: func(string) map[string]any {
				config := maps.Clone(base)
				config["listen"] = "127.0.0.1:0"
				return config
			},
			Wrong: []contract.Wrong{
				{Name: "address, path and size", Set: map[string]any{"listen": ":8080", "path": "in", "max_bytes": int64(0)},
					Want: map[string]diag.Code{"listen": diag.BadValue, "path": diag.BadValue, "max_bytes": diag.BadValue}},
				{Name: "format and token", Set: map[string]any{"schema": nil, "token": ""}, Want: map[string]diag.Code{"format": diag.CannotInfer, "token": diag.BadValue}},
			},
		},
		Resumes: true, Acknowledges: true, Partitions: true, Meters: true, TakesBad: true,
		Start: func(t *testing.T) *contract.Place {
			address := freeAddress(t)
			config := maps.Clone(base)
			config["listen"] = address
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
			return &contract.Place{Config: config, Put: func(t *testing.T, messages []contract.Message) {
				for _, m := range messages {
					post(t, client, "http://"+address, m.JSON())
				}
			}}
		},
	})
}

// post posts until it is taken: the reader may not listen yet.
func post(t *testing.T, client *http.Client, url string, body []byte) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+contractSecret)
		answer, err := client.Do(r)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusAccepted {
				return
			}
			err = fmt.Errorf("status %s", answer.Status)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestContractSend(t *testing.T) {
	sink := func(keys map[string]any) contract.SinkCase {
		return contract.SinkCase{
			Bound: contract.Bound{
				Connector: "WriteToHttp", Secret: contractSecret, Pings: true,
				Config: func(address string) map[string]any {
					config := map[string]any{"url": "http://u:" + contractSecret + "@" + address + "/in", "headers": map[string]any{"X-Token": contractSecret}}
					maps.Copy(config, keys)
					return config
				},
				Wrong: []contract.Wrong{
					{Name: "address and sizes", Set: map[string]any{"url": "ftp://u:" + contractSecret + "@h", "batch_rows": int64(-1), "max_in_flight": int64(0)},
						Want: map[string]diag.Code{"url": diag.BadValue, "batch_rows": diag.BadValue, "max_in_flight": diag.BadValue}},
					{Name: "rows of text", Set: map[string]any{"format": "RAW", "batch_rows": int64(2)}, Want: map[string]diag.Code{"batch_rows": diag.BadValue}},
				},
			},
			Syncs: true, Refuses: true, Meters: true,
			Start: func(t *testing.T) *contract.Target {
				server := receive(t, func(_ int64, w http.ResponseWriter, _ *http.Request, body string) bool {
					if strings.Contains(body, "refuse me") {
						w.WriteHeader(http.StatusUnprocessableEntity)
						return true
					}
					return false
				})
				x := &contract.Target{Config: map[string]any{"url": server.URL}, Refused: "refuse me"}
				maps.Copy(x.Config, keys)
				x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
					server.mu.Lock()
					defer server.mu.Unlock()
					return contract.Decode(t, schema, messagesOf(t, server.bodies))
				}
				x.Types, x.TypeRows = contract.JSONTypes()
				return x
			},
		}
	}
	t.Run("objects", func(t *testing.T) { contract.Sink(t, sink(nil)) })
	t.Run("arrays", func(t *testing.T) { contract.Sink(t, sink(map[string]any{"batch_rows": int64(7)})) })
	t.Run("lines", func(t *testing.T) { contract.Sink(t, sink(map[string]any{"batch_rows": int64(7), "format": "NDJSON"})) })
}

// messagesOf are the objects of bodies: one each, an array, or lines.
func messagesOf(t *testing.T, bodies []string) (out [][]byte) {
	t.Helper()
	for _, body := range bodies {
		d := json.NewDecoder(strings.NewReader(body))
		for {
			var some json.RawMessage
			err := d.Decode(&some)
			if err == io.EOF {
				break
			}
			var list []json.RawMessage
			if err == nil && some[0] == '[' {
				err = json.Unmarshal(some, &list)
			} else {
				list = append(list, some)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range list {
				out = append(out, one)
			}
		}
	}
	return out
}
