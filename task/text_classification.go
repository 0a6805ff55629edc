package task

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
)

// TextClassification tells which class a text belongs to.
var TextClassification = add(Task{
	Name:    "text-classification",
	Summary: "Tells which class a text belongs to: its sentiment, its topic, its language.",
	Doc: `
Takes "text". A prediction is a row of "label" and "score", or a list of such rows, best first, where "top_k" is given.

A text longer than the model takes is truncated; with "long_texts: window" it is cut into overlapping windows, whose outputs are averaged before
they are turned into scores; with "long_texts: error" its row fails.

The package needs tokenizer.json, or vocab.txt, and names its classes under id2label in config.json.
`,
	Source: "https://huggingface.co/docs/transformers/main_classes/pipelines#transformers.TextClassificationPipeline",
	Fields: append(scoreFields("1, without a list", "How many classes a prediction lists, best first; null for all."), textFields...),
	Pool:   16,
	Bind:   bindTextClassification,
})

type textClassifier struct {
	*textModel
	*scorer
	logits int // number of the output
}

func bindTextClassification(s *Setup) (Bound, error) {
	m, err := newTextModel(s)
	if err != nil {
		return nil, err
	}
	scores, err := newScorer(s, 0)
	if err != nil {
		return nil, err
	}
	c := &textClassifier{textModel: m, scorer: scores}
	for i := range m.graph.Outputs {
		if m.graph.Outputs[i].Name == "logits" {
			c.logits = i
		}
	}
	if len(m.graph.Outputs) == 0 {
		return nil, fmt.Errorf("the graph %s has no outputs", m.graph.Name)
	}
	return c, scores.classCheck(&m.graph.Outputs[c.logits])
}

func (c *textClassifier) Output() column.Type { return c.output() }

func (c *textClassifier) Split(rows *Rows) (Work, []Failure) {
	w, failures := c.split(rows.Cols[0])
	return &classifyWork{textWork: w, c: c, logits: make([][]float32, len(w.items))}, failures
}

type classifyWork struct {
	*textWork
	c      *textClassifier
	logits [][]float32 // by item
}

func (w *classifyWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return w.c.run(ctx, sessions[0], w.textWork, items, []int{w.c.logits}, func(_ int, r *infer.Results) error {
		return eachItem(r, items, func(item int32, x []float32) error {
			w.logits[item] = append([]float32(nil), x...)
			return w.c.check(x)
		})
	})
}

// eachItem calls f with the numbers of each item of a batch, out of the first output. Errors of f are those of the items.
func eachItem(r *infer.Results, items []int32, f func(item int32, x []float32) error) error {
	t, err := r.Tensor(0)
	if err != nil {
		return err
	}
	x, err := floats(t)
	if err != nil {
		return err
	}
	if len(t.Shape) == 0 || t.Shape[0] != int64(len(items)) {
		return fmt.Errorf("wanted an output for each of %d items, found the shape %v", len(items), t.Shape)
	}
	size := len(x) / len(items)
	failed := ItemErrors{}
	for i, item := range items {
		if err := f(item, x[i*size:(i+1)*size]); err != nil {
			failed[item] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (w *classifyWork) Join(rows []int32) (*column.Vector, error) {
	return joinScores(w.c.scorer, w.rows, rows, func(item int) []float32 { return w.logits[item] })
}

// joinScores makes the predictions of rows out of the logits of their items, which are averaged.
func joinScores(c *scorer, itemRows, rows []int32, logits func(item int) []float32) (*column.Vector, error) {
	out := column.NewBuilder(c.output())
	item := 0
	var sum []float32
	for _, row := range rows {
		for item < len(itemRows) && itemRows[item] < row {
			item++
		}
		sum = sum[:0]
		count := 0
		for ; item < len(itemRows) && itemRows[item] == row; item++ {
			count++
			if count == 1 {
				sum = append(sum, logits(item)...)
				continue
			}
			for i, x := range logits(item) {
				sum[i] += x
			}
		}
		for i := range sum {
			sum[i] /= float32(count)
		}
		c.scores(sum)
		if err := out.Append(c.value(sum)); err != nil {
			return nil, err
		}
	}
	return out.Finish(), nil
}
