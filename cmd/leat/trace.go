package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// traceClose is how long the end of a run waits for its spans to be sent.
const traceClose = 3 * time.Second

// tracer sends spans of a run by OTLP over HTTP. It is nil, and sends nothing, unless the environment names where to.
type tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	run      context.Context // that the spans of checkpoints and turns belong to
	span     trace.Span
	redact   func(string) string
}

// startTrace begins the span of a run. The endpoint, headers and time-outs are those of OpenTelemetry's variables.
func startTrace(ctx context.Context, pipeline string, log *reporter) (*tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" || os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces by OTLP: %w", err)
	}
	var once sync.Once // a collector that is away must not fill the log
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		once.Do(func() { log.line("WARNING", fmt.Sprintf("traces could not be sent, and some are missing: %v", err)) })
	}))
	name := os.Getenv("OTEL_SERVICE_NAME")
	if name == "" {
		name = "leat"
	}
	about := resource.NewSchemaless(attribute.String("service.name", name), attribute.String("service.version", version()))
	t := &tracer{provider: sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about)), redact: log.redact}
	t.tracer = t.provider.Tracer("leat")
	t.run, t.span = t.tracer.Start(context.WithoutCancel(ctx), "run", trace.WithAttributes(attribute.String("leat.pipeline", pipeline)))
	return t, nil
}

// event sends a span of something that is over. It is what engine.StreamOptions.Trace wants.
func (t *tracer) event(name string, start, end time.Time, values map[string]any, err error) {
	_, span := t.tracer.Start(t.run, name, trace.WithTimestamp(start), trace.WithAttributes(spanValues(values)...))
	t.fail(span, err)
	span.End(trace.WithTimestamp(end))
}

func (t *tracer) fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, t.redact(err.Error()))
	}
}

// close ends the span of the run and sends what is left.
func (t *tracer) close(err error) {
	if t == nil {
		return
	}
	t.fail(t.span, err)
	t.span.End()
	ctx, cancel := context.WithTimeout(context.Background(), traceClose)
	defer cancel()
	t.provider.Shutdown(ctx) // what cannot be sent has been told of
}

// spanValues are what a span tells, in the order of their names.
func spanValues(values map[string]any) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := attribute.Key("leat." + key)
		switch v := values[key].(type) {
		case int:
			out = append(out, name.Int(v))
		case int64:
			out = append(out, name.Int64(v))
		case bool:
			out = append(out, name.Bool(v))
		case string:
			out = append(out, name.String(v))
		default:
			out = append(out, name.String(fmt.Sprint(v)))
		}
	}
	return out
}
