package task_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/task"
)

// tableCases is what reference/models_tabular.py wrote: the library's own answers, not those of its export.
type tableCases struct {
	Task    string
	Classes []string
	Rows    [][]any
	Labels  []string
	Scores  [][]float64
	Numbers []any
}

// TestTabularModels compares exports of scikit-learn, XGBoost and LightGBM with the libraries.
func TestTabularModels(t *testing.T) {
	files, err := filepath.Glob("testdata/tabular/*/cases.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c tableCases
			readJSON(t, file, &c)
			rows := tableRows(t, c.Rows)
			if c.Task == "tabular-regression" {
				compareNumbers(t, predictTable(t, c.Task, dir, rows, nil), c.Numbers)
				return
			}
			best := predictTable(t, c.Task, dir, rows, nil)
			all := predictTable(t, c.Task, dir, rows, map[string]any{"top_k": nil})
			for i := range c.Rows {
				if err := sameClasses(best.Value(i), all.Value(i), &c, i); err != nil {
					t.Errorf("row %d, %v: %v", i, c.Rows[i], err)
				}
			}
		})
	}
}

func predictTable(t *testing.T, name, dir string, rows *task.Rows, config map[string]any) *column.Vector {
	t.Helper()
	p := start(t, name, dir, config)
	v, ok, failures, err := p.Predict(t.Context(), rows)
	if err != nil || len(ok) != rows.N {
		t.Fatal(err, failures)
	}
	return v
}

// tableRows makes columns of rows.
func tableRows(t *testing.T, rows [][]any) *task.Rows {
	t.Helper()
	out := &task.Rows{N: len(rows)}
	for c := range rows[0] {
		typ := column.FloatType.OrNull()
		if _, ok := rows[0][c].(string); ok {
			typ = column.StringType
		}
		b := column.NewBuilder(typ)
		for _, r := range rows {
			if err := b.Append(r[c]); err != nil {
				t.Fatal(err)
			}
		}
		out.Cols = append(out.Cols, b.Finish())
	}
	return out
}

func compareNumbers(t *testing.T, got *column.Vector, want []any) {
	t.Helper()
	for i := range want {
		g, w := flatten(nil, got.Value(i)), numbers(nil, want[i])
		for k := range w {
			if len(g) != len(w) || math.Abs(g[k]-w[k]) > 1e-5*math.Abs(w[k])+1e-4 {
				t.Errorf("row %d: %v, wanted %v", i, g, w)
				break
			}
		}
	}
}

// sameClasses compares the label, its score, and the scores of all classes.
func sameClasses(best, all column.Value, c *tableCases, i int) error {
	scoreOf := map[string]float64{}
	first, second := 0.0, 0.0
	for k, class := range c.Classes {
		s := c.Scores[i][k]
		scoreOf[class] = s
		if s > first {
			first, second = s, first
		} else {
			second = max(second, s)
		}
	}
	row := best.(*column.RowValue)
	if label := row.Elems[0].(string); label != c.Labels[i] && first-second > labelMargin {
		return fmt.Errorf("the label is %s, wanted %s", label, c.Labels[i])
	}
	list := all.(*column.ListValue)
	if len(list.Elems) != len(c.Classes) {
		return fmt.Errorf("%d classes, wanted %d", len(list.Elems), len(c.Classes))
	}
	for _, e := range append([]column.Value{best}, list.Elems...) {
		r := e.(*column.RowValue)
		want, ok := scoreOf[r.Elems[0].(string)]
		if score := r.Elems[1].(float64); !ok || math.Abs(score-want) > scoreTolerance {
			return fmt.Errorf("%v has the score %v, wanted %v", r.Elems[0], score, want)
		}
	}
	return nil
}
