package examples_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Real data are no part of the repository. These tests look for them in the folder that LEAT_SHARED names, or in
// shared/data beside the checkout, and are skipped where that is absent. Answers are computed here, by plain Go.

// realData unpacks a data set into a file with that name and returns its path.
func realData(t *testing.T, set, as string) string {
	t.Helper()
	shared := os.Getenv("LEAT_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	found, _ := filepath.Glob(filepath.Join(shared, "data", "events", set))
	if len(found) == 0 {
		t.Skipf("SKIPPED: no real data %s in %s; set LEAT_SHARED to the folder that has data/events", set, shared)
	}
	packed, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	decoder, err := zstd.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	name := filepath.Join(t.TempDir(), as)
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, decoder); err != nil {
		t.Fatal(err)
	}
	return name
}

// eachLine calls f with each line of a file.
func eachLine(t *testing.T, name string, f func(line string)) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		f(s.Text())
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
}

// answer runs a pipeline over real data, and returns its rows as JSON objects, by the value of a key.
func answer(t *testing.T, input, text string, key func(row map[string]any) string) map[string]map[string]any {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	run(t, "inline.yaml", text, map[string]any{"input": input, "output": out})
	rows := map[string]map[string]any{}
	for _, line := range lines(t, out) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		k := key(row)
		if rows[k] != nil {
			t.Fatalf("two rows for %q", k)
		}
		rows[k] = row
	}
	return rows
}

// compare compares rows by key with what is wanted.
func compare(t *testing.T, got map[string]map[string]any, want map[string]map[string]any) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("nothing is wanted: the test is wrong")
	}
	for k := range got {
		if want[k] == nil {
			t.Errorf("%q should not be there: %v", k, got[k])
		}
	}
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		for field, w := range want[k] {
			if g := got[k][field]; g != w {
				t.Errorf("%q: %s is %v, want %v", k, field, g, w)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// exact sums floats without rounding.
type exact struct {
	sum   big.Float
	count int64
}

func (e *exact) add(v float64) {
	e.sum.SetPrec(2000).Add(&e.sum, new(big.Float).SetFloat64(v))
	e.count++
}

// mean is the sum, rounded once, divided by the count.
func (e *exact) mean() float64 {
	sum, _ := e.sum.Float64()
	return sum / float64(e.count)
}

func TestRealWikipediaByChannelAndHour(t *testing.T) {
	input := realData(t, "wikipedia-edits/*.zst", "edits.ndjson")
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromJson, config: {path: "{{ input }}"}}
    - {type: AssignTimestamps, config: {timestamp: time}}
    - {type: Filter, config: {language: python, keep: not isRobot}}
    - type: Combine
      windowing: {type: fixed, size: 1h}
      config:
        group_by: channel
        combine:
          edits: {value: page, fn: count}
          added: {value: added, fn: sum}
          largest: {value: delta, fn: max}
    - {type: ExtractWindowingInfo, config: {fields: [window_start]}}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["channel"], " ", r["window_start"]) })
	want := map[string]map[string]any{}
	eachLine(t, input, func(line string) {
		var e struct {
			Time         time.Time
			Channel      string
			IsRobot      bool
			Added, Delta float64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.IsRobot {
			return
		}
		k := e.Channel + " " + e.Time.Truncate(time.Hour).Format("2006-01-02T15:04:05.000Z")
		if want[k] == nil {
			want[k] = map[string]any{"edits": 0.0, "added": 0.0, "largest": math.Inf(-1)}
		}
		w := want[k]
		w["edits"] = w["edits"].(float64) + 1
		w["added"] = w["added"].(float64) + e.Added
		w["largest"] = max(w["largest"].(float64), e.Delta)
	})
	compare(t, got, want)
}

