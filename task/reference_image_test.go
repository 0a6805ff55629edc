package task_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/task"
)

// lossyTolerance is how far scores may be apart where the image is lossy: decoders differ by up to 3 levels. Outputs that are not
// turned into scores may be further apart.
const (
	lossyTolerance       = 1e-2
	lossyOutputTolerance = 3e-2
)

// nearScores compares the scores of the labels that both list. The order may differ where scores do.
func nearScores(got column.Value, want any, tolerance float64) error {
	scoreOf := map[string]float64{}
	least := math.Inf(1)
	for _, w := range want.([]any) {
		pair := w.([]any)
		scoreOf[pair[0].(string)] = pair[1].(float64)
		least = min(least, pair[1].(float64))
	}
	for _, e := range got.(*column.ListValue).Elems {
		row := e.(*column.RowValue)
		label, score := row.Elems[0].(string), row.Elems[1].(float64)
		wanted, listed := scoreOf[label]
		if listed && math.Abs(score-wanted) > tolerance || !listed && score > least+tolerance {
			return fmt.Errorf("%s has the score %v, wanted %v", label, score, wanted)
		}
	}
	return nil
}

// TestImageModels compares small models of real architectures with what transformers answers on hard images.
func TestImageModels(t *testing.T) {
	var all []struct {
		File  string
		Lossy bool
	}
	readJSON(t, "testdata/image/images.json", &all)
	lossy := map[string]bool{}
	for _, i := range all {
		lossy[i.File] = i.Lossy
	}
	files, err := filepath.Glob("testdata/image/*/cases.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c struct {
				Task   string
				Images string
				Files  []string
				Runs   []struct {
					Config  map[string]any
					Answers []any
				}
			}
			readJSON(t, file, &c)
			images := column.NewBuilder(column.BytesType)
			for _, name := range c.Files {
				b, err := os.ReadFile(filepath.Join(dir, c.Images, name))
				if err != nil {
					t.Fatal(err)
				}
				if err := images.Append(b); err != nil {
					t.Fatal(err)
				}
			}
			v := images.Finish()
			for _, run := range c.Runs {
				t.Run(fmt.Sprint(run.Config), func(t *testing.T) {
					p := start(t, c.Task, dir, whole(run.Config))
					got, ok, failures, err := p.Predict(t.Context(), &task.Rows{N: v.N, Cols: []*column.Vector{v}})
					if err != nil || len(ok) != v.N {
						t.Fatal(err, failures)
					}
					for i, name := range c.Files {
						var err error
						switch {
						case !lossy[name]:
							err = sameScores(got.Value(i), run.Answers[i], scoreTolerance, false)
						case run.Config["function_to_apply"] == "none":
							err = nearScores(got.Value(i), run.Answers[i], lossyOutputTolerance)
						default:
							err = nearScores(got.Value(i), run.Answers[i], lossyTolerance)
						}
						if err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				})
			}
		})
	}
}
