package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// reporter says on standard error how a run goes: for people, or as one JSON object for each event. It may be used by
// several goroutines.
type reporter struct {
	g       *global
	w       io.Writer
	asJSON  bool
	rows    bool     // may be shown: logs that are kept and sent on are no place for them
	monitor *monitor // that serves how a run goes; nil: none

	mu    sync.Mutex
	drawn int // lines of the live display on the screen now
}

func newReporter(g *global, asJSON bool) *reporter { return &reporter{g: g, w: g.err, asJSON: asJSON} }

// redact replaces the secrets in a text by the references to them.
func (r *reporter) redact(text string) string { return catalog.Redact(text) }

// resources are what a process has used. Zero means not known.
type resources struct {
	cpu        time.Duration
	peakMemory int64 // bytes
}

// event is what a program reads of a run. Times are seconds.
type event struct {
	Event    string      `json:"event"` // log, summary, failed, interrupted; of streams: started, late, stopped
	Level    string      `json:"level,omitempty"`
	Text     string      `json:"text,omitempty"`
	Pipeline string      `json:"pipeline,omitempty"`
	Sources  []flowJSON  `json:"sources,omitempty"`
	Models   []modelJSON `json:"models,omitempty"`
	Sinks    []flowJSON  `json:"sinks,omitempty"`
	// Of streams:
	Job         string `json:"job,omitempty"`
	Epoch       int64  `json:"epoch,omitempty"` // of the checkpoint that it goes on from, or stopped at
	Late        int64  `json:"late_rows,omitempty"`
	Future      int64  `json:"future_rows,omitempty"` // set aside
	Checkpoints int64  `json:"checkpoints,omitempty"`
	Failures    int64  `json:"checkpoint_failures,omitempty"`

	Notes      []string `json:"notes,omitempty"` // what sources tell of what they read
	Wall       float64  `json:"wall_s,omitempty"`
	CPU        float64  `json:"cpu_s,omitempty"`
	PeakMemory int64    `json:"peak_memory_bytes,omitempty"`
	Problem    any      `json:"problem,omitempty"`
}

// modelJSON is what a model has done. Times are in seconds, sums over the workers.
type modelJSON struct {
	Name        string  `json:"name"`
	Rows        int64   `json:"rows"`
	Failed      int64   `json:"failed,omitempty"`
	Runs        int64   `json:"runs"`
	Items       int64   `json:"items"`
	Largest     int64   `json:"largest_batch"`
	Resets      int64   `json:"state_resets,omitempty"`
	Preprocess  float64 `json:"preprocess_seconds"`
	Inference   float64 `json:"inference_seconds"`
	Postprocess float64 `json:"postprocess_seconds"`
	Slowest     float64 `json:"slowest_run_seconds"`
}

// flowJSON is one source or sink.
type flowJSON struct {
	Name      string   `json:"name"`
	Transform string   `json:"transform"`
	Rows      int64    `json:"rows"`
	Errors    int64    `json:"errors,omitempty"`
	Committed *bool    `json:"committed,omitempty"`
	Files     []string `json:"files,omitempty"`
	Bytes     int64    `json:"bytes,omitempty"`
}

// locked runs f with the live display off the screen; the display comes back by itself.
func (r *reporter) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.eraseLocked()
	f()
}

func (r *reporter) erase() { r.locked(func() {}) }

func (r *reporter) eraseLocked() {
	if r.drawn > 0 {
		fmt.Fprintf(r.w, "\x1b[%dA\r\x1b[J", r.drawn)
		r.drawn = 0
	}
}

// problems shows what checking the file has found.
func (r *reporter) problems(problems *diag.List) {
	r.locked(func() { r.g.showProblems(r.w, problems, r.asJSON) })
}

// line shows a line that the pipeline logs.
func (r *reporter) line(level, text string) {
	r.locked(func() {
		if r.asJSON {
			writeJSON(r.w, event{Event: "log", Level: level, Text: r.redact(text)})
			return
		}
		fmt.Fprintf(r.w, "%s: %s\n", level, r.redact(text))
	})
}

func (r *reporter) stopping() {
	if !r.asJSON {
		r.locked(func() { fmt.Fprintln(r.w, "leat: stopping; interrupt again to end at once") })
	}
}

