package task

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Predictor is a task bound to a model and, once started, to its sessions. It may then be used by many goroutines at once.
type Predictor struct {
	Bound
	Task     *Task
	Package  *model.Package
	Settings Settings
	ModelID  string // what predictions say of their model

	batch    int           // items of one run at the most
	slots    chan struct{} // one for each run that may be under way; nil: callers run one after another
	sessions []infer.Session
	running  sync.RWMutex // read by runs; written by one that has to be alone
	metrics  metrics
}

// Open binds the named task to the package that ref names. config is plain data: the task's own fields, and those of Fields.
// It reads the package's files and needs no runtime. A *catalog.Problem names the key at fault.
func Open(name, ref string, config map[string]any) (*Predictor, error) {
	t := LookUp(name)
	if t == nil {
		return nil, &catalog.Problem{Key: "task", Code: diag.BadValue, Text: fmt.Sprintf("no task is named %q", name),
			Hint: diag.DidYouMean(name, "tasks", Names())}
	}
	settings, wrong := settingsOf(config)
	p, err := model.Open(ref, model.Options{File: settings.File, DType: settings.DType})
	if err != nil {
		problem := &catalog.Problem{Key: "model", Code: diag.BadModel, Text: err.Error()}
		var missing *model.NotFound
		if errors.As(err, &missing) {
			problem.Hint = missing.Hint()
		}
		return nil, errors.Join(wrong, problem)
	}
	whole, err := withPackage(config, t, p)
	if err = errors.Join(wrong, settings.allowed(p), err); err != nil {
		return nil, err
	}
	bound, err := t.Bind(&Setup{Package: p, Config: whole})
	if err != nil {
		return nil, atFault(err, config, p)
	}
	id, err := p.ShortID()
	if err != nil {
		return nil, &catalog.Problem{Key: "model", Code: diag.BadModel, Text: err.Error()}
	}
	predictor := &Predictor{Bound: bound, Task: t, Package: p, Settings: settings, ModelID: id}
	predictor.batch, err = predictor.batchSize()
	return predictor, err
}

// atFault makes a problem of the model out of what Bind finds, but where the configuration has the key that is at fault.
func atFault(err error, config map[string]any, p *model.Package) error {
	var problem *catalog.Problem
	if !errors.As(err, &problem) {
		return &catalog.Problem{Key: "model", Code: diag.BadModel, Text: err.Error()}
	}
	if _, given := config[problem.Key]; given || p.Config.Leat[problem.Key] == nil {
		return err
	}
	return &catalog.Problem{Key: "model", Code: diag.BadModel, Text: fmt.Sprintf("model %s: config.json: leat.%s: %s", p.Name, problem.Key, problem.Text), Hint: problem.Hint}
}

// withPackage adds to a configuration what the package says under leat in config.json of the task's settings that are not given. Numbers,
// texts and truth values are checked here, lists and objects by the task.
func withPackage(config map[string]any, t *Task, p *model.Package) (map[string]any, error) {
	out, said, problems := maps.Clone(config), &catalog.Map{}, diag.List{}
	for _, f := range t.Fields {
		v, ok := p.Config.Leat[f.Name]
		if _, given := config[f.Name]; given || !ok {
			continue
		}
		if out == nil {
			out = map[string]any{}
		}
		switch out[f.Name] = wholeNumbers(v); out[f.Name].(type) {
		case string, bool, int64, float64:
			said.Entries = append(said.Entries, catalog.Entry{Key: f.Name, Value: &catalog.Value{Data: out[f.Name]}})
		}
	}
	if !catalog.CheckObject(&catalog.Value{Data: said}, diag.Place{}, "leat", t.Fields, &problems) {
		first := problems.Problems[0]
		return nil, &catalog.Problem{Key: "model", Code: diag.BadModel, Text: fmt.Sprintf("model %s: config.json: leat: %s", p.Name, first.Text), Hint: first.Hint}
	}
	return out, nil
}

// wholeNumbers makes integers of JSON's numbers that are whole, as configurations have them.
func wholeNumbers(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = wholeNumbers(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = wholeNumbers(e)
		}
		return out
	}
	return v
}

// batchSize is how many items one run takes: what is asked for, as far as the model allows.
func (p *Predictor) batchSize() (int, error) {
	size := p.Settings.MaxBatch
	if size == 0 {
		size = max(p.Task.Batch, 0)
	}
	if size == 0 {
		size = DefaultBatch
	}
	if most := p.MaxBatch(); most > 0 {
		size = min(size, most)
	}
	if p.Settings.BatchVariant {
		return size, nil
	}
	for _, role := range p.Roles() {
		g, err := p.Package.Graph(role)
		if err != nil {
			return 0, &catalog.Problem{Key: "model", Code: diag.BadModel, Text: err.Error()}
		}
		if g.Quantised() {
			return 1, nil // what a row gets would depend on the rows beside it
		}
	}
	return size, nil
}

