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

// The fleet: twelve machines, two days, about a reading every seven seconds from each.
const (
	days        = 2
	interval    = 6900 * time.Millisecond
	lateShare   = 0.03  // of readings that come up to two minutes late
	repeatShare = 0.002 // sent twice
	brokenShare = 0.001 // that are no JSON, or not of the right types
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// machine is one machine and its state as time goes on.
type machine struct {
	name                string
	heat, shake, watts  float64 // how much load adds to temperature, vibration and power
	temperature, wander float64
	rng                 *rand.Rand
	trouble             func(m *machine, r *reading)
}

// reading is one event. Null readings are NaN.
type reading struct {
	at                            time.Duration // since the start
	temperature, vibration, watts float64
	status                        string
}

// event is a line with the time at which it arrives.
type event struct {
	arrival time.Duration
	line    string
}

// writeFleet writes the stream, the same bytes for the same seed, and returns the number of lines.
func writeFleet(w io.Writer, seed uint64) (int, error) {
	var events []event
	for i, m := range fleet() {
		m.rng = rand.New(rand.NewPCG(seed, uint64(i)))
		events = append(events, m.run()...)
	}
	sort.SliceStable(events, func(i, j int) bool { return events[i].arrival < events[j].arrival })
	out := bufio.NewWriter(w)
	for _, e := range events {
		out.WriteString(e.line)
		out.WriteByte('\n')
	}
	return len(events), out.Flush()
}

// fleet returns the machines; four of them will be in trouble.
func fleet() []*machine {
	var all []*machine
	for _, kind := range []struct {
		name               string
		heat, shake, watts float64
	}{{"press", 38, 1.6, 22000}, {"mill", 31, 2.4, 14500}, {"pump", 24, 1.1, 5200}} {
		for n := 1; n <= 4; n++ {
			all = append(all, &machine{name: fmt.Sprintf("%s-%d", kind.name, n), heat: kind.heat, shake: kind.shake, watts: kind.watts, temperature: 20})
		}
	}
	all[1].trouble = coolingLost  // press-2
	all[6].trouble = bearingWears // mill-3
	all[8].trouble = sensorDrops  // pump-1
	all[11].trouble = pumpBlocked // pump-4
	return all
}

// run gives the events of one machine.
func (m *machine) run() []event {
	var events []event
	gapFrom := hours(2 + 40*m.rng.Float64()) // each machine is once off the network
	gapTo := gapFrom + time.Duration(20+m.rng.IntN(40))*time.Minute
	for at := time.Duration(m.rng.IntN(7000)) * time.Millisecond; at < days*24*time.Hour; {
		at += interval + time.Duration(m.rng.IntN(600)-300)*time.Millisecond
		if at > gapFrom && at < gapTo {
			continue
		}
		r := m.read(at)
		if m.trouble != nil {
			m.trouble(m, &r)
		}
		e := event{arrival: at, line: m.line(&r)}
		if m.rng.Float64() < lateShare {
			e.arrival += time.Duration(m.rng.IntN(120_000)) * time.Millisecond
		}
		events = append(events, e)
		if m.rng.Float64() < repeatShare {
			e.arrival += time.Second
			events = append(events, e)
		}
	}
	return events
}

// read is a healthy reading: load follows the shifts of the day, temperature follows the load slowly.
func (m *machine) read(at time.Duration) reading {
	hour := math.Mod(at.Hours(), 24)
	load := 0.12
	status := "idle"
	if hour >= 6 && hour < 22 {
		load, status = 0.8+0.2*math.Sin(2*math.Pi*(hour-6)/8), "running"
		if hour >= 13.5 && hour < 14 { // change of shifts
			load, status = 0.3, "idle"
		}
	}
	m.wander = 0.995*m.wander + 0.01*m.rng.NormFloat64()
	load = max(0, load+m.wander)
	room := 18 + 4*math.Sin(2*math.Pi*(hour-9)/24)
	m.temperature += (room + m.heat*load - m.temperature) * 0.006
	return reading{
		at:          at,
		temperature: m.temperature + 0.3*m.rng.NormFloat64(),
		vibration:   max(0.05, 0.4+m.shake*load+0.15*m.rng.NormFloat64()),
		watts:       max(0, m.watts*load*(1+0.03*m.rng.NormFloat64())),
		status:      status,
	}
}

// coolingLost heats press-2 up in the second afternoon until it trips, and it cools down.
func coolingLost(m *machine, r *reading) {
	from, trip, back := hours(38), hours(39.2), hours(41)
	switch {
	case r.at > from && r.at < trip:
		m.temperature += 0.16
	case r.at >= trip && r.at < back:
		r.status, r.watts, r.vibration = "fault", 0, 0.05
	}
}

// bearingWears lets the vibration of mill-3 grow over ten hours until the bearing is changed.
func bearingWears(_ *machine, r *reading) {
	from, broken, changed := hours(8), hours(18), hours(19.5)
	switch {
	case r.at > from && r.at < broken:
		r.vibration *= 1 + 2.6*math.Pow((r.at-from).Hours()/10, 3)
	case r.at >= broken && r.at < changed:
		r.status, r.watts, r.vibration = "fault", 0, 0.05
	}
}

// sensorDrops loses the temperature of pump-1 now and then on the first day.
func sensorDrops(m *machine, r *reading) {
	if r.at > hours(9) && r.at < hours(13) && m.rng.Float64() < 0.06 {
		r.temperature = math.NaN()
	}
}

// pumpBlocked makes pump-4 draw too much in the second morning.
func pumpBlocked(_ *machine, r *reading) {
	if r.at > hours(31) && r.at < hours(31.75) {
		r.watts, r.vibration = r.watts*1.9, r.vibration*3.2
	}
}

// line prints a reading; a few lines are broken as they are in life.
func (m *machine) line(r *reading) string {
	temperature := fmt.Sprintf("%.2f", r.temperature)
	if math.IsNaN(r.temperature) {
		temperature = "null"
	}
	at := start.Add(r.at).Format("2006-01-02T15:04:05.000Z")
	line := fmt.Sprintf(`{"machine":%q,"time":%q,"temperature":%s,"vibration":%.3f,"watts":%.0f,"status":%q}`,
		m.name, at, temperature, r.vibration, r.watts, r.status)
	if m.rng.Float64() >= brokenShare {
		return line
	}
	switch m.rng.IntN(3) {
	case 0:
		return line[:20+m.rng.IntN(len(line)-21)] // cut off
	case 1:
		return fmt.Sprintf(`{"machine":%q,"time":%q,"temperature":"n/a","vibration":%.3f,"watts":%.0f,"status":%q}`, m.name, at, r.vibration, r.watts, r.status)
	}
	return "gateway: connection reset, " + m.name
}

func hours(h float64) time.Duration { return time.Duration(h * float64(time.Hour)) }
