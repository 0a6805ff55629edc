package main

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/engine"
)

// collector gives the figures of a run as Prometheus wants them, as of when it is asked.
type collector struct {
	progress *engine.Progress
	now      func() time.Time
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("leat_"+name, help, labels, nil)
}

var (
	rowsDesc      = desc("rows_total", "Rows that a sink took, or that any other node put out.", "node", "transform", "kind")
	errorsDesc    = desc("errors_total", "Rows that a node put out as errors.", "node", "transform", "kind")
	lateDesc      = desc("late_rows_total", "Rows that came after their window had closed.", "node", "transform", "kind")
	futureDesc    = desc("future_rows_total", "Rows set aside because their time was too far in the future.", "node", "transform", "kind")
	markDesc      = desc("watermark_seconds", "The watermark of what a node puts out, as Unix time; absent while there is none.", "node", "transform", "kind")
	lagDesc       = desc("watermark_lag_seconds", "How far the watermark is behind the clock; absent while there is none.", "node", "transform", "kind")
	busyDesc      = desc("node_busy_seconds_total", "Time that workers have spent in a node, and not in those after it.", "node", "transform", "kind")
	modelRowsDesc = desc("model_rows_total", "Rows that a model predicted.", "node")
	modelBadDesc  = desc("model_failed_rows_total", "Rows that a model could not predict.", "node")
	modelRunsDesc = desc("model_runs_total", "Batches that a model was run on.", "node")
	modelItems    = desc("model_items_total", "Items in the batches that a model was run on.", "node")
	modelResets   = desc("model_state_resets_total", "States that were begun anew, after a gap or by another model.", "node")
	modelSeconds  = desc("model_seconds_total", "Time spent on a model, in the stages preprocess, inference and postprocess.", "node", "stage")
	modelSlowest  = desc("model_slowest_run_seconds", "The time that the slowest batch of a model took.", "node")

	queueDesc    = desc("queue_pieces", "Pieces of input that wait for a worker.")
	workersDesc  = desc("workers", "Workers that the stream has.")
	turnsDesc    = desc("turns_total", "Times that the workers stood still for windows or a checkpoint.")
	epochDesc    = desc("checkpoint_epoch", "The epoch of the last checkpoint.")
	madeDesc     = desc("checkpoints_total", "Checkpoints made in this run.")
	failuresDesc = desc("checkpoint_failures_total", "Tries to write a checkpoint that failed.")
	tookDesc     = desc("checkpoint_duration_seconds", "How long the last checkpoint took, from the turn to the commit; absent before the first.")
	bytesDesc    = desc("checkpoint_bytes", "The size of the last checkpoint; absent before the first.")
	ageDesc      = desc("checkpoint_age_seconds", "Time since the last checkpoint of this run; absent before the first.")
	latencyDesc  = desc("latency_seconds", "How long rows took from the source to the sink, without those that waited for their window.")
)

// Describe sends nothing: which metrics there are depends on the pipeline and its connectors.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures of now.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	nodes := c.progress.Snapshot()
	s, streaming := c.progress.Stream()
	seen := map[[3]string]bool{}
	for _, n := range nodes {
		key := [3]string{n.Name, n.Transform, n.Kind}
		label := n.Name
		if seen[key] { // a transform may become several nodes of a kind
			label += "#" + strconv.Itoa(n.ID)
		}
		seen[key] = true
		c.node(to, n, label, streaming)
	}
	if streaming {
		c.stream(to, &s)
		connectors(to, s.Connectors)
	}
}

