package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// detector scores the values of one key as Beam's ml.anomaly does: a value is scored by what was learned of those before it, then it is learned.
type detector struct {
	*plan.Anomaly
	mean      *moments  // of ZScore
	stdev     *moments  // of ZScore
	low, high *quantile // of IQR; of RobustZScore the median, and that of the differences from it
	scores    *quantile // of a threshold that is a quantile of the scores
}

// nearZero is what Beam takes for zero.
const nearZero = 1e-12

// madScale makes a median absolute deviation comparable with a standard deviation.
const madScale = 0.6745

func newDetector(a *plan.Anomaly) *detector {
	d := &detector{Anomaly: a}
	switch a.Detector {
	case "ZScore":
		d.mean, d.stdev = newMoments(a.Mean), newMoments(a.Stdev)
	case "IQR":
		d.low, d.high = newQuantile(a.Q1), newQuantile(a.Q3)
	case "RobustZScore":
		d.low, d.high = newQuantile(a.Median), newQuantile(a.Diff)
	}
	if a.Quantile != nil {
		d.scores = newQuantile(*a.Quantile)
	}
	return d
}

// resultNames are the fields of plan.AnomalyType.
var resultNames = plan.AnomalyType().Fields.Names()

// Step scores a value and learns it. Null has no score, and is not learned.
func (d *detector) Step(args []column.Value) (column.Value, error) {
	var x float64
	switch v := args[0].(type) {
	case nil:
		x = math.NaN()
	case int64:
		x = float64(v)
	case float64:
		x = v
	case bool:
		if v {
			x = 1
		}
	default:
		return nil, &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf("wanted a number to look for anomalies in, found %s", expr.Repr(v))}
	}
	score, threshold := column.Value(nil), column.Value(d.Cutoff)
	label := column.Value(nil)
	if !math.IsNaN(x) {
		s := d.score(x)
		score = s
		label = d.label(s, &threshold)
	} else if d.scores != nil {
		d.scores.push(math.NaN())
		threshold = orNull(d.scores.get())
	}
	d.learn(x)
	return &column.RowValue{Names: resultNames, Elems: []column.Value{d.ModelID, score, label, threshold, ""}}, nil
}

func orNull(x float64) column.Value {
	if math.IsNaN(x) {
		return nil
	}
	return x
}

// label says what a score means. A threshold that follows the scores learns the score before.
func (d *detector) label(score float64, threshold *column.Value) column.Value {
	cutoff := d.Cutoff
	if d.scores != nil {
		d.scores.push(score)
		cutoff = d.scores.get()
		*threshold = orNull(cutoff)
	}
	switch {
	case math.IsNaN(score):
		return d.Missing
	case score < cutoff:
		return d.Normal
	}
	return d.Outlier
}

// score is NaN as long as too little has been learned.
func (d *detector) score(x float64) float64 {
	switch d.Detector {
	case "ZScore":
		mean, stdev := d.mean.mean(), d.stdev.stdev()
		switch {
		case math.IsNaN(mean) || math.IsNaN(stdev):
			return math.NaN()
		case math.Abs(stdev) < nearZero:
			return 0
		}
		return math.Abs((x - mean) / stdev)
	case "IQR":
		q1, q3 := d.low.get(), d.high.get()
		iqr := q3 - q1
		switch {
		case math.IsNaN(q1) || math.IsNaN(q3):
			return math.NaN()
		case math.Abs(iqr) < nearZero:
			return 0
		case x > q3:
			return (x - q3) / iqr
		case x < q1:
			return (q1 - x) / iqr
		}
		return 0
	}
	median, mad := d.low.get(), d.high.get()
	switch {
	case math.IsNaN(median) || math.IsNaN(mad):
		return math.NaN()
	case math.Abs(mad) < nearZero:
		return 0
	}
	return math.Abs(float64(madScale*(x-median)) / mad)
}

func (d *detector) learn(x float64) {
	switch d.Detector {
	case "ZScore":
		d.stdev.push(x)
		d.mean.push(x)
	case "IQR":
		d.low.push(x)
		d.high.push(x)
	default:
		d.low.push(x)
		d.high.push(math.Abs(x - d.low.get()))
	}
}

const detectorVersion = 1

// Append appends the state: the values in the trackers' windows.
func (d *detector) Append(dst []byte) []byte {
	dst = append(dst, detectorVersion)
	for _, m := range []*moments{d.mean, d.stdev} {
		if m != nil {
			dst = m.append(dst)
		}
	}
	for _, q := range []*quantile{d.low, d.high, d.scores} {
		if q != nil {
			dst = q.append(dst)
		}
	}
	return dst
}

var errDetector = errors.New("the state of a detector is damaged, or that of another detector")

// Load takes what Append wrote.
func (d *detector) Load(src []byte) error {
	if len(src) == 0 || src[0] != detectorVersion {
		return errDetector
	}
	src = src[1:]
	ok := true
	for _, m := range []*moments{d.mean, d.stdev} {
		if m != nil && ok {
			src, ok = m.load(src)
		}
	}
	for _, q := range []*quantile{d.low, d.high, d.scores} {
		if q != nil && ok {
			src, ok = q.load(src)
		}
	}
	if !ok || len(src) > 0 {
		return errDetector
	}
	return nil
}

// ring is the last values, in the order in which they came.
type ring struct {
	size   int // how many; 0: none are kept
	values []float64
	next   int // where the next one goes, once there are size of them
}

// push adds a value and returns the one that it takes the place of; full is false where there is none.
func (r *ring) push(x float64) (old float64, full bool) {
	if len(r.values) < r.size {
		r.values = append(r.values, x)
		return 0, false
	}
	if r.size == 0 {
		return 0, false
	}
	old = r.values[r.next]
	r.values[r.next] = x
	r.next = (r.next + 1) % r.size
	return old, true
}

func (r *ring) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.values)))
	for i := range r.values {
		dst = appendFloat(dst, r.values[(r.next+i)%len(r.values)])
	}
	return dst
}

func (r *ring) load(src []byte) ([]byte, bool) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n > uint64(r.size) || uint64(len(src)-size) < 8*n {
		return nil, false
	}
	src = src[size:]
	r.values, r.next = make([]float64, n), 0
	for i := range r.values {
		r.values[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
	}
	return src[8*n:], true
}

func appendFloat(dst []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
}
