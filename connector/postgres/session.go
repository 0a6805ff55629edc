package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// server opens connections and tells errors that pass from those that do not.
type server struct {
	config *pgx.ConnConfig
	retry  retry.Caller

	failures atomic.Int64 // of connections and transactions that were tried again
	mu       sync.Mutex
	last     string
}

// boundedAttempts limits how long a run that ends waits for a server, some minutes: who started it may be there to see.
const boundedAttempts = 8

// pingTimeout limits what is asked while a pipeline is checked.
const pingTimeout = 15 * time.Second

func newServer(config map[string]any) (*server, error) {
	c, err := parseServer(config)
	caller, retryErr := retry.FromConfig(config)
	if err := errors.Join(err, retryErr); err != nil {
		return nil, err
	}
	s := &server{config: c, retry: *caller}
	s.retry.Failed = func(err error) {
		s.failures.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = err.Error()
	}
	return s, nil
}

// endless lets it wait for its server for ever, unless the configuration says otherwise.
func (s *server) caller(endless bool) *retry.Caller {
	c := s.retry
	if !endless && c.Policy.Attempts == 0 {
		c.Policy.Attempts = boundedAttempts
	}
	return &c
}

// connect tries once.
func (s *server) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, s.explain(err)
	}
	return conn, nil
}

// ping asks whether the server is there and lets us in.
func (s *server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return retry.Plain(err)
	}
	defer closeConn(conn)
	if err := conn.Ping(ctx); err != nil {
		return retry.Plain(s.explain(err))
	}
	return nil
}

// metrics are those that readers and writers share.
func (s *server) metrics() []catalog.Metric {
	m := []catalog.Metric{{Name: "postgres_retries_total", Help: "How often a connection or transaction failed and was tried again.",
		Value: float64(s.failures.Load()), Counter: true}}
	if s.retry.Breaker != nil {
		m = append(m, s.retry.Breaker.Metrics()...)
	}
	return m
}

// closeConn says good-bye, but not for long.
func closeConn(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing can be lost: transactions have been ended, or are to be given up
}

// explain gives an error of the server its form for people: what will not pass is a *diag.Failure with a remedy, marked as permanent.
func (s *server) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || retry.IsPermanent(err) {
		return err
	}
	var failure *diag.Failure
	if errors.As(err, &failure) {
		return retry.Permanent(err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("PostgreSQL at %s: %s", s.where(), s.hide(err.Error()))
	}
	text := fmt.Errorf("PostgreSQL at %s: %s", s.where(), s.hide(describe(pg)))
	if passes(pg.Code) {
		return text
	}
	code, hint := s.remedy(pg)
	return retry.Permanent(&diag.Failure{Code: code, Err: &serverError{text, pg}, Hint: hint})
}

// serverError keeps the error of the server within its form for people.
type serverError struct {
	error
	pg *pgconn.PgError
}

func (e *serverError) Unwrap() error { return e.pg }

func (s *server) where() string {
	return fmt.Sprintf("%s:%d, database %q", s.config.Host, s.config.Port, s.config.Database)
}

// hide takes the password out of a text, should the server or a library ever put it there.
func (s *server) hide(text string) string {
	if len(s.config.Password) < 4 { // so short a text would be found everywhere
		return text
	}
	return strings.ReplaceAll(text, s.config.Password, "***")
}

// describe says all that helps of a server's error, on one line.
func describe(pg *pgconn.PgError) string {
	text := pg.Message
	for _, more := range []string{pg.Detail, pg.Hint, pg.Where} {
		if more = strings.Join(strings.Fields(more), " "); more != "" {
			text += "; " + more
		}
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", text, pg.Code)
}

// passes reports whether an error of that SQLSTATE may be gone when it is tried again.
func passes(code string) bool {
	switch code {
	case "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "25006", "57014":
		return true // deadlocks and the like, a server that restarts or has become a standby, a statement's time-out
	}
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53")
}

// ofRow reports whether an error is that of a row's values.
func ofRow(pg *pgconn.PgError) bool {
	switch pg.Code[:min(2, len(pg.Code))] {
	case "22", "23", "44", "54", "P0":
		return true
	}
	return false
}

// remedy says what to do about an error that does not pass.
func (s *server) remedy(pg *pgconn.PgError) (diag.Code, string) {
	switch {
	case pg.Code == "28P01":
		return diag.NoServer, fmt.Sprintf("Check \"username\" (now %q) and \"password\".", s.config.User)
	case strings.HasPrefix(pg.Code, "28"):
		return diag.NoServer, fmt.Sprintf("The server's pg_hba.conf does not let the user %q in from here, or the role is missing.", s.config.User)
	case pg.Code == "3D000":
		return diag.NoServer, "Check the database at the end of \"url\", or create it."
	case pg.Code == "42501":
		return diag.NoServer, fmt.Sprintf("Grant the role %q what it lacks (GRANT … ON … TO …), or log in as another.", s.config.User)
	case pg.Code == "42P01" || pg.Code == "3F000":
		return diag.NoServer, "Check the name of the table and its schema, which is a part of it: schema.table."
	case strings.HasPrefix(pg.Code, "42"):
		return diag.BadValue, "Check \"query\", and the columns that the table has now."
	case ofRow(pg):
		return diag.CannotWrite, "Change the row before it comes here (MapToFields, Filter), or the table."
	}
	return diag.NoServer, ""
}

// session is one connection, made when it is needed and again when it was lost. It is for one caller at a time.
type session struct {
	server *server
	caller *retry.Caller
	conn   *pgx.Conn
}

// do calls f with a connection until it works or fails for good.
func (x *session) do(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	err := x.caller.Do(ctx, func(ctx context.Context) (err error) {
		if x.conn != nil && x.conn.IsClosed() {
			x.conn = nil
		}
		if x.conn == nil {
			if x.conn, err = x.server.connect(ctx); err != nil {
				return err
			}
		}
		if err = f(ctx, x.conn); err != nil {
			x.close() // whatever state it is in
		}
		return x.server.explain(err)
	})
	var tired *retry.Exhausted
	if errors.As(err, &tired) {
		return &diag.Failure{Code: diag.NoServer, Err: err, Hint: "Check that the server runs, and that \"url\" leads there."}
	}
	return err
}

// transaction calls f in a transaction until that is committed. Where the answer to a commit is lost, f is called again.
func (x *session) transaction(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	return x.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "begin"); err != nil {
			return err
		}
		if err := f(ctx, conn); err != nil {
			return err // the connection is closed, which rolls back
		}
		return commit(ctx, conn)
	})
}

// commit ends a transaction; the server answers a commit of one that has failed with a rollback.
func commit(ctx context.Context, conn *pgx.Conn) error {
	tag, err := conn.Exec(ctx, "commit")
	if err == nil && tag.String() != "COMMIT" {
		return fmt.Errorf("the server answered a commit with %q", tag)
	}
	return err
}

func (x *session) close() {
	closeConn(x.conn)
	x.conn = nil
}
