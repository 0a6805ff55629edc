package examples_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realFile returns the path of a file below the folder of real data. See realData.
func realFile(t *testing.T, path ...string) string {
	t.Helper()
	shared := os.Getenv("LEAT_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	name := filepath.Join(append([]string{shared, "data"}, path...)...)
	if _, err := os.Stat(name); err != nil {
		t.Skipf("SKIPPED: no real data %s; set LEAT_SHARED to the folder that has data/%s", name, path[0])
	}
	return name
}

// gunzip returns the content of a packed file.
func gunzip(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// rows reads the JSON lines of an output into values of type T.
func rows[T any](t *testing.T, prefix string) []T {
	t.Helper()
	var all []T
	for _, line := range lines(t, prefix) {
		var row T
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, row)
	}
	return all
}

func TestScoreMachines(t *testing.T) {
	dir := runFile(t, "score_machines.yaml", "alarms", map[string]any{"input": "data/machines.csv"})
	var got []string
	for _, r := range rows[struct {
		Serial, Alarm, Model string
		Score, Wear          float64
	}](t, dir+"/alarms") {
		if r.Alarm != "failure" || r.Score <= 0.5 || r.Score > 1 || !strings.HasPrefix(r.Model, "machine-failure@sha256:") {
			t.Errorf("%+v", r)
		}
		got = append(got, fmt.Sprintf("%s %g", r.Serial, r.Wear))
	}
	// Little heat goes off at a low speed; there is too little power; the tool is worn and strained.
	if want := "[A-103 88 A-106 130 A-108 214]"; fmt.Sprint(got) != want {
		t.Errorf("alarms: %v, want %s", got, want)
	}
	rejects := lines(t, dir+"/rejects")
	for i, want := range []string{
		`{"what":"A-102","why":"TypeError('Tool wear [min]: wanted a value, found NoneType')"}`,
		`{"what":"A-105","why":"ValueError(\"Type: wanted one of [L M H], found 'X'\")"}`,
		`{"what":"line 8","why":"field \"Torque [Nm]\" is \"broken\" `,
	} {
		if i >= len(rejects) || !strings.HasPrefix(rejects[i], want) {
			t.Errorf("rejects:\n%s\nwant line %d to begin with %s", strings.Join(rejects, "\n"), i+1, want)
		}
	}
}

// TestScoreMachinesReal scores the data from which the model was trained. The card has precision 1.000 and recall 0.833 on
// the fifth that training never saw; on all rows, most of them seen, it must not be worse than that by more than chance.
func TestScoreMachinesReal(t *testing.T) {
	text := string(gunzip(t, realFile(t, "sensor", "ai4i2020", "train.csv.gz")))
	text = strings.Replace(text, "Product ID", "serial", 1)
	input := filepath.Join(t.TempDir(), "ai4i.csv")
	if err := os.WriteFile(input, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	failed, failures := map[string]bool{}, 0
	for _, r := range table[1:] {
		if failed[r[1]] = r[8] == "1"; failed[r[1]] {
			failures++
		}
	}
	dir := runFile(t, "score_machines.yaml", "alarms", map[string]any{"input": input})
	alarms, right := 0, 0
	for _, r := range rows[struct{ Serial string }](t, dir+"/alarms") {
		alarms++
		if failed[r.Serial] {
			right++
		}
	}
	precision, recall := float64(right)/float64(alarms), float64(right)/float64(failures)
	t.Logf("%d rows, %d failures, %d alarms: precision %.3f, recall %.3f", len(table)-1, failures, alarms, precision, recall)
	if len(table)-1 != 7973 || failures != 269 {
		t.Fatalf("%d rows and %d failures, want 7973 and 269 as the card says", len(table)-1, failures)
	}
	if precision < 0.97 || recall < 0.82 {
		t.Errorf("precision %.3f, recall %.3f", precision, recall)
	}
}
