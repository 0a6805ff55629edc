package http

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// BenchmarkWebhook posts messages over loopback, by 64 clients, to a log on disk, each answered once it is synced.
func BenchmarkWebhook(b *testing.B) {
	for _, per := range []int{1, 1000} {
		b.Run(fmt.Sprintf("messages=%d", per), func(b *testing.B) {
			w, err := newWebhook(config("listen", "127.0.0.1:0", "dedup", "n"))
			if err != nil {
				b.Fatal(err)
			}
			schema, _ := w.Schema(b.Context())
			s := w.open(schema)
			if err := s.inbox.Resume(b.Context(), catalog.Resume{Dir: b.TempDir()}); err != nil {
				b.Fatal(err)
			}
			if err := s.inbox.ready(b.Context()); err != nil {
				b.Fatal(err)
			}
			out := &taken{schema: column.Schema{}, more: make(chan struct{})}
			var reader sync.WaitGroup
			reader.Go(func() {
				d := s.inbox.NewDecoder()
				var m catalog.Morsel
				for s.inbox.Next(b.Context(), &m) == nil {
					_ = d.Decode(b.Context(), &m, out)
					_ = s.inbox.Acknowledge(b.Context(), map[string]string{"": m.Position})
				}
			})
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			url := "http://" + s.listener.Addr().String() + "/"
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range 64 {
				wg.Go(func() {
					for i := c; i < b.N; i += 64 {
						var body bytes.Buffer
						for k := range per {
							fmt.Fprintf(&body, "{\"id\":\"device-%d\",\"n\":%d}\n", i, i*per+k)
						}
						answer, err := client.Post(url, "application/x-ndjson", &body)
						if err != nil || answer.StatusCode != http.StatusAccepted {
							b.Error(err)
							return
						}
						_ = answer.Body.Close()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N*per)/b.Elapsed().Seconds(), "messages/s")
			_ = s.inbox.Close()
			reader.Wait()
			client.CloseIdleConnections()
		})
	}
}
