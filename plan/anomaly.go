package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/leat-project/leat/column"
)

// Anomaly is the configuration of the ordered function "anomaly": a detector with its trackers and its threshold, as Beam's ml.anomaly has them.
type Anomaly struct {
	Detector string // ZScore, IQR, RobustZScore
	ModelID  string
	Feature  string  // the name of the field
	Mean     Tracker // of ZScore
	Stdev    Tracker
	Q1, Q3   Tracker // of IQR
	Median   Tracker // of RobustZScore
	Diff     Tracker // of RobustZScore: of the differences from the median

	Cutoff   float64  // of a fixed threshold
	Quantile *Tracker // of scores, whose quantile is the threshold; nil: Cutoff is
	// What the label says.
	Normal, Outlier, Missing int64
}

// Tracker says how a statistic of the values so far is kept.
type Tracker struct {
	Type   string
	Window int64 // how many values count; 0: all
	Q      float64
}

// AnomalyType is the type of the function's result.
func AnomalyType() column.Type {
	return column.RowOf(column.Schema{{Name: "model_id", Type: column.StringType}, {Name: "score", Type: column.FloatType.OrNull()},
		{Name: "label", Type: column.IntType.OrNull()}, {Name: "threshold", Type: column.FloatType.OrNull()}, {Name: "info", Type: column.StringType}})
}

// Beam's default windows.
const (
	trackerWindow   = 1000
	thresholdWindow = 100
	maxWindow       = 10_000_000
)

var (
	meanTrackers  = []string{"IncSlidingMeanTracker", "IncLandmarkMeanTracker", "SimpleSlidingMeanTracker"}
	stdevTrackers = []string{"IncSlidingStdevTracker", "IncLandmarkStdevTracker", "SimpleSlidingStdevTracker"}
	// SecondaryBufferedQuantileTracker shares the values of another in Beam; here it keeps its own, with the same result.
	quantileTrackers = []string{"BufferedSlidingQuantileTracker", "BufferedLandmarkQuantileTracker", "SimpleSlidingQuantileTracker", "SecondaryBufferedQuantileTracker"}
)

// refusedDetectors are those of Beam that are not run here.
var refusedDetectors = map[string]string{
	"OfflineDetector":         "it calls a model of Python: use RunInference with an ONNX model",
	"PyODFactory":             "it runs a model of PyOD in Python: export it to ONNX and use RunInference",
	"EnsembleAnomalyDetector": "Beam YAML cannot construct it either: put several AnomalyDetection one after another",
}

// ParseAnomaly reads {type, config} of a detector, as plain data.
func ParseAnomaly(v any) (*Anomaly, error) {
	p := anomalyParser{}
	typ, config := p.spec("detector", v)
	a := &Anomaly{Detector: typ, ModelID: typ, Normal: 0, Outlier: 1, Missing: -2}
	common := []string{"model_id", "features", "target", "threshold_criterion"}
	switch typ {
	case "ZScore":
		a.Cutoff = 3
		p.known("ZScore", config, append(common, "sub_stat_tracker", "stdev_tracker"))
		a.Mean = p.tracker("sub_stat_tracker", config["sub_stat_tracker"], meanTrackers, 0, trackerWindow)
		a.Stdev = p.tracker("stdev_tracker", config["stdev_tracker"], stdevTrackers, 0, trackerWindow)
	case "IQR":
		a.Cutoff = 1.5
		p.known("IQR", config, append(common, "q1_tracker", "q3_tracker"))
		a.Q1 = p.tracker("q1_tracker", config["q1_tracker"], quantileTrackers, 0.25, trackerWindow)
		a.Q3 = p.tracker("q3_tracker", config["q3_tracker"], quantileTrackers, 0.75, a.Q1.Window)
	case "RobustZScore":
		a.Cutoff = 3
		p.known("RobustZScore", config, append(common, "mad_tracker"))
		a.Median, a.Diff = p.mad(config["mad_tracker"])
	default:
		if why := refusedDetectors[typ]; why != "" {
			return nil, fmt.Errorf("the detector %s is not run here: %s", typ, why)
		}
		p.fail("no detector is named %q: there are ZScore, IQR and RobustZScore", typ)
	}
	if id, ok := config["model_id"].(string); ok && id != "" {
		a.ModelID = id
	}
	a.Feature = p.feature(config["features"])
	p.threshold(a, config["threshold_criterion"])
	return a, p.err
}

type anomalyParser struct{ err error }

func (p *anomalyParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// spec reads {type, config}.
func (p *anomalyParser) spec(name string, v any) (typ string, config map[string]any) {
	m, ok := v.(map[string]any)
	if !ok {
		if text, isText := v.(string); isText { // the type alone
			return text, map[string]any{}
		}
		p.fail("wanted {type, config} for %q, found %v", name, v)
		return "", map[string]any{}
	}
	p.known(name, m, []string{"type", "config"})
	typ, _ = m["type"].(string)
	config, _ = m["config"].(map[string]any)
	if config == nil {
		config = map[string]any{}
	}
	return typ, config
}

func (p *anomalyParser) known(owner string, config map[string]any, keys []string) {
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if !slices.Contains(keys, key) {
			p.fail("%s has no key %q: it has %v", owner, key, keys)
		}
	}
}