// redacted is a problem without the secrets that connectors know. The line of the file stays: it has the references.
func redacted(p *diag.Problem) *diag.Problem {
	out := *p
	out.Text, out.Hint = catalog.Redact(p.Text), catalog.Redact(p.Hint)
	out.Notes = slices.Clone(p.Notes)
	for i := range out.Notes {
		out.Notes[i].Text = catalog.Redact(out.Notes[i].Text)
	}
	return &out
}

// summary says how a run that succeeded went.
func (r *reporter) summary(p *plan.Plan, result *engine.Result, end *streamEnd, used resources) {
	result.Notes = slices.Clone(result.Notes)
	for i, note := range result.Notes {
		result.Notes[i] = r.redact(note)
	}
	r.locked(func() {
		if r.asJSON {
			if end != nil && end.stopped {
				writeJSON(r.w, event{Event: "stopped", Job: end.job, Epoch: end.epoch})
			}
			e := newEvent("summary", p.Name, result)
			e.Notes = result.Notes
			if end != nil {
				e.Job, e.Epoch, e.Checkpoints, e.Failures = end.job, end.epoch, end.checkpoints, end.failures
				e.Late, e.Future = lateRows(result.Nodes)
			}
			e.CPU, e.PeakMemory = used.cpu.Seconds(), used.peakMemory
			writeJSON(r.w, e)
			return
		}
		writeSummary(r.w, result, end, used)
	})
}

// withoutRow returns a failure as it may be logged.
func (r *reporter) withoutRow(err error) error {
	var f *diag.Failure
	if r.rows || !errors.As(err, &f) || f.Row == "" {
		return err
	}
	of := *f
	of.Row = ""
	return &of
}

// failure says why a run failed and what became of its output.
func (r *reporter) failure(p *diag.Problem, result *engine.Result) {
	r.locked(func() {
		if r.asJSON {
			e := newEvent("failed", "", result)
			e.Problem = newProblemJSON(redacted(p))
			writeJSON(r.w, e)
			return
		}
		r.g.showProblems(r.w, &diag.List{Problems: []*diag.Problem{p}}, false)
		fmt.Fprintf(r.w, "\n%s", writtenText("failed", result))
	})
}

// interrupted says what became of the output of a run that was stopped.
func (r *reporter) interrupted(result *engine.Result) {
	r.locked(func() {
		if r.asJSON {
			writeJSON(r.w, newEvent("interrupted", "", result))
			return
		}
		io.WriteString(r.w, writtenText("interrupted", result))
	})
}

func newEvent(kind, name string, result *engine.Result) event {
	e := event{Event: kind, Pipeline: name, Wall: result.Wall.Seconds()}
	for _, n := range result.Nodes {
		if n.Kind == "source" {
			e.Sources = append(e.Sources, flowJSON{Name: n.Name, Transform: n.Transform, Rows: n.Rows, Errors: n.Errors})
		}
		if m := n.Model; m != nil {
			e.Models = append(e.Models, modelJSON{Name: n.Name, Rows: m.Rows, Failed: m.Failed, Runs: m.Runs, Items: m.Items, Largest: m.Largest, Resets: m.Resets,
				Preprocess: m.Preprocess.Seconds(), Inference: m.Inference.Seconds(), Postprocess: m.Postprocess.Seconds(), Slowest: m.Slowest.Seconds()})
		}
	}
	for _, w := range result.Written {
		e.Sinks = append(e.Sinks, flowJSON{Name: w.Name, Transform: w.Transform, Rows: w.Rows, Committed: &w.Committed, Files: w.Files, Bytes: w.Bytes})
	}
	return e
}

// writtenText says of a run that did not succeed what is there now and what is not.
func writtenText(how string, result *engine.Result) string {
	var b strings.Builder
	var kept, lost []string
	for _, w := range result.Written {
		switch {
		case w.Committed && len(w.Files) > 0:
			kept = append(kept, fmt.Sprintf("  %s: %s in %s", w.Name, count64(w.Rows, "row"), strings.Join(w.Files, ", ")))
		case !w.Committed:
			lost = append(lost, fmt.Sprintf("  %s: had taken %s", w.Name, count64(w.Rows, "row")))
		}
	}
	fmt.Fprintf(&b, "%s after %s", how, formatDuration(result.Wall))
	if len(kept) == 0 {
		b.WriteString("; nothing was written\n")
	} else {
		fmt.Fprintf(&b, "; written:\n%s\n", strings.Join(kept, "\n"))
	}
	if len(lost) > 0 {
		fmt.Fprintf(&b, "not written:\n%s\n", strings.Join(lost, "\n"))
	}
	return b.String()
}
