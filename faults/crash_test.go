package faults

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leat-project/leat/internal/services"
)

// visible returns how many offsets of the output topic are open to readers of what is committed.
func (f *feed) visible() int64 {
	offsets, err := f.admin.ListCommittedOffsets(f.t.Context(), f.out())
	if err != nil {
		return 0
	}
	total := int64(0)
	offsets.Each(func(o kadm.ListedOffset) { total += max(0, o.Offset) })
	return total
}

// count returns how many rows the table has.
func (f *feed) count() (n int) {
	db, err := pgx.Connect(f.t.Context(), services.Postgres(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close(context.Background())
	if err := db.QueryRow(f.t.Context(), "select count(*) from "+f.table()).Scan(&n); err != nil {
		return 0 // it is not there yet
	}
	return n
}

// begun waits until a run has made its first checkpoint with rows of this feed.
func (f *feed) begun(p *process, job string, ctx context.Context) {
	f.t.Helper()
	from := f.consumed(job)
	f.send(5000)
	until(ctx, f.t, "the run to begin", func() bool {
		select {
		case <-p.done:
			f.t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
		default:
		}
		return f.consumed(job) > from
	})
}

// TestFaultCrashBeforeCommit kills leat when a checkpoint is decided and one of two sinks has committed it; in some rounds it stays down until the
// broker has given up the transactions.
func TestFaultCrashBeforeCommit(t *testing.T) {
	brokers := newBrokers(t, 1)
	server := brokers[0]
	servers, direct := addresses(brokers)
	table := newProxy(t, hostOf(t, services.Postgres(t)))
	for _, first := range []string{"Kafka", "PostgreSQL"} {
		t.Run(first, func(t *testing.T) {
			f := newFeedOn(t, direct, 1, "crash", 3)
			dir := t.TempDir()
			file, job := f.pipeline(dir, map[string]string{"servers": servers, "postgres": table.through(t, services.Postgres(t)),
				"producer": "{transaction.timeout.ms: 3000}", "first": first})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			rounds, between, expired := scale(20), 0, 0
			for round := range max(2, rounds) {
				p := start(t, dir, file)
				f.begun(p, job, ctx)
				if f.crash(ctx, p, first, server, table) {
					between++
				}
				if round%2 == 1 {
					expired++
					time.Sleep(6 * time.Second)
				}
			}
			f.finish(dir, file, job)
			t.Logf("%s commits first: %d crashes, %d of them between the commits, %d followed by a pause longer than a transaction lasts",
				first, max(2, rounds), between, expired)
			if between == 0 {
				t.Error("no crash came between the commits")
			}
		})
	}
}

// crash kills a run while the second sink hangs in its commit. It reports whether the first had put out rows of that epoch.
func (f *feed) crash(ctx context.Context, p *process, first string, server *broker, table *proxy) bool {
	f.t.Helper()
	visible, stuck := f.visible(), table.stuck()
	table.set(func() { table.hung = true })
	defer table.cut() // what leat was about to say is not to arrive when it is gone
	defer table.set(func() { table.hung = false })
	until(ctx, f.t, "PostgreSQL to be asked to commit", func() bool {
		f.send(2000)
		return table.stuck() > stuck
	})
	if first == "Kafka" {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for f.visible() <= visible && short.Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
		p.kill(f.t)
		table.cut()
		return f.visible() > visible
	}
	server.halt()
	defer server.resume()
	rows := f.count()
	table.set(func() { table.hung = false })
	for range 60 {
		if f.count() > rows {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.kill(f.t)
	return f.count() > rows
}