func (p *anomalyParser) feature(v any) string {
	if name, ok := v.(string); ok {
		return name
	}
	list, _ := v.([]any)
	if len(list) != 1 {
		if v != nil {
			p.fail("these detectors look at one feature, found %v", v)
		}
		return ""
	}
	name, _ := list[0].(string)
	return name
}

// tracker reads a tracker of one of some types. q is the quantile that it has to keep; 0: none.
func (p *anomalyParser) tracker(name string, v any, types []string, q float64, window int64) Tracker {
	if v == nil {
		return Tracker{Type: types[0], Window: window, Q: q}
	}
	typ, config := p.spec(name, v)
	t := Tracker{Type: typ, Window: window, Q: q}
	if !slices.Contains(types, typ) {
		p.fail("%q is no tracker for %q: there are %v", typ, name, types)
		return t
	}
	p.known(typ, config, []string{"window_size", "q", "master"})
	switch typ {
	case "IncLandmarkMeanTracker", "IncLandmarkStdevTracker", "BufferedLandmarkQuantileTracker":
		t.Window = 0
	case "SecondaryBufferedQuantileTracker":
		if config["master"] != nil {
			t.Window = p.tracker("master", config["master"], quantileTrackers, q, window).Window
		}
	}
	if n, ok := config["window_size"].(int64); ok {
		if t.Window = n; n < 1 || n > maxWindow {
			p.fail("wanted a window_size of 1 to %d for %q, found %d", maxWindow, name, n)
		}
	} else if config["window_size"] != nil {
		p.fail("wanted a whole number for the window_size of %q, found %v", name, config["window_size"])
	}
	if given, ok := number(config["q"]); ok && given != q {
		p.fail("%q has to keep the quantile %g, found %g", name, q, given)
	}
	return t
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// median reads a MedianTracker.
func (p *anomalyParser) median(name string, v any) Tracker {
	var inner any
	if v != nil {
		typ, config := p.spec(name, v)
		if typ != "MedianTracker" {
			p.fail("wanted a MedianTracker for %q, found %q", name, typ)
		}
		p.known("MedianTracker", config, []string{"quantile_tracker"})
		inner = config["quantile_tracker"]
	}
	return p.tracker("quantile_tracker", inner, quantileTrackers, 0.5, trackerWindow)
}

// mad reads a MadTracker.
func (p *anomalyParser) mad(v any) (median, diff Tracker) {
	config := map[string]any{}
	if v != nil {
		var typ string
		if typ, config = p.spec("mad_tracker", v); typ != "MadTracker" {
			p.fail("wanted a MadTracker for \"mad_tracker\", found %q", typ)
		}
		p.known("MadTracker", config, []string{"median_tracker", "diff_median_tracker"})
	}
	return p.median("median_tracker", config["median_tracker"]), p.median("diff_median_tracker", config["diff_median_tracker"])
}

// threshold reads a threshold criterion.
func (p *anomalyParser) threshold(a *Anomaly, v any) {
	if v == nil {
		return
	}
	typ, config := p.spec("threshold_criterion", v)
	for key, to := range map[string]*int64{"normal_label": &a.Normal, "outlier_label": &a.Outlier, "missing_label": &a.Missing} {
		if n, ok := config[key].(int64); ok {
			*to = n
		} else if config[key] != nil {
			p.fail("wanted a whole number for %q, found %v", key, config[key])
		}
	}
	labels := []string{"normal_label", "outlier_label", "missing_label"}
	switch typ {
	case "FixedThreshold":
		p.known(typ, config, append(labels, "cutoff"))
		cutoff, ok := number(config["cutoff"])
		if !ok {
			p.fail("FixedThreshold needs \"cutoff\", a number")
		}
		a.Cutoff = cutoff
	case "QuantileThreshold":
		p.known(typ, config, append(labels, "quantile", "quantile_tracker"))
		q := 0.95
		if given, ok := number(config["quantile"]); ok {
			q = given
		}
		if q < 0 || q > 1 {
			p.fail("a quantile is between 0 and 1, found %g", q)
		}
		if spec, ok := config["quantile_tracker"].(map[string]any); ok {
			if inner, ok := spec["config"].(map[string]any); ok {
				if given, ok := number(inner["q"]); ok {
					q = given
				}
			}
		}
		t := p.tracker("quantile_tracker", config["quantile_tracker"], quantileTrackers, q, thresholdWindow)
		a.Quantile = &t
	default:
		p.fail("no threshold criterion is named %q: there are FixedThreshold and QuantileThreshold", typ)
	}
}
