package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/engine"
)

// writeSummary shows what came in, what was written, and what it took.
func writeSummary(w io.Writer, result *engine.Result, end *streamEnd, used resources) {
	rows := [][]string{{"", "rows", "rows/s", ""}}
	var in int64
	for _, n := range result.Nodes {
		if n.Kind != "source" {
			continue
		}
		in += n.Rows
		note := ""
		if n.Errors > 0 {
			note = count64(n.Errors, "bad record")
		}
		rows = append(rows, []string{n.Name, formatCount(n.Rows), perSecond(n.Rows, result.Wall), note})
	}
	sources := len(rows) - 1
	for _, s := range result.Written {
		rows = append(rows, []string{s.Name, formatCount(s.Rows), perSecond(s.Rows, result.Wall), where(s)})
	}
	writeTable(w, rows, sources)
	for _, n := range result.Nodes {
		if n.Model != nil && n.Model.Rows+n.Model.Failed > 0 {
			fmt.Fprintln(w, modelText(n))
		}
	}
	for _, note := range result.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	if end != nil {
		for _, line := range streamLines(result, end) {
			fmt.Fprintln(w, line)
		}
	}
	took := []string{formatDuration(result.Wall)}
	if used.cpu > 0 {
		took = append(took, formatDuration(used.cpu)+" of processor time")
	}
	if used.peakMemory > 0 {
		took = append(took, formatBytes(used.peakMemory)+" of memory at the peak")
	}
	fmt.Fprintf(w, "done: %s in %s\n", count64(in, "row"), strings.Join(took, ", "))
}

// modelText says what a model has done. Times are sums over the workers, beside each other.
func modelText(n engine.NodeProgress) string {
	m := n.Model
	s := fmt.Sprintf("  %s predicted %s", n.Name, count64(m.Rows, "row"))
	if m.Failed > 0 {
		s += fmt.Sprintf(" (%s failed)", formatCount(m.Failed))
	}
	if m.Runs > 0 {
		s += fmt.Sprintf(" in %s of %.1f items on average: %s in the model, %s a run, %s at the most",
			count64(m.Runs, "run"), float64(m.Items)/float64(m.Runs), formatDuration(m.Inference), formatDuration(m.Inference/time.Duration(m.Runs)), formatDuration(m.Slowest))
	}
	return s + fmt.Sprintf("; %s before it, %s after it", formatDuration(m.Preprocess), formatDuration(m.Postprocess))
}

// where says what a sink has made, in a few words.
func where(s engine.Written) string {
	switch len(s.Files) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s in %s", formatBytes(s.Bytes), s.Files[0])
	}
	return fmt.Sprintf("%s in %d files, %s …", formatBytes(s.Bytes), len(s.Files), s.Files[0])
}

// writeTable writes rows of name, two numbers and a note. Sources and sinks are told apart by an arrow: the first
// sources rows after the header lead in, the others out.
func writeTable(w io.Writer, rows [][]string, sources int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		arrow := "  "
		if i > 0 && i <= sources {
			arrow = "→ "
		} else if i > 0 {
			arrow = "← "
		}
		line := fmt.Sprintf("%s%s  %s  %s  %s", arrow, pad(row[0], widths[0]), padLeft(row[1], widths[1]), padLeft(row[2], widths[2]), row[3])
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s))) + s
}

// perSecond writes a rate of rows.
func perSecond(rows int64, d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return formatCount(int64(float64(rows) / d.Seconds()))
}

// formatDuration writes a duration with the digits that matter to a person.
func formatDuration(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func count64(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return formatCount(n) + " " + noun + "s"
}