// Start loads the sessions and runs each once, so that the first row does not wait for what is made on first use.
func (p *Predictor) Start(ctx context.Context, open infer.Opener, log func(level, text string)) error {
	if open == nil {
		return errors.New("models cannot be run here: there is no runtime")
	}
	runtime, err := open(ctx, p.Settings.need())
	if err != nil {
		return err
	}
	options := p.Settings.Session
	options.Log = log
	for _, role := range p.Roles() {
		g, err := p.Package.Graph(role)
		if err != nil {
			return err
		}
		source := infer.Source{Name: p.Package.Name, Path: g.Path, Bytes: g.Bytes}
		session, err := runtime.Load(ctx, source, options)
		if err != nil {
			return errors.Join(err, p.Close())
		}
		p.sessions = append(p.sessions, session)
	}
	if err := p.warm(ctx); err != nil {
		return errors.Join(err, p.Close())
	}
	return nil
}

// Warmer is a Bound that can make rows up to warm its sessions with.
type Warmer interface {
	Warm() *Rows
}

func (p *Predictor) warm(ctx context.Context) error {
	w, ok := p.Bound.(Warmer)
	if !ok {
		return nil
	}
	_, _, _, err := p.Predict(ctx, w.Warm())
	p.metrics = metrics{}
	return err
}

// Close frees the sessions.
func (p *Predictor) Close() error {
	var errs []error
	for _, s := range p.sessions {
		errs = append(errs, s.Close())
	}
	p.sessions = nil
	return errors.Join(errs...)
}

// ChunkRows is how many rows are best given to Predict at once: more take memory, fewer leave batches unfilled.
func (p *Predictor) ChunkRows() int {
	pool := max(p.Task.Pool, 1)
	if s, ok := p.Bound.(interface{ numbers() int64 }); ok { // rows that are large are split few at a time
		pool = min(pool, int(max(1, maxChunkNumbers/max(1, s.numbers()*int64(p.batch)))))
	}
	return pool * p.batch
}

// Predict predicts rows. It returns the predictions of the rows that have one, in their order, the numbers of those rows,
// and the rows that failed. err is a failure of the run as a whole: the context's, or a session that is closed.
func (p *Predictor) Predict(ctx context.Context, rows *Rows) (predictions *column.Vector, ok []int32, failures []Failure, err error) {
	start := time.Now()
	work, failures := p.Split(rows)
	p.metrics.split.Add(int64(time.Since(start)))
	failed := map[int32]error{}
	for _, f := range failures {
		failed[f.Row] = f.Err
	}
	rowOf := work.Rows()
	items := make([]int32, len(rowOf))
	for i := range items {
		items[i] = int32(i)
	}
	byLength := func(a, b int32) int { return work.Length(int(a)) - work.Length(int(b)) }
	if !slices.IsSortedFunc(items, byLength) {
		slices.SortStableFunc(items, byLength)
	}
	if err := p.runBatches(ctx, work, items, failed); err != nil {
		return nil, nil, nil, err
	}
	start = time.Now()
	defer func() { p.metrics.join.Add(int64(time.Since(start))) }()
	ok = make([]int32, 0, rows.N)
	failures = failures[:0]
	for i := range int32(rows.N) {
		if err, bad := failed[i]; bad {
			failures = append(failures, Failure{Row: i, Err: err})
		} else {
			ok = append(ok, i)
		}
	}
	p.metrics.rows.Add(int64(len(ok)))
	p.metrics.failed.Add(int64(len(failures)))
	predictions, err = work.Join(ok)
	return predictions, ok, failures, err
}

// SetWorkers says how many goroutines are going to predict: as many runs may then be under way at once, of one caller where the others have
// nothing to do. Without it a caller runs one batch after another. It is called before the first prediction.
func (p *Predictor) SetWorkers(n int) { p.slots = make(chan struct{}, max(n, 1)) }

// runBatches predicts the items in batches, several at once as long as there are workers without work of their own. What a batch holds does
// not depend on that.
func (p *Predictor) runBatches(ctx context.Context, work Work, items []int32, failed map[int32]error) error {
	b := &batches{p: p, work: work, failed: failed}
	for batch := range slices.Chunk(items, p.batch) {
		b.left = append(b.left, batch)
	}
	if p.slots == nil || len(b.left) < 2 {
		return b.run(ctx)
	}
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	var helpers sync.WaitGroup
	errs := make([]error, len(b.left)) // each goroutine has a place of its own, the caller the first
	for i := 1; i < len(errs) && p.takeSlot(); i++ {
		helpers.Go(func() {
			defer func() { <-p.slots }()
			errs[i] = b.run(ctx)
		})
	}
	errs[0] = b.run(ctx)
	helpers.Wait()
	return errors.Join(errs...)
}

