package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/leat-project/leat/engine"
)

const (
	redrawEvery = 100 * time.Millisecond
	showAfter   = 300 * time.Millisecond // a run that is over sooner shows only its summary
	rateOver    = 2 * time.Second        // rows/s is taken over this long
	barCells    = 20
)

// live redraws a line for each source and sink, in place, while a run goes on. Off a terminal it does nothing.
type live struct {
	log      *reporter
	progress *engine.Progress
	start    time.Time
	past     []sample // of the last rateOver, oldest first
	done     chan struct{}
	wait     sync.WaitGroup
}

// sample is what was known at a time.
type sample struct {
	at    time.Time
	nodes []engine.NodeProgress
}

func startLive(log *reporter, progress *engine.Progress) *live {
	l := &live{log: log, progress: progress, start: time.Now(), done: make(chan struct{})}
	if log.asJSON || !isTerminal(log.w) {
		return l
	}
	l.wait.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-l.done:
				return
			case now := <-ticker.C:
				l.tick(now)
			}
		}
	})
	return l
}

// stop takes the display off the screen.
func (l *live) stop() {
	close(l.done)
	l.wait.Wait()
	l.log.erase()
}

func (l *live) tick(now time.Time) {
	l.past = append(l.past, sample{at: now, nodes: l.progress.Snapshot()})
	for len(l.past) > 2 && now.Sub(l.past[0].at) > rateOver {
		l.past = l.past[1:]
	}
	if now.Sub(l.start) < showAfter {
		return
	}
	width, height := 80, 24
	if f, ok := l.log.w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			width, height = w, h
		}
	}
	lines := liveLines(l.past, l.start, width)
	if s, ok := l.progress.Stream(); ok {
		lines = append(lines, cut(streamLine(l.past[len(l.past)-1], s), width-1))
	}
	if len(lines) > max(1, height-1) {
		lines = lines[:max(1, height-1)]
	}
	l.log.locked(func() {
		fmt.Fprint(l.log.w, strings.Join(lines, "\n")+"\n")
		l.log.drawn = len(lines)
	})
}

// liveLines draws the display: name, rows, rows/s, share and time left where the size is known.
func liveLines(past []sample, start time.Time, width int) []string {
	first, last := past[0], past[len(past)-1]
	nameWidth := 0
	for _, n := range last.nodes {
		if n.Kind == "source" || n.Kind == "sink" {
			nameWidth = max(nameWidth, utf8.RuneCountInString(n.Name))
		}
	}
	nameWidth = min(nameWidth, max(8, width-60))
	var lines []string
	for i, n := range last.nodes {
		if n.Kind != "source" && n.Kind != "sink" {
			continue
		}
		arrow := "→"
		if n.Kind == "sink" {
			arrow = "←"
		}
		rate := float64(n.Rows) / max(last.at.Sub(start).Seconds(), 1e-3)
		if span := last.at.Sub(first.at).Seconds(); span > 0.2 && i < len(first.nodes) {
			rate = float64(n.Rows-first.nodes[i].Rows) / span
		}
		line := fmt.Sprintf("%s %s %15s rows %12s/s", arrow, pad(cut(n.Name, nameWidth), nameWidth), formatCount(n.Rows), formatCount(int64(rate)))
		if n.Kind == "source" {
			line += share(n, last.at.Sub(start))
		}
		lines = append(lines, cut(line, width-1))
	}
	return lines
}

// streamLine says how a stream stands: how far its slowest sink is behind in event time, and what its windows did not take.
func streamLine(now sample, s engine.StreamProgress) string {
	parts := []string{"no watermark yet"}
	var least time.Time
	for _, n := range now.nodes {
		if at, ok := watermark(n); ok && n.Kind == "sink" && (least.IsZero() || at.Before(least)) {
			least = at
		}
	}
	if !least.IsZero() {
		parts[0] = "watermark " + formatDuration(max(now.at.Sub(least), 0)) + " behind"
	}
	late, ahead := lateRows(now.nodes)
	parts = append(parts, count64(late, "row")+" late")
	if ahead > 0 {
		parts = append(parts, formatCount(ahead)+" set aside")
	}
	if s.Epoch > 0 {
		parts = append(parts, fmt.Sprintf("checkpoint %d", s.Epoch))
	}
	return "  " + strings.Join(parts, ", ")
}

// share draws how much of a source is done, and how long the rest will take at the pace so far.
func share(n engine.NodeProgress, elapsed time.Duration) string {
	if n.Total <= 0 {
		return ""
	}
	part := min(float64(n.Done)/float64(n.Total), 1)
	filled := int(part * barCells)
	text := fmt.Sprintf("  %s%s %3.0f%%", strings.Repeat("█", filled), strings.Repeat("░", barCells-filled), part*100)
	if part > 0.01 && part < 1 {
		text += "  " + timeLeft(time.Duration(float64(elapsed)*(1-part)/part)) + " left"
	}
	return text
}

// timeLeft writes a guess, which has no use for fractions of a second.
func timeLeft(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", max(1, int(d.Round(time.Second).Seconds())))
	}
	return formatDuration(d)
}

// cut shortens a text to some characters.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}