func TestRealGitHubEventsByType(t *testing.T) {
	input := realData(t, "github-events/*.zst", "events.ndjson")
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromJson, config: {path: "{{ input }}", sample_rows: 800}}
    - type: MapToFields
      config:
        language: python
        fields:
          type: type
          bot: actor.login.endswith('[bot]')
          owner: repo.name.split('/')[0]
    - type: Combine
      config:
        group_by: type
        combine:
          events: {value: owner, fn: count}
          bots: {value: bot, fn: any}
          last: {value: owner, fn: max}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["type"]) })
	want := map[string]map[string]any{}
	eachLine(t, input, func(line string) {
		var e struct {
			Type  string
			Actor struct{ Login string }
			Repo  struct{ Name string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if want[e.Type] == nil {
			want[e.Type] = map[string]any{"events": 0.0, "bots": false, "last": ""}
		}
		w := want[e.Type]
		w["events"] = w["events"].(float64) + 1
		w["bots"] = w["bots"].(bool) || strings.HasSuffix(e.Actor.Login, "[bot]")
		w["last"] = max(w["last"].(string), strings.Split(e.Repo.Name, "/")[0])
	})
	compare(t, got, want)
}

func TestRealNASARequestsByStatus(t *testing.T) {
	input := realData(t, "nasa-http/nasa_19950701.tsv.zst", "nasa.tsv")
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromText, config: {path: "{{ input }}"}}
    - {type: Filter, config: {language: python, keep: "not line.startswith('host\t')"}}
    - type: MapToFields
      config:
        language: python
        fields:
          time: int(line.split('\t')[2])
          status: line.split('\t')[5]
          bytes: int(line.split('\t')[6] or 0)
    - {type: AssignTimestamps, config: {timestamp: time}}
    - type: Combine
      windowing: {type: sliding, size: 1h, period: 30m}
      config:
        group_by: status
        combine:
          requests: {value: time, fn: count}
          bytes: {value: bytes, fn: sum}
    - {type: ExtractWindowingInfo, config: {fields: [window_start]}}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["status"], " ", r["window_start"]) })
	want := map[string]map[string]any{}
	first := true
	eachLine(t, input, func(line string) {
		if first {
			first = false
			return
		}
		cells := strings.Split(line, "\t")
		at, _ := strconv.ParseInt(cells[2], 10, 64)
		size, _ := strconv.ParseFloat(cells[6], 64)
		for start := at - at%1800; start > at-3600; start -= 1800 {
			k := cells[5] + " " + time.Unix(start, 0).UTC().Format("2006-01-02T15:04:05.000Z")
			if want[k] == nil {
				want[k] = map[string]any{"requests": 0.0, "bytes": 0.0}
			}
			want[k]["requests"] = want[k]["requests"].(float64) + 1
			want[k]["bytes"] = want[k]["bytes"].(float64) + size
		}
	})
	compare(t, got, want)
}

// TestRealAccessLog runs the example over the log of a real server.
func TestRealAccessLog(t *testing.T) {
	input := realData(t, "apache-access-log/*.zst", "access.log")
	dir := runFile(t, "access_log.yaml", "errors", map[string]any{"input": input})
	want := map[string]int{}
	eachLine(t, input, func(line string) {
		quoted := strings.Split(line, `"`)
		status := strings.Fields(quoted[2])[0]
		if status >= "400" {
			_, rest, _ := strings.Cut(line, "[")
			at, err := time.Parse("02/Jan/2006:15:04:05 -0700", rest[:26])
			if err != nil {
				t.Fatal(err)
			}
			want[status+" "+at.UTC().Truncate(time.Minute).Format("2006-01-02T15:04:05.000Z")]++
		}
	})
	got := map[string]int{}
	for _, line := range lines(t, dir+"/errors") {
		var row struct {
			Status, Errors int
			Minute         string
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprint(row.Status, " ", row.Minute)] = row.Errors
	}
	if len(want) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRealTaxiFaresByZone(t *testing.T) {
	input := realData(t, "nyc-taxi-sample/*.zst", "taxis.csv")
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromCsv, config: {path: "{{ input }}"}}
    - type: Filter
      config:
        language: python
        keep: payment is not None and distance > 0
    - type: MapToFields
      config:
        language: python
        fields:
          borough: pickup_borough or 'unknown'
          payment: payment
          per_mile: fare / distance
          fare: fare
    - type: Combine
      config:
        group_by: [borough, payment]
        combine:
          trips: {value: fare, fn: count}
          fares: {value: fare, fn: mean}
          per_mile: {value: per_mile, fn: mean}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["borough"], " ", r["payment"]) })
	file, err := os.Open(input)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	type means struct{ fares, perMile exact }
	groups := map[string]*means{}
	for _, r := range rows[1:] {
		distance, _ := strconv.ParseFloat(r[3], 64)
		fare, _ := strconv.ParseFloat(r[4], 64)
		if r[9] == "" || distance <= 0 {
			continue
		}
		borough := r[12]
		if borough == "" {
			borough = "unknown"
		}
		g := groups[borough+" "+r[9]]
		if g == nil {
			g = &means{}
			groups[borough+" "+r[9]] = g
		}
		g.fares.add(fare)
		g.perMile.add(fare / distance)
	}
	want := map[string]map[string]any{}
	for k, g := range groups {
		want[k] = map[string]any{"trips": float64(g.fares.count), "fares": g.fares.mean(), "per_mile": g.perMile.mean()}
	}
	compare(t, got, want)
}

