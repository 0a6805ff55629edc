package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// The mills: eight milling machines, one day, a reading every ten seconds from each. What they measure, and what makes them
// fail, is as in AI4I 2020, whose author published the rules (https://doi.org/10.24432/C5HS5C): the tool is worn, the power
// too low or too high, too little heat goes off at a low speed, or a worn tool is strained.
const (
	mills        = 8
	millInterval = 10 * time.Second
	toolLife     = 180 // minutes after which a tool is changed, as it should be
)

// cut is one reading of a mill. A torque that is not measured is NaN.
type cut struct {
	at           time.Duration // since the start
	grade        string        // of the product: L, M or H
	air, process float64       // temperatures in K
	rpm, torque  float64       // torque in Nm
	wear         float64       // of the tool, minutes in use
}

// watts is the power of the spindle.
func (c *cut) watts() float64 { return c.torque * c.rpm * 2 * math.Pi / 60 }

// writeMills writes the stream, the same bytes for the same seed, and returns the number of lines.
func writeMills(w io.Writer, seed uint64) (int, error) {
	var events []event
	for n := 1; n <= mills; n++ {
		for _, c := range millDay(n, seed) {
			events = append(events, event{arrival: c.at, line: c.line(n)})
		}
	}
	sort.SliceStable(events, func(i, j int) bool { return events[i].arrival < events[j].arrival })
	out := bufio.NewWriter(w)
	for _, e := range events {
		out.WriteString(e.line)
		out.WriteByte('\n')
	}
	return len(events), out.Flush()
}

// millDay gives the readings of mill n.
func millDay(n int, seed uint64) []cut {
	rng := rand.New(rand.NewPCG(seed, uint64(1000+n)))
	var cuts []cut
	wear := float64(rng.IntN(toolLife))
	for at := time.Duration(rng.IntN(10_000)) * time.Millisecond; at < 24*time.Hour; at += millInterval {
		hour := at.Hours()
		wear += millInterval.Minutes()
		forgotten := n == 4 && hour > 12 && wear < 245
		if wear > toolLife && !forgotten {
			wear = 0
		}
		c := cut{at: at, grade: "L", wear: wear}
		switch g := rng.Float64(); {
		case g < 0.1:
			c.grade = "H"
		case g < 0.4:
			c.grade = "M"
		}
		load, extra, cooling := 40.0, 0.0, 10.0 // Nm, rpm beyond what goes with the load, K
		switch {
		case n == 2 && hour > 10 && hour < 12.5: // the cooling clogs, and the work is heavy
			load, cooling = 52, 10-1.2*(hour-10)
		case n == 6 && hour > 3 && hour < 4: // driven too hard
			load, extra = 61, 220
		case n == 7 && hour > 19 && hour < 19.5: // the belt slips
			load, extra = 13, 150
		}
		c.torque = max(5, load+min(6, load/5)*rng.NormFloat64())
		c.rpm = 1520*math.Pow(40/c.torque, 0.37) + extra + 30*rng.NormFloat64()
		c.air = 299.5 + 2*math.Sin(2*math.Pi*(hour-9)/24) + 0.2*rng.NormFloat64()
		c.process = c.air + cooling + 0.2*rng.NormFloat64()
		if n == 3 && hour > 8 && hour < 8.1 {
			c.torque = math.NaN() // a loose cable
		}
		cuts = append(cuts, c)
	}
	return cuts
}

// line prints a reading.
func (c *cut) line(n int) string {
	torque := fmt.Sprintf("%.1f", c.torque)
	if math.IsNaN(c.torque) {
		torque = "null"
	}
	return fmt.Sprintf(`{"machine":"mill-%d","time":%q,"grade":%q,"air":%.1f,"process":%.1f,"rpm":%.0f,"torque":%s,"wear":%.0f}`,
		n, start.Add(c.at).Format("2006-01-02T15:04:05.000Z"), c.grade, c.air, c.process, c.rpm, torque, c.wear)
}
