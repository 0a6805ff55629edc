package kernel

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// anomalyCase is what Beam's detectors answer; reference/anomaly.py has recorded it.
type anomalyCase struct {
	Detector map[string]any
	Name     string
	Values   []*string
	Results  [][3]any // score, label, threshold
}

// wholeNumbers makes integers of JSON's numbers, as configurations have them.
func wholeNumbers(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	case map[string]any:
		for key := range v {
			v[key] = wholeNumbers(v[key])
		}
	}
	return v
}

func floatOf(t *testing.T, v any) (x float64, ok bool) {
	t.Helper()
	switch v := v.(type) {
	case string:
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x, true
	case float64:
		return v, true
	}
	return 0, false
}

// TestAnomaliesAsBeam compares scores within 1e-9, and labels where the score is not within that of the threshold. The state is saved and loaded on the
// way, which changes nothing.
func TestAnomaliesAsBeam(t *testing.T) {
	text, err := os.ReadFile("testdata/anomaly.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []anomalyCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, c := range cases {
		name := fmt.Sprintf("%v on %s", c.Detector, c.Name)
		fold, err := NewFold(&plan.Ordered{Fn: "anomaly", Config: map[string]any{"detector": wholeNumbers(c.Detector)}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		state := fold()
		for i, want := range c.Results {
			var v column.Value
			if c.Values[i] != nil {
				v, _ = floatOf(t, *c.Values[i])
			}
			result, err := state.Step([]column.Value{v})
			if err != nil {
				t.Fatal(err)
			}
			if !sameResult(t, c.Name, result.(*column.RowValue).Elems, want) {
				t.Errorf("%s: value %d, %v: got %v, want %v", name, i, v, result.(*column.RowValue).Elems, want)
				break
			}
			if i%37 == 5 {
				next := fold()
				if err := next.Load(state.Append(nil)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				state = next
			}
			rows++
		}
	}
	if rows < 5000 {
		t.Errorf("%d rows were compared", rows)
	}
}

func sameResult(t *testing.T, name string, got []column.Value, want [3]any) bool {
	within := 1e-9
	if name == "large" { // the sums of numpy are rounded in another order, and the values are large beside their differences
		within = 1e-3
	}
	near := func(a column.Value, b any) bool {
		x, isFloat := a.(float64)
		y, ok := floatOf(t, b)
		if !ok || math.IsNaN(y) {
			return a == nil && !ok || a == nil && math.IsNaN(y) || isFloat && math.IsNaN(x)
		}
		return isFloat && math.Abs(x-y) <= within*max(1, math.Abs(y))
	}
	score, _ := got[1].(float64)
	threshold, _ := got[3].(float64)
	label, isLabel := want[1].(float64)
	labels := !isLabel && got[2] == nil || isLabel && got[2] == int64(label) || math.Abs(score-threshold) <= within*max(1, math.Abs(threshold))
	return near(got[1], want[0]) && labels && near(got[3], want[2])
}

func TestDamagedDetectorState(t *testing.T) {
	for _, typ := range []string{"ZScore", "IQR", "RobustZScore"} {
		fold, err := NewFold(&plan.Ordered{Fn: "anomaly", Config: map[string]any{"detector": map[string]any{"type": typ,
			"config": map[string]any{"threshold_criterion": map[string]any{"type": "QuantileThreshold"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		state := fold()
		for i := range 30 {
			if _, err := state.Step([]column.Value{float64(i * i % 17)}); err != nil {
				t.Fatal(err)
			}
		}
		whole := state.Append(nil)
		for size := range len(whole) {
			if err := fold().Load(whole[:size]); err == nil {
				t.Errorf("%s: %d of %d bytes were taken", typ, size, len(whole))
			}
		}
		if err := fold().Load(append(whole, 0)); err == nil {
			t.Errorf("%s: a byte too many was taken", typ)
		}
		if _, err := state.Step([]column.Value{"text"}); err == nil {
			t.Errorf("%s: a text was taken", typ)
		}
	}
}