func TestRealEarthquakesByAgency(t *testing.T) {
	packed := realData(t, "usgs-earthquakes/*.zst", "earthquakes.geojson")
	data, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	var collection struct{ Features []json.RawMessage }
	if err := json.Unmarshal(data, &collection); err != nil {
		t.Fatal(err)
	}
	var features strings.Builder // one on a line
	groups := map[string]*exact{}
	deepest := map[string]float64{}
	for _, f := range collection.Features {
		var e struct {
			Properties struct {
				Mag  *float64
				Net  string
				Type string
			}
			Geometry struct{ Coordinates []float64 }
		}
		if err := json.Unmarshal(f, &e); err != nil {
			t.Fatal(err)
		}
		features.WriteString(strings.ReplaceAll(string(f), "\n", " ") + "\n")
		if e.Properties.Type != "earthquake" || e.Properties.Mag == nil {
			continue
		}
		if groups[e.Properties.Net] == nil {
			groups[e.Properties.Net] = &exact{}
			deepest[e.Properties.Net] = math.Inf(-1)
		}
		groups[e.Properties.Net].add(*e.Properties.Mag)
		deepest[e.Properties.Net] = max(deepest[e.Properties.Net], e.Geometry.Coordinates[2])
	}
	input := filepath.Join(t.TempDir(), "features.ndjson")
	if err := os.WriteFile(input, []byte(features.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromJson, config: {path: "{{ input }}", sample_rows: 2000}}
    - type: Filter
      config:
        language: python
        keep: properties.type == 'earthquake' and properties.mag is not None
    - type: MapToFields
      config:
        language: python
        fields:
          net: properties.net
          magnitude: float(properties.mag)
          depth: float(geometry.coordinates[2])
    - type: Combine
      config:
        group_by: net
        combine:
          quakes: {value: magnitude, fn: count}
          magnitude: {value: magnitude, fn: mean}
          deepest: {value: depth, fn: max}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["net"]) })
	want := map[string]map[string]any{}
	for k, g := range groups {
		want[k] = map[string]any{"quakes": float64(g.count), "magnitude": g.mean(), "deepest": deepest[k]}
	}
	compare(t, got, want)
}

func TestRealFlightDelaysByRoute(t *testing.T) {
	packed := realData(t, "us-flight-delays/*.zst", "flights.json")
	data, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	var flights []struct {
		Date, Origin, Destination string
		Delay, Distance           float64
	}
	if err := json.Unmarshal(data, &flights); err != nil {
		t.Fatal(err)
	}
	groups := map[string]*exact{}
	for _, f := range flights {
		if f.Delay <= 0 {
			continue
		}
		day, err := time.Parse("2006/01/02 15:04", f.Date)
		if err != nil {
			t.Fatal(err)
		}
		k := f.Origin + " " + day.Truncate(24*time.Hour).Format("2006-01-02T15:04:05.000Z")
		if groups[k] == nil {
			groups[k] = &exact{}
		}
		groups[k].add(f.Delay)
	}
	// the array of the file becomes a record on a line each
	input := filepath.Join(t.TempDir(), "flights.ndjson")
	records := strings.ReplaceAll(strings.Trim(strings.TrimSpace(string(data)), "[]"), "},{", "}\n{") + "\n"
	if err := os.WriteFile(input, []byte(records), 0o644); err != nil {
		t.Fatal(err)
	}
	const text = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromJson, config: {path: "{{ input }}"}}
    - {type: Filter, config: {keep: delay > 0}}
    - type: AssignTimestamps
      config:
        language: python
        timestamp: date.replace('/', '-').replace(' ', 'T') + ':00Z'
    - type: Combine
      windowing: {type: fixed, size: 1d}
      config:
        group_by: origin
        combine:
          flights: {value: delay, fn: count}
          delay: {value: delay, fn: mean}
    - {type: ExtractWindowingInfo, config: {fields: [window_start]}}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	got := answer(t, input, text, func(r map[string]any) string { return fmt.Sprint(r["origin"], " ", r["window_start"]) })
	want := map[string]map[string]any{}
	for k, g := range groups {
		want[k] = map[string]any{"flights": float64(g.count), "delay": g.mean()}
	}
	compare(t, got, want)
}
