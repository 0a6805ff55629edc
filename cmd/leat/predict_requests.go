package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	files "github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/task"
)

// wantsRequests reports whether the arguments are requests of the Open Inference Protocol, and not rows or files.
func (r *predictRun) wantsRequests(args []string) bool {
	if r.predictor.Task != task.Tensor || r.flags.as != "auto" || takes(r.predictor) == takesFiles || newStates(r.predictor, r.flags) != nil {
		return false
	}
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && (info.IsDir() || extension(arg) != ".json" && tables[extension(arg)] != "") {
			return false
		}
	}
	return true
}

// answerAll answers the requests of all arguments, one after another.
func (r *predictRun) answerAll(ctx context.Context, args []string, open infer.Opener) error {
	if r.flags.format == "table" {
		return &usageError{"--format wants json or ndjson for requests of tensors, found table"}
	}
	var inputs []io.Reader
	for _, arg := range args {
		in, err := r.request(ctx, arg)
		if err != nil {
			return err
		}
		defer closeReader(in)
		inputs = append(inputs, in)
	}
	a := &answers{run: r, indent: r.format("json") == "json"}
	session, err := r.session(ctx, open)
	if err != nil {
		return err
	}
	a.session = session
	for _, in := range inputs {
		if err = a.answerEach(ctx, in); err != nil {
			break
		}
	}
	return errors.Join(err, session.Close())
}

// request opens an argument.
func (r *predictRun) request(ctx context.Context, arg string) (io.Reader, error) {
	_, err := os.Stat(arg)
	switch {
	case arg == "-":
		return newInterruptedReader(ctx, r.g.in), nil
	case err != nil && strings.HasPrefix(strings.TrimSpace(arg), "{"):
		return strings.NewReader(arg), nil
	case err != nil:
		return nil, &diag.Problem{Code: diag.NoSuchFile, Text: fmt.Sprintf("cannot read %q: %v", arg, cause(err)),
			Hint: `A request is a file, or JSON: '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [0.5]}]}'.`}
	}
	in, err := files.OpenStream(arg, files.Auto, nil)
	if err != nil {
		return nil, problemIn(arg, err)
	}
	return in, nil
}

// session loads the model's one graph, without what a task does around it.
func (r *predictRun) session(ctx context.Context, open infer.Opener) (infer.Session, error) {
	s := r.predictor.Settings
	need := infer.Need{Isolated: s.Isolate, Fallback: s.Session.Fallback}
	if len(s.Session.Providers) > 0 {
		need.Provider = s.Session.Providers[0].Name
	}
	runtime, err := open(ctx, need)
	if err != nil {
		return nil, err
	}
	g, err := r.predictor.Package.Graph(model.ModelRole)
	if err != nil {
		return nil, err
	}
	options := s.Session
	options.Log = r.log.line
	session, err := runtime.Load(ctx, infer.Source{Name: r.predictor.Package.Name, Path: g.Path, Bytes: g.Bytes}, options)
	if err != nil {
		return nil, modelError(err)
	}
	return session, nil
}

// answers answers requests.
type answers struct {
	run     *predictRun
	session infer.Session
	indent  bool
}

// answerEach answers the requests of a stream, one after another. What is no JSON ends it, with an error as the answer.
func (a *answers) answerEach(ctx context.Context, in io.Reader) error {
	budget := &budgetReader{in: bufio.NewReaderSize(in, sniffBytes)}
	d := json.NewDecoder(budget)
	for {
		budget.left = maxRequestBytes
		var text json.RawMessage
		err := d.Decode(&text)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.run.written++
		if err != nil {
			a.run.failed++
			return a.write(errorAnswer("", fmt.Errorf("the request: %w", err)))
		}
		answer, err := a.answer(ctx, text)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.run.failed++
			var id struct{ ID string }
			_ = json.Unmarshal(text, &id) // without an identity, the answer has none
			answer = errorAnswer(id.ID, err)
		}
		if err := a.write(answer); err != nil {
			return err
		}
	}
}

func (a *answers) answer(ctx context.Context, text []byte) ([]byte, error) {
	request, tensors, err := parseRequest(text)
	if err != nil {
		return nil, err
	}
	inputs, outputs, err := request.arrange(tensors, a.session)
	if err != nil {
		return nil, err
	}
	results, err := a.session.Run(ctx, inputs, outputs)
	if err != nil {
		return nil, err
	}
	defer results.Close()
	name, version, _ := strings.Cut(a.run.predictor.ModelID, "@")
	dst := appendJSONString([]byte(`{"model_name":`), name)
	dst = appendJSONString(append(dst, `,"model_version":`...), version)
	if request.ID != "" {
		dst = appendJSONString(append(dst, `,"id":`...), request.ID)
	}
	dst = append(dst, `,"outputs":[`...)
	for i, v := range results.Values {
		info := &a.session.Outputs()[outputs[i]]
		t, ok := v.(*infer.Tensor)
		if !ok {
			return nil, fmt.Errorf("the output %q is %s, which the protocol has no form for: name those that are tensors under \"outputs\"", info.Name, info)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendAnswer(dst, info.Name, t); err != nil {
			return nil, err
		}
	}
	return append(dst, "]}"...), nil
}

func errorAnswer(id string, err error) []byte {
	dst := []byte("{")
	if id != "" {
		dst = append(appendJSONString(append(dst, `"id":`...), id), ',')
	}
	return append(appendJSONString(append(dst, `"error":`...), err.Error()), '}')
}

// write writes an answer on a line, or indented.
func (a *answers) write(answer []byte) error {
	if a.indent {
		var b bytes.Buffer
		if err := json.Indent(&b, answer, "", "  "); err != nil {
			return err
		}
		answer = b.Bytes()
	}
	_, err := (&screenWriter{a.run}).Write(append(answer, '\n'))
	return err
}