func counter(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c *collector) node(to chan<- prometheus.Metric, n engine.NodeProgress, label string, streaming bool) {
	labels := []string{label, n.Transform, n.Kind}
	counter(to, rowsDesc, float64(n.Rows), labels...)
	counter(to, errorsDesc, float64(n.Errors), labels...)
	if streaming {
		counter(to, lateDesc, float64(n.Late), labels...)
		counter(to, futureDesc, float64(n.Ahead), labels...)
		counter(to, busyDesc, n.Busy.Seconds(), labels...)
		if at, ok := watermark(n); ok {
			gauge(to, markDesc, float64(at.UnixMilli())/1000, labels...)
			gauge(to, lagDesc, c.now().Sub(at).Seconds(), labels...)
		}
	}
	m := n.Model
	if m == nil {
		return
	}
	counter(to, modelRowsDesc, float64(m.Rows), label)
	counter(to, modelBadDesc, float64(m.Failed), label)
	counter(to, modelRunsDesc, float64(m.Runs), label)
	counter(to, modelItems, float64(m.Items), label)
	counter(to, modelResets, float64(m.Resets), label)
	counter(to, modelSeconds, m.Preprocess.Seconds(), label, "preprocess")
	counter(to, modelSeconds, m.Inference.Seconds(), label, "inference")
	counter(to, modelSeconds, m.Postprocess.Seconds(), label, "postprocess")
	gauge(to, modelSlowest, m.Slowest.Seconds(), label)
}

// watermark returns the watermark of what a node puts out; ok is false while there is none, or when all has ended.
func watermark(n engine.NodeProgress) (at time.Time, ok bool) {
	if n.Watermark == math.MinInt64 || n.Watermark == math.MaxInt64 {
		return at, false
	}
	return time.UnixMilli(n.Watermark), true
}

func (c *collector) stream(to chan<- prometheus.Metric, s *engine.StreamProgress) {
	gauge(to, queueDesc, float64(s.Queued))
	gauge(to, workersDesc, float64(s.Workers))
	counter(to, turnsDesc, float64(s.Turns))
	gauge(to, epochDesc, float64(s.Epoch))
	counter(to, madeDesc, float64(s.Checkpoints))
	counter(to, failuresDesc, float64(s.Failures))
	if !s.CheckpointAt.IsZero() {
		gauge(to, tookDesc, s.CheckpointTook.Seconds())
		gauge(to, bytesDesc, float64(s.CheckpointSize))
		gauge(to, ageDesc, c.now().Sub(s.CheckpointAt).Seconds())
	}
	buckets := make(map[float64]uint64, len(engine.LatencyBounds))
	count := uint64(0)
	for i, bound := range engine.LatencyBounds {
		count += uint64(s.Latency.Counts[i])
		buckets[bound.Seconds()] = count
	}
	count += uint64(s.Latency.Counts[len(engine.LatencyBounds)])
	to <- prometheus.MustNewConstHistogram(latencyDesc, count, s.Latency.Sum.Seconds(), buckets)
}

// connectors sends the figures that connectors have of their own. One that Prometheus would not take is left out: it must not hide the others.
func connectors(to chan<- prometheus.Metric, metrics []engine.ConnectorMetric) {
	labelsOf := map[string][]string{} // by name: a metric has the same labels everywhere
	helpOf := map[string]string{}
	for _, m := range metrics {
		if helpOf[m.Name] == "" {
			helpOf[m.Name] = m.Help
		}
		for label := range m.Labels {
			if label != "node" && !slices.Contains(labelsOf[m.Name], label) {
				labelsOf[m.Name] = append(labelsOf[m.Name], label)
			}
		}
	}
	for _, labels := range labelsOf {
		slices.Sort(labels)
	}
	seen := map[string]bool{}
	for _, m := range metrics {
		labels := append([]string{"node"}, labelsOf[m.Name]...)
		values := []string{m.Transform}
		for _, label := range labels[1:] {
			values = append(values, catalog.Redact(m.Labels[label]))
		}
		key := strconv.Quote(m.Name) + strconv.Quote(m.Transform)
		for _, v := range values {
			key += strconv.Quote(v)
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		kind := prometheus.GaugeValue
		if m.Counter {
			kind = prometheus.CounterValue
		}
		if metric, err := prometheus.NewConstMetric(desc("connector_"+m.Name, helpOf[m.Name], labels...), kind, m.Value, values...); err == nil {
			to <- metric
		}
	}
}
