package faults

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-project/leat/internal/services"
)

const downText = `
pipeline:
  transforms:
    - type: ReadFromKafka
      name: Read
      config:
        bootstrap_servers: "$servers$"
        topic: $in$
        format: JSON
        schema: {type: object, properties: {id: {type: integer}, device: {type: string}, value: {type: integer}, ts: {type: integer}}}
    - type: WriteToPostgres
      name: ToPostgres
      input: Read
      config: {url: "$postgres$", table: $table$, create: true}
options: {job_name: $job$, checkpoint_interval: $interval$}
`

// identities reads how many rows the table has, and how many different ones.
func (f *feed) identities() (rows, different int) {
	f.t.Helper()
	db, err := pgx.Connect(f.t.Context(), services.Postgres(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close(context.Background())
	if err := db.QueryRow(f.t.Context(), "select count(*), count(distinct id) from "+f.table()).Scan(&rows, &different); err != nil {
		f.t.Fatal(err)
	}
	return rows, different
}

// TestFaultSinkDown has a database away for longer than rows may wait for it: the source waits, memory is bounded, and all goes on by itself.
func TestFaultSinkDown(t *testing.T) {
	table := newProxy(t, hostOf(t, services.Postgres(t)))
	f := newFeed(t, "down", 7)
	dir := t.TempDir()
	file, job := f.write(dir, downText, map[string]string{"postgres": table.through(t, services.Postgres(t))})
	listen := freeAddress(t)
	p := start(t, dir, file, "--memory-limit", "256MiB", "--listen", listen)
	held := watchMemory(p)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	f.begun(p, job, ctx)
	table.down()
	rows := scale(1_000_000)
	paused := int64(-1)
	for since := time.Now(); time.Since(since) < 15*time.Second; { // ten seconds is how long rows may wait
		f.send(rows / 100)
		time.Sleep(50 * time.Millisecond)
	}
	for since, last := time.Now(), int64(-1); time.Since(since) < 3*time.Second; {
		f.send(rows / 100)
		read := metric(t, listen, "leat_rows_total", `node="Read"`)
		if read != last {
			last, since = read, time.Now()
		}
		paused = read
		if ctx.Err() != nil {
			t.Fatal("the source is never paused")
		}
		time.Sleep(50 * time.Millisecond)
	}
	sent := f.sent
	table.up(t)
	until(ctx, t, "all rows to be written", func() bool { return f.consumed(job) == int64(f.sent) })
	peak, _ := held.peak()
	p.stop(t)
	t.Logf("the run: %s", p.log)
	got, different := f.identities()
	t.Logf("%d rows sent while the database was down, %d of them were read; then %d of %d rows, %d different; %.0f MiB of memory at the most",
		sent, paused, got, f.sent, different, float64(peak)/mib)
	if paused < 0 || int(paused) >= sent {
		t.Error("the source was not paused")
	}
	if got != f.sent || different != f.sent {
		t.Errorf("%d rows, %d different; want %d", got, different, f.sent)
	}
	if peak > 256*mib*12/10 {
		t.Errorf("%.0f MiB of memory with --memory-limit 256MiB", float64(peak)/mib)
	}
	if strings.Contains(p.log.String(), "ERROR") {
		t.Error("an error is logged though the database came back")
	}
}
