package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/leat-project/leat/infer"
)

// provider is how an execution provider is asked for.
type provider struct {
	available string // its name in the library's list
	generic   string // its name for the generic call; "": it has functions of its own
}

// providers are the execution providers that leat knows, by its names for them.
var providers = map[string]provider{
	"cpu":      {available: "CPUExecutionProvider"},
	"openvino": {available: "OpenVINOExecutionProvider", generic: "OpenVINO"},
	"cuda":     {available: "CUDAExecutionProvider"},
	"tensorrt": {available: "TensorrtExecutionProvider"},
	"coreml":   {available: "CoreMLExecutionProvider", generic: "CoreML"},
	"qnn":      {available: "QNNExecutionProvider", generic: "QNN"},
}

// levels are GraphOptimizationLevel's numbers.
var levels = map[infer.Level]uintptr{"": 99, infer.LevelNone: 0, infer.LevelBasic: 1, infer.LevelExtended: 2, infer.LevelAll: 99}

// sessionOptions makes the library's options of ours. The caller releases them.
func (r *Runtime) sessionOptions(o infer.Options) (_ pointer, err error) {
	var options pointer
	if err := r.call(slotCreateSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			r.release(slotReleaseSessionOptions, options)
		}
	}()
	level, ok := levels[o.Optimization]
	if !ok {
		return 0, fmt.Errorf("no level of optimisation is named %q; there are none, basic, extended and all", o.Optimization)
	}
	errs := []error{
		r.call(slotSetIntraOpNumThreads, options, uintptr(max(1, o.Threads))),
		r.call(slotSetInterOpNumThreads, options, 1),
		r.call(slotSetSessionGraphOptimizationLevel, options, level),
		r.call(slotSetSessionLogSeverityLevel, options, 4),
	}
	if o.NoArena {
		errs = append(errs, r.call(slotDisableCPUMemArena, options))
	}
	config := map[string]string{
		// Threads that spin take the processor from other workers: on a busy machine 16 times slower.
		"session.intra_op.allow_spinning": "0",
		"session.inter_op.allow_spinning": "0",
	}
	if r.limited {
		config["session.use_env_allocators"] = "1"
	}
	maps.Copy(config, o.Config)
	for _, key := range slices.Sorted(maps.Keys(config)) {
		k, v := cString(key), cString(config[key])
		if err := r.call(slotAddSessionConfigEntry, options, uintptr(unsafe.Pointer(&k[0])), uintptr(unsafe.Pointer(&v[0]))); err != nil {
			errs = append(errs, fmt.Errorf("setting %s: %w", key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return options, r.appendProviders(options, o)
}

// appendProviders asks for the execution providers in order. What none of them computes, the cpu does.
func (r *Runtime) appendProviders(options pointer, o infer.Options) error {
	for _, p := range o.Providers {
		err := r.appendProvider(options, p)
		if err == nil {
			continue
		}
		if !o.Fallback {
			return err
		}
		if o.Log != nil {
			o.Log("WARNING", err.Error()+" The model runs on cpu, as fallback: cpu allows.")
		}
	}
	return nil
}

func (r *Runtime) appendProvider(options pointer, p infer.Provider) error {
	known, ok := providers[p.Name]
	here := r.Providers()
	switch {
	case !ok:
		return fmt.Errorf("no execution provider is named %q; there are %s", p.Name, strings.Join(slices.Sorted(maps.Keys(providers)), ", "))
	case !slices.Contains(here, p.Name):
		return &infer.Error{Code: "NOT_FOUND", Text: fmt.Sprintf("the execution provider %q is not part of this library (onnxruntime %s), which has %s.",
			p.Name, r.version, strings.Join(here, ", ")), Hint: providerHint(p.Name)}
	case p.Name == "cpu":
		return nil
	}
	return r.addProvider(options, p, known)
}

// addProvider asks the library for a provider.
func (r *Runtime) addProvider(options pointer, p infer.Provider, known provider) error {
	keys, values := pairs(p.Options)
	n := uintptr(len(p.Options))
	var err error
	switch p.Name {
	case "cuda":
		err = r.appendOwn(options, keys, values, n, slotCreateCUDAOptions, slotUpdateCUDAOptions, slotAppendCUDA, slotReleaseCUDAOptions)
	case "tensorrt":
		err = r.appendOwn(options, keys, values, n, slotCreateTensorRTOptions, slotUpdateTensorRTOptions, slotAppendTensorRT, slotReleaseTensorRTOptions)
	default:
		name := cString(known.generic)
		err = r.call(slotAppendProvider, options, uintptr(unsafe.Pointer(&name[0])), keys.address(), values.address(), n)
	}
	keys.free()
	values.free()
	if err != nil {
		return fmt.Errorf("execution provider %q: %w", p.Name, err)
	}
	return nil
}

func providerHint(name string) string {
	switch name {
	case "cuda", "tensorrt":
		return "Install the flavour that has it: leat runtime install cuda; or allow fallback: cpu."
	case "openvino", "qnn":
		return "Install the flavour that has it: leat runtime install " + name + "; or allow fallback: cpu."
	}
	return "Allow fallback: cpu, or run where the provider exists."
}

// appendOwn appends a provider that has option objects of its own.
func (r *Runtime) appendOwn(options pointer, keys, values *stringArray, n uintptr, create, update, add, release int) error {
	var own pointer
	if err := r.call(create, uintptr(unsafe.Pointer(&own))); err != nil {
		return err
	}
	defer r.release(release, own)
	if n > 0 {
		if err := r.call(update, own, keys.address(), values.address(), n); err != nil {
			return err
		}
	}
	return r.call(add, options, own)
}

func pairs(options map[string]string) (keys, values *stringArray) {
	var k, v []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		k, v = append(k, name), append(v, options[name])
	}
	return newStringArray(k), newStringArray(v)
}
