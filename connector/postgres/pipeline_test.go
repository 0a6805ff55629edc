package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/internal/services"
	"github.com/leat-project/leat/internal/vfs"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/state"
)

const pickyPipeline = `
pipeline:
  transforms:
    - type: ReadFromCsv
      name: Read
      config: {path: %[1]s/in.csv}
    - type: WriteToPostgres
      name: Write
      input: Read
      config:
        url: %[2]s
        table: %[3]s
        mode: %[4]s
        key: id
        exactly_once: %[5]v
        error_handling: {output: bad}
    - type: WriteToJson
      name: Bad
      input: Write.bad
      config: {path: %[1]s/bad}
options: {streaming: %[6]v}
`

// pipe is a pipeline that writes rows to a table, of which the server refuses some.
type pipe struct {
	t     *testing.T
	dir   string
	table string
	conn  *pgx.Conn
	rows  int
}

func newPipe(t *testing.T, rows int) *pipe {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), services.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{t, t.TempDir(), fmt.Sprintf("leat_pipe_%d_%d", os.Getpid(), time.Now().UnixNano()), conn, rows}
	p.exec("create table %s (id int primary key, v varchar(8) not null constraint short check (v <> 'bad'), n numeric(4, 2))", p.table)
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "drop table "+p.table)
		_, _ = conn.Exec(context.Background(), "delete from leat_epochs where job = $1", p.table) // which is not there before the first stream
		_ = conn.Close(context.Background())
	})
	var text strings.Builder
	text.WriteString("id,v,n\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d,%s,%v\n", i, map[bool]string{true: "bad", false: "v"}[i%50 == 7], map[bool]float64{true: 1000, false: 1.5}[i%50 == 30])
	}
	if err := os.WriteFile(filepath.Join(p.dir, "in.csv"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pipe) exec(sql string, args ...any) {
	p.t.Helper()
	if _, err := p.conn.Exec(context.Background(), fmt.Sprintf(sql, args...)); err != nil {
		p.t.Fatal(err)
	}
}

// run runs it, as a stream if there is a folder for its state.
func (p *pipe) run(ctx context.Context, mode string, exactly bool, stateDir string) error {
	p.t.Helper()
	text := fmt.Sprintf(pickyPipeline, p.dir, services.Postgres(p.t), p.table, mode, exactly, stateDir != "")
	plan, problems := pipeline.Compile(p.t.Context(), "test.yaml", []byte(text), pipeline.Options{Name: p.table})
	if problems.Failed() {
		p.t.Fatal(problems)
	}
	o := engine.Options{Parallelism: 2}
	if stateDir != "" {
		store, err := state.Open(vfs.OS, stateDir)
		if err != nil {
			p.t.Fatal(err)
		}
		defer store.Close()
		c, _, err := store.Load()
		if err != nil {
			p.t.Fatal(err)
		}
		o.Stream = engine.StreamOptions{Job: p.table, Store: store, Checkpoint: c, Interval: 2 * time.Millisecond}
	}
	_, err := engine.Run(ctx, plan, o)
	return err
}

// check compares the table and the error output with the input.
func (p *pipe) check() {
	p.t.Helper()
	var good, other int
	if err := p.conn.QueryRow(p.t.Context(), "select count(*), count(*) filter (where id % 50 in (7, 30)) from "+p.table).Scan(&good, &other); err != nil {
		p.t.Fatal(err)
	}
	if good != p.rows*48/50 || other != 0 {
		p.t.Errorf("the table has %d rows, %d of them bad", good, other)
	}
	names, err := filepath.Glob(filepath.Join(p.dir, "bad-*"))
	if err != nil {
		p.t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			p.t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var row struct {
				Element    struct{ ID int }
				Msg, Stack string
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				p.t.Fatal(err)
			}
			id := row.Element.ID
			want := map[int]string{7: `check constraint "short"`, 30: `column "n": numeric field overflow`}[id%50]
			if seen[id] || want == "" || !strings.Contains(row.Msg, want) || !strings.Contains(row.Stack, fmt.Sprintf("in.csv:%d", id+2)) {
				p.t.Errorf("row %d, seen before: %v: %s; %s", id, seen[id], row.Msg, row.Stack)
			}
			seen[id] = true
		}
	}
	if len(seen) != p.rows*2/50 {
		p.t.Errorf("%d rows are in the error output", len(seen))
	}
}

// TestPipelineWithErrorOutput runs whole pipelines.
func TestPipelineWithErrorOutput(t *testing.T) {
	for _, mode := range []string{"append", "upsert"} {
		for _, way := range []string{"bounded", "exactly once", "at least once"} {
			t.Run(mode+" "+way, func(t *testing.T) {
				p, dir := newPipe(t, 5000), ""
				if way != "bounded" {
					dir = t.TempDir()
				}
				if err := p.run(t.Context(), mode, way != "at least once", dir); err != nil {
					t.Fatal(err)
				}
				p.check()
			})
		}
	}
}

// TestPipelineWithErrorOutputIsKilled ends a stream again and again.
func TestPipelineWithErrorOutputIsKilled(t *testing.T) {
	p, dir := newPipe(t, 20_000), t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	kills := 0
	for longest := 20 * time.Millisecond; ; longest += longest / 8 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(longest))))
		err := p.run(ctx, "append", true, dir)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("run %d ended with %v", kills, err)
		}
		kills++
	}
	t.Logf("%d kills", kills)
	p.check()
}
