package task

import (
	"fmt"
	"math"
	"sort"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/model"
)

// scoreType is one class and how much speaks for it.
var scoreType = column.RowOf(column.Schema{{Name: "label", Type: column.StringType}, {Name: "score", Type: column.FloatType}})

// scorer turns a classifier's logits into labels and scores.
type scorer struct {
	config *model.Config
	apply  string // sigmoid, softmax or none
	top    int    // how many classes a prediction lists; 0: all
	list   bool   // a prediction is a list; else the best class alone
	labels []string
}

// scoreFields are the settings of a classifier of texts or images.
func scoreFields(topDefault, topDoc string) []catalog.Field {
	return []catalog.Field{
		{Name: "top_k", Type: catalog.AnyValue, Default: topDefault, Doc: topDoc},
		{Name: "function_to_apply", Type: catalog.Text, Enum: []string{"sigmoid", "softmax", "none"},
			Doc: "What turns the model's outputs into scores; by default what config.json says of the problem: sigmoid for several labels or a single output, softmax else."},
	}
}

// newScorer reads the settings. def is the list's length where top_k is not given, 0 for the best class alone.
func newScorer(s *Setup, def int) (*scorer, error) {
	c := &scorer{config: s.Package.Config, labels: s.Package.Config.Labels, top: def, list: def > 0}
	if !c.list {
		c.top = 1
	}
	if v, given := s.Config["top_k"]; given {
		c.list = true
		switch n := v.(type) {
		case nil:
			c.top = 0
		case int64:
			if n < 1 {
				return nil, &catalog.Problem{Key: "top_k", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 1, or null for all classes, found %d", n)}
			}
			c.top = int(n)
		default:
			return nil, &catalog.Problem{Key: "top_k", Code: diag.BadValue, Text: fmt.Sprintf("wanted a whole number, or null for all classes, found %v", v)}
		}
	}
	c.apply, _ = s.Config["function_to_apply"].(string)
	return c, nil
}

// output is the type of a prediction.
func (c *scorer) output() column.Type {
	if c.list {
		return column.ListOf(scoreType)
	}
	return scoreType
}

// function returns what is applied to n logits, by the rule of the reference.
func (c *scorer) function(n int) string {
	switch problem := c.config.ProblemType; {
	case c.apply != "":
		return c.apply
	case problem == "regression":
		return "none"
	case problem == "multi_label_classification" || n == 1:
		return "sigmoid"
	}
	return "softmax"
}

// scores turns logits into scores in place, in single precision as the reference computes them.
func (c *scorer) scores(logits []float32) {
	switch c.function(len(logits)) {
	case "sigmoid":
		for i, x := range logits {
			logits[i] = float32(1 / (1 + math.Exp(-float64(x))))
		}
	case "softmax":
		softmax(logits)
	}
}

// softmax replaces x by exp(x) over its sum, with the greatest taken off before so that nothing overflows.
func softmax(x []float32) {
	greatest := float32(math.Inf(-1))
	for _, v := range x {
		greatest = max(greatest, v)
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v - greatest))
		x[i] = float32(e)
		sum += e
	}
	for i := range x {
		x[i] = float32(float64(x[i]) / sum)
	}
}

// check refuses outputs of which no score can be made.
func (c *scorer) check(logits []float32) error {
	if len(logits) == 0 {
		return &expr.Exception{Class: "ValueError", Msg: "the model gave no score"}
	}
	for _, x := range logits {
		if x != x {
			return &expr.Exception{Class: "ValueError", Msg: "the model gave scores that are not numbers (NaN)"}
		}
	}
	return nil
}

// value makes a prediction of scores, the highest first; equal ones stay in the order of the classes.
func (c *scorer) value(scores []float32) column.Value {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return scores[order[a]] > scores[order[b]] })
	if c.top > 0 && c.top < len(order) {
		order = order[:c.top]
	}
	elems := make([]column.Value, len(order))
	for i, class := range order {
		elems[i] = &column.RowValue{Names: []string{"label", "score"}, Elems: []column.Value{c.label(class), float64(scores[class])}}
	}
	if !c.list {
		return elems[0]
	}
	return &column.ListValue{Elems: elems}
}

func (c *scorer) label(class int) string {
	if class < len(c.labels) {
		return c.labels[class]
	}
	return fmt.Sprintf("LABEL_%d", class)
}

// classCheck refuses a model whose output is not one score a class, as far as the graph tells.
func (c *scorer) classCheck(output *model.ValueInfo) error {
	if len(output.Shape) == 2 && output.Shape[1] > 0 && len(c.labels) > 0 && int(output.Shape[1]) != len(c.labels) {
		return fmt.Errorf("config.json names %d labels, and the graph's output %q is %s", len(c.labels), output.Name, output)
	}
	if output.Shape != nil && len(output.Shape) != 2 {
		return fmt.Errorf("wanted one score for each class, [batch, classes], found the output %q as %s", output.Name, output)
	}
	return nil
}
