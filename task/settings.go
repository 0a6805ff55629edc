package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Settings are what every task takes beside its own fields: which files of the package, how they are run, and in what batches.
type Settings struct {
	File, DType  string
	MinBatch     int
	MaxBatch     int // 0: the task's
	BatchVariant bool
	Isolate      bool
	Session      infer.Options
}

// Fields documents the settings that every task takes.
var Fields = []catalog.Field{
	{Name: "file", Type: catalog.Text, Doc: "The graph's file, relative to the package."},
	{Name: "dtype", Type: catalog.Text, Doc: "The variant of the graph, as in onnx/model_fp16.onnx.", Enum: []string{"fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"}},
	{Name: "min_batch_size", Type: catalog.Integer, Default: "1", Doc: "Taken as in Beam, where it is a wish: rows that are there are predicted at once, never held back for others."},
	{Name: "max_batch_size", Type: catalog.Integer, Doc: "How many items one run of the model takes at the most; by default the task's."},
	{Name: "max_batch_duration_secs", Type: catalog.Number, Doc: "Taken as in Beam; nothing waits here, so it changes nothing."},
	{Name: "batch_variant", Type: catalog.Boolean, Default: "false", Doc: "Run a model in batches though it quantises while it runs, so that a row's prediction depends on the others of its batch."},
	{Name: "device", Type: catalog.Text, Default: "CPU", Doc: "As in Beam: CPU, or GPU, which is the provider cuda."},
	{Name: "provider", Type: catalog.Text, Default: "cpu", Enum: []string{"cpu", "openvino", "cuda", "tensorrt", "coreml", "qnn"}, Doc: "The execution provider."},
	{Name: "provider_options", Type: catalog.Object, Doc: "Options of the execution provider, by its own names."},
	{Name: "fallback", Type: catalog.Text, Enum: []string{"cpu"}, Doc: "cpu: run there, with a warning, where the provider is missing."},
	{Name: "threads", Type: catalog.Integer, Default: "1", Doc: "Threads within one run. Runs of several workers stand beside each other, so 1 is best for a stream."},
	{Name: "optimization", Type: catalog.Text, Default: "all", Enum: []string{"none", "basic", "extended", "all"}, Doc: "How far the graph is optimised when it is loaded."},
	{Name: "arena", Type: catalog.Boolean, Default: "true", Doc: "Keep memory for the next run; false gives it back, and is slower."},
	{Name: "session_config", Type: catalog.Object, Doc: "Settings of ONNX Runtime by their names there, such as session.intra_op.allow_spinning."},
	{Name: "isolate", Type: catalog.Text, Default: "none", Enum: []string{"none", "process"}, Doc: "process: run the model in a child process; if that dies its rows are errors, and it is replaced."},
}

// MaxThreads is how many threads one run may use. The runtime starts them all when the model is loaded; many thousands take minutes.
const MaxThreads = 1024

// settingsOf reads the settings out of a configuration that has been checked against Fields.
func settingsOf(config map[string]any) (Settings, error) {
	s := Settings{}
	s.File, _ = config["file"].(string)
	s.DType, _ = config["dtype"].(string)
	s.BatchVariant, _ = config["batch_variant"].(bool)
	s.Isolate = config["isolate"] == "process"
	var errs []error
	for key, to := range map[string]*int{"max_batch_size": &s.MaxBatch, "min_batch_size": &s.MinBatch, "threads": &s.Session.Threads} {
		n, err := count(config, key)
		*to, errs = n, append(errs, err)
	}
	if s.MaxBatch > 0 && s.MinBatch > s.MaxBatch {
		errs = append(errs, &catalog.Problem{Key: "min_batch_size", Code: diag.BadValue, Text: fmt.Sprintf("wanted at most max_batch_size, %d, found %d", s.MaxBatch, s.MinBatch)})
	}
	if s.Session.Threads > MaxThreads {
		errs = append(errs, &catalog.Problem{Key: "threads", Code: diag.BadValue, Text: fmt.Sprintf("wanted at most %d, found %d", MaxThreads, s.Session.Threads)})
	}
	if level, ok := config["optimization"].(string); ok {
		s.Session.Optimization = infer.Level(level)
	}
	s.Session.NoArena = config["arena"] == false
	s.Session.Fallback = config["fallback"] == "cpu"
	s.Session.Config = texts(config["session_config"])
	for key, value := range s.Session.Config { // the library takes only 1 for true, and anything else for false
		switch value {
		case "true":
			s.Session.Config[key] = "1"
		case "false":
			s.Session.Config[key] = "0"
		}
	}
	provider, _ := config["provider"].(string)
	switch device, _ := config["device"].(string); device {
	case "", "CPU", "cpu":
	case "GPU", "gpu", "cuda":
		if provider == "" {
			provider = "cuda"
		}
	default:
		errs = append(errs, &catalog.Problem{Key: "device", Code: diag.BadValue, Text: fmt.Sprintf("wanted CPU or GPU, found %q", device)})
	}
	if provider != "" && provider != "cpu" {
		s.Session.Providers = []infer.Provider{{Name: provider, Options: texts(config["provider_options"])}}
	} else if options := texts(config["provider_options"]); len(options) > 0 {
		errs = append(errs, &catalog.Problem{Key: "provider_options", Code: diag.BadValue, Text: "the provider cpu has no options", Hint: "Name another by provider, or set the session by session_config."})
	}
	return s, errors.Join(errs...)
}

// count reads a number that has to be at least 1 where it is given.
func count(config map[string]any, key string) (int, error) {
	v, ok := config[key].(int64)
	if !ok {
		return 0, nil
	}
	if v < 1 || v > 1<<20 {
		return 0, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 1 to %d, found %d", 1<<20, v)}
	}
	return int(v), nil
}

func texts(v any) map[string]string {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for key, value := range m {
		out[key] = fmt.Sprint(value)
	}
	return out
}

// allowed refuses a provider on which the package's numbers are known to be wrong: those beside leat.providers in config.json.
func (s *Settings) allowed(p *model.Package) error {
	known := textList(p.Config.Leat["providers"])
	for _, provider := range s.Session.Providers {
		if known != nil && !slices.Contains(known, provider.Name) {
			return &catalog.Problem{Key: "provider", Code: diag.BadValue, Text: fmt.Sprintf("the model %s gives right numbers on %s alone, found %q",
				p.Name, strings.Join(known, ", "), provider.Name), Hint: "Its card, README.md, says why."}
		}
	}
	return nil
}

// need is what the runtime has to offer.
func (s *Settings) need() infer.Need {
	n := infer.Need{Isolated: s.Isolate, Fallback: s.Session.Fallback}
	if len(s.Session.Providers) > 0 {
		n.Provider = s.Session.Providers[0].Name
	}
	return n
}