// takeSlot takes a slot if one is free.
func (p *Predictor) takeSlot() bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// batches are the batches of one call of Predict.
type batches struct {
	p    *Predictor
	work Work
	mu   sync.Mutex
	next int
	left [][]int32

	failed map[int32]error // by row
}

// run predicts batches until there are no more.
func (b *batches) run(ctx context.Context) error {
	for {
		b.mu.Lock()
		i := b.next
		b.next++
		b.mu.Unlock()
		if i >= len(b.left) {
			return nil
		}
		if err := b.predict(ctx, b.left[i]); err != nil {
			return err
		}
	}
}

// once runs a batch. One item that finds no memory is run again with no other run of the model beside it: whether it can be predicted must not
// depend on what the other workers do.
func (b *batches) once(ctx context.Context, batch []int32) error {
	b.p.running.RLock()
	err := recovered(func() error { return b.work.Predict(ctx, b.p.sessions, batch) })
	b.p.running.RUnlock()
	if err == nil || len(batch) > 1 || !outOfMemory(err) {
		return err
	}
	b.p.running.Lock()
	defer b.p.running.Unlock()
	return recovered(func() error { return b.work.Predict(ctx, b.p.sessions, batch) })
}

// outOfMemory reports whether a run failed for want of memory, as ONNX Runtime says it.
func outOfMemory(err error) bool {
	text := err.Error()
	return strings.Contains(text, "Available memory of") || strings.Contains(text, "Failed to allocate memory") || strings.Contains(text, "bad_alloc")
}

// recovered runs f and turns a panic into an error, so that a graph with outputs that nobody thought of costs its rows, not the process.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of leat's: %v; please report it with the model", p)
		}
	}()
	return f()
}

// predict predicts a batch. Where that fails its items are predicted one by one, so that only those fail that have to; a process
// that has died is not asked again.
func (b *batches) predict(ctx context.Context, batch []int32) error {
	start := time.Now()
	err := b.once(ctx, batch)
	b.p.metrics.run(len(batch), time.Since(start))
	var single ItemErrors
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &single):
		b.mu.Lock()
		for item, err := range single {
			b.failed[b.work.Rows()[item]] = err
		}
		b.mu.Unlock()
		return nil
	case len(batch) == 1 || errors.Is(err, infer.ErrCrashed):
		b.mu.Lock()
		for _, item := range batch {
			b.failed[b.work.Rows()[item]] = err
		}
		b.mu.Unlock()
		return nil
	}
	for _, item := range batch {
		if err := b.predict(ctx, []int32{item}); err != nil {
			return err
		}
	}
	return nil
}

// metrics are written by all goroutines that predict.
type metrics struct {
	rows, failed, runs, items, largest, slowest atomic.Int64
	split, predict, join                        atomic.Int64 // nanoseconds
	resets                                      atomic.Int64
}

func (m *metrics) run(items int, took time.Duration) {
	m.runs.Add(1)
	m.items.Add(int64(items))
	m.predict.Add(int64(took))
	raise(&m.largest, int64(items))
	raise(&m.slowest, int64(took))
}

// raise makes v the value of a maximum, if it is greater.
func raise(to *atomic.Int64, v int64) {
	for {
		n := to.Load()
		if v <= n || to.CompareAndSwap(n, v) {
			return
		}
	}
}

// Metrics is what a predictor has done so far. Times are sums over all goroutines.
type Metrics struct {
	Rows, Failed int64
	Runs, Items  int64 // Items / Runs is the mean size of a batch
	Largest      int64 // batch, in items
	Resets       int64 // of states, by a gap in event time or by another model
	// Preprocess is the time to split rows into items; Inference that of the runs; Postprocess that to join items.
	Preprocess, Inference, Postprocess time.Duration
	Slowest                            time.Duration // run
}

// Metrics may be asked at any time.
func (p *Predictor) Metrics() Metrics {
	m := &p.metrics
	return Metrics{Rows: m.rows.Load(), Failed: m.failed.Load(), Runs: m.runs.Load(), Items: m.items.Load(), Largest: m.largest.Load(), Resets: m.resets.Load(),
		Slowest: time.Duration(m.slowest.Load()), Preprocess: time.Duration(m.split.Load()), Inference: time.Duration(m.predict.Load()), Postprocess: time.Duration(m.join.Load())}
}
