package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/plan"
)

// fileFlags say how to read a pipeline file.
type fileFlags struct {
	vars     []string // name=value
	varFiles []string
	set      []string // a.b=value
}

func (f *fileFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.vars, "var", nil, "a template variable, `name=value`; may be repeated. Numbers and booleans as JSON has them, the rest are strings")
	flags.StringArrayVar(&f.varFiles, "vars", nil, "a YAML or JSON `file` with a map of template variables; --var wins over it")
	flags.StringArrayVar(&f.set, "set", nil, "a pipeline option, `a.b=value`; wins over the file's options")
}

// options reads what the flags name. Problems in a file of variables have places as all problems have.
func (f *fileFlags) options(problems *diag.List) (pipeline.Options, error) {
	o := pipeline.Options{Vars: map[string]any{}, Set: map[string]any{}}
	for _, name := range f.varFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			problems.Errorf(diag.Place{File: name}, diag.BadFile, "cannot read the variables: %v", cause(err))
			continue
		}
		for k, v := range pipeline.ReadVars(name, text, problems) {
			o.Vars[k] = v
		}
	}
	for _, v := range f.vars {
		if err := assign(o.Vars, "--var", v); err != nil {
			return o, err
		}
	}
	for _, v := range f.set {
		if err := assign(o.Set, "--set", v); err != nil {
			return o, err
		}
	}
	return o, nil
}

func assign(into map[string]any, flag, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%s wants name=value, found %q", flag, text)
	}
	into[name] = scalar(value)
	return nil
}

// scalar reads the value of a variable: a JSON number or boolean is one, unless a template would then print another
// text than was given (1.50, 007, 1e3), and all else is a string.
func scalar(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return f
	}
	return text
}

// source is a pipeline file as it was read.
type source struct {
	name string // as the user gave it
	text []byte
}

// compile reads and compiles a file; "-" is standard input. The plan is nil where there is an error among the problems.
func (g *global) compile(ctx context.Context, name string, flags *fileFlags) (*plan.Plan, *source, *diag.List, error) {
	problems := &diag.List{}
	options, err := flags.options(problems)
	if err != nil {
		return nil, nil, nil, err
	}
	src := &source{name: name}
	if name == "-" {
		src.text, err = io.ReadAll(io.LimitReader(g.in, pipeline.MaxFileBytes+1))
	} else {
		src.text, err = os.ReadFile(name)
	}
	if err != nil {
		problems.Errorf(diag.Place{File: name}, diag.BadFile, "cannot read the pipeline: %v", cause(err))
	}
	if problems.Failed() {
		return nil, src, problems, nil
	}
	p, found := pipeline.Compile(ctx, name, src.text, options)
	problems.Problems = append(problems.Problems, found.Problems...)
	return p, src, problems, nil
}

// cause drops the path that an error of the file system repeats.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
