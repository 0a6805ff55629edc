package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
)

// shape is a form of input. Each is the same bytes for the same shape and rows.
type shape struct {
	name    string
	rows    int
	devices int
	form    form
}

// form is how events are written.
type form uint8

const (
	plain     form = iota // device, ts, temp, hum, msg
	reordered             // the same fields, in an order that changes from line to line
	escaped               // messages full of escapes
	nested                // objects and lists beside the fields that are read
	narrow                // device, ts, temp
	wide                  // forty fields
	asCSV                 // readings: id, ts, device, region, temp, hum, status
	machines              // readings of milling machines
)

// file is where the shape's input lies.
func (s shape) file(dir string) string {
	ext := "ndjson"
	if s.form >= asCSV {
		ext = "csv"
	}
	return fmt.Sprintf("%s/%s-%d-%d.%s", dir, s.name, s.rows, s.devices, ext)
}

// generate writes the input, unless it is there.
func (s shape) generate(dir string) (string, error) {
	name := s.file(dir)
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	f, err := os.Create(name + ".part")
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	switch s.form {
	case asCSV:
		err = s.readings(w)
	case machines:
		err = s.machines(w)
	default:
		err = s.events(w)
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(name+".part", name)
	}
	return name, err
}

const (
	firstMilli = 1_600_000_000_000 // of the events, since 1970
	perMilli   = 10                // events to a millisecond of event time
	jitter     = 200               // milliseconds by which events are out of order, at the most
)

var states = []string{"status nominal", "fan speed ok", "door closed!!", "battery good", "self test ok"}

func (s shape) events(w *bufio.Writer) error {
	r := rand.New(rand.NewPCG(42, uint64(s.form)))
	for i := range s.rows {
		ts := firstMilli + int64(i/perMilli) - int64(r.IntN(jitter))
		state := states[r.IntN(len(states))]
		fields := []string{
			fmt.Sprintf(`"device":"d%d"`, r.IntN(s.devices)),
			fmt.Sprintf(`"ts":%d`, ts),
			fmt.Sprintf(`"temp":%.2f`, float64(1000+r.IntN(2000))/100),
			fmt.Sprintf(`"hum":%.1f`, float64(2000+r.IntN(6000))/100),
			fmt.Sprintf(`"msg":"%s room=B12 seq=%09d"`, state, i),
		}
		switch s.form {
		case reordered:
			r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		case escaped:
			fields[4] = fmt.Sprintf(`"msg":"%s\t\"room\" B\u0031\u0032 \\seq\\ %09d caf\u00e9\n"`, state, i)
		case nested:
			fields = append(fields[:2], append([]string{fmt.Sprintf(`"where":{"site":{"name":"plant %d","floor":%d},"tags":["a","b",[1,2,3]]}`, r.IntN(9), r.IntN(5))}, fields[2:]...)...)
		case narrow:
			fields = fields[:3]
		case wide:
			for c := range 35 {
				fields = append(fields, fmt.Sprintf(`"c%02d":%d.%d`, c, r.IntN(1000), r.IntN(10)))
			}
		}
		w.WriteByte('{')
		w.WriteString(strings.Join(fields, ","))
		if _, err := w.WriteString("}\n"); err != nil {
			return err
		}
	}
	return nil
}

var regions = []string{"eu-west", "eu-east", "us-west", "us-east", "ap-south"}

func (s shape) readings(w io.Writer) error {
	r := rand.New(rand.NewPCG(42, uint64(s.form)))
	fmt.Fprintln(w, "id,ts,device,region,temp,hum,status")
	for i := range s.rows {
		status := "ok"
		if r.Float64() >= 0.97 {
			status = "fault"
		}
		if _, err := fmt.Fprintf(w, "%d,%d,dev%04d,%s,%.2f,%d,%s\n", i, 1_700_000_000+i/10, r.IntN(s.devices), regions[r.IntN(len(regions))],
			21+6*r.NormFloat64(), 20+r.IntN(75), status); err != nil {
			return err
		}
	}
	return nil
}
