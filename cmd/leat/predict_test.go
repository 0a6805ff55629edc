package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/model"
)

// machines are rows for the model machine-failure: the first is ok, the second fails, the third has a grade that there is not.
const machines = `id,Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],Tool wear [min]
1,M,298.1,308.6,1551,42.8,0
2,L,298.9,309.1,2861,4.6,143
3,X,298.9,309.1,2861,4.6,143
`

// answer is a row of the output as a program reads it.
type answer struct {
	Input     any    `json:"input"`
	File      string `json:"file"`
	Row, Line int64
	Inference any    `json:"inference"`
	Error     string `json:"error"`
}

func answersIn(t *testing.T, out string) []answer {
	t.Helper()
	var all []answer
	d := json.NewDecoder(strings.NewReader(out))
	for d.More() {
		var a answer
		if err := d.Decode(&a); err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		all = append(all, a)
	}
	return all
}

// labelOf is the label of a prediction, or of the first of a list.
func (a *answer) label() string {
	v := a.Inference
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	row, _ := v.(map[string]any)
	label, _ := row["label"].(string)
	return label
}

func TestPredictTable(t *testing.T) {
	infertest.Opener(t)
	path := file(t, "machines.csv", machines)
	out, errs, code := leat(t, "", "predict", "--model", "machine-failure", path)
	rows := answersIn(t, out)
	if code != exitFailed || len(rows) != 3 || !strings.Contains(errs, "1 of 3 failed") {
		t.Fatalf("exit code %d, printed:\n%s%s", code, out, errs)
	}
	if rows[0].label() != "ok" || rows[1].label() != "failure" {
		t.Errorf("wanted ok and failure, found:\n%s", out)
	}
	if !strings.HasPrefix(out, `{"input":{"id":1,"Type":"M","Air temperature [K]":298.1,`) {
		t.Errorf("the input's columns are not in their order:\n%s", out)
	}
	if r := rows[2]; r.File != path || r.Row != 3 || r.Inference != nil || !strings.Contains(r.Error, "wanted one of [L M H], found 'X'") {
		t.Errorf("wanted the third row's error, found:\n%s", out)
	}
	out, _, _ = leat(t, "", "predict", "--model", "machine-failure", "--format", "table", path)
	lines := strings.Split(out, "\n")
	if len(lines) != 5 || strings.Join(strings.Fields(lines[0]), " ") != "INPUT LABEL SCORE" || !strings.Contains(lines[3], "error: ValueError") {
		t.Errorf("not a table:\n%s", out)
	}
	out, _, _ = leat(t, "", "predict", "--model", "machine-failure", "--format", "json", path)
	var list []answer
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 3 {
		t.Errorf("not a list of 3: %v\n%s", err, out)
	}
}

// TestPredictForms gives the same row in every form that there is.
func TestPredictForms(t *testing.T) {
	infertest.Opener(t)
	row := `{"Type": "L", "Air temperature [K]": 298.9, "Process temperature [K]": 309.1, "Rotational speed [rpm]": 2861, "Torque [Nm]": 4.6, "Tool wear [min]": 143}`
	csv := strings.Join(strings.Split(machines, "\n")[:2], "\n") + "\n"
	csv = strings.Replace(csv, "1,M,298.1,308.6,1551,42.8,0", "1,L,298.9,309.1,2861,4.6,143", 1)
	folder := t.TempDir()
	for name, text := range map[string]string{"a.ndjson": row, "b.csv": csv, "notes.txt": "not rows", ".hidden.csv": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, stdin string
		args        []string
		rows        int
	}{
		{"literal", "", []string{row}, 1},
		{"csv", "", []string{file(t, "m.csv", csv)}, 1},
		{"tsv", "", []string{file(t, "m.tsv", strings.ReplaceAll(csv, ",", "\t"))}, 1},
		{"lines", "", []string{file(t, "m.ndjson", row+"\n"+row+"\n")}, 2},
		{"a list over several lines", "", []string{file(t, "m.json", "[\n"+row+",\n"+row+"]")}, 2},
		{"an object over several lines", "", []string{file(t, "m.json", strings.ReplaceAll(row, ", ", ",\n"))}, 1},
		{"standard input", row + "\n\n" + row, []string{"-"}, 2},
		{"a list on standard input", "[" + row + "]", []string{"-"}, 1},
		{"no argument", row, nil, 1},
		{"folder", "", []string{folder}, 2},
		{"several", row, []string{row, "-", file(t, "m.csv", csv)}, 3},
		{"another column", "", []string{"--input", "Type=Grade", file(t, "m.csv", strings.Replace(csv, "Type", "Grade", 1))}, 1},
		{"rows in a file of another name", "", []string{"--as", "rows", file(t, "m.log", row)}, 1},
	}
	want := ""
	for _, test := range tests {
		out, errs, code := leat(t, test.stdin, append([]string{"predict", "--model", "machine-failure"}, test.args...)...)
		rows := answersIn(t, out)
		if code != 0 || len(rows) != test.rows {
			t.Errorf("%s: exit code %d, wanted %d rows, printed:\n%s%s", test.name, code, test.rows, out, errs)
			continue
		}
		for i := range rows {
			got := fmt.Sprint(rows[i].Inference)
			if want == "" && rows[i].label() == "failure" {
				want = got
			}
			if got != want {
				t.Errorf("%s: wanted %s, found %s", test.name, want, got)
			}
		}
	}
}

func TestPredictTexts(t *testing.T) {
	infertest.Opener(t)
	good, bad := "what a great film", "awful, a waste of time"
	jsonl := file(t, "r.jsonl", `{"id": 1, "review": "what a great film"}`+"\n"+`{"id": 2, "review": "awful, a waste of time"}`+"\n")
	tests := []struct {
		name, stdin string
		args        []string
	}{
		{"texts", "", []string{good, bad}},
		{"lines", good + "\r\n\n" + bad, []string{"-"}},
		{"a file of lines", "", []string{file(t, "texts.txt", good+"\n"+bad+"\n")}},
		{"the one column that fits", "", []string{jsonl}},
		{"a column that is named", "", []string{"--input", "text=review", jsonl}},
		{"rows on standard input", `{"text": "what a great film"}` + "\n" + `{"text": "awful, a waste of time"}`, nil},
		{"a setting", "", []string{"--set", "top_k=2", "--set", "threads=1", good, bad}},
		{"text by force", good + "\n" + bad, []string{"--as", "text", "-"}},
	}
	for _, test := range tests {
		out, errs, code := leat(t, test.stdin, append([]string{"predict", "--model", "review-sentiment"}, test.args...)...)
		rows := answersIn(t, out)
		if code != 0 || len(rows) != 2 || rows[0].label() != "POSITIVE" || rows[1].label() != "NEGATIVE" {
			t.Errorf("%s: exit code %d, printed:\n%s%s", test.name, code, out, errs)
		}
	}
	if out, _, code := leat(t, "", "predict", "--model", "review-sentiment", "--as", "text", jsonl); code != 0 || answersIn(t, out)[0].Input != jsonl {
		t.Errorf("--as text did not take a file's name as a text: %s", out)
	}
}

// TestPredictBadRows: a row that cannot be read fails alone.
func TestPredictBadRows(t *testing.T) {
	infertest.Opener(t)
	tests := []struct {
		stdin    string
		args     []string
		rows, ok int
		says     string
	}{
		{"", []string{file(t, "a.json", `[{"text": "good"}, {"other": 3}, 5, {"text": null}]`)}, 4, 1, `the row has no \"text\"`},
		{"", []string{file(t, "a.json", `[{"text": "good"}, {"text": `)}, 2, 1, "wanted JSON objects"},
		{`{"text": "good"}` + "\n" + `{"text"` + "\n" + `{"text": "bad"}`, nil, 3, 2, "wanted JSON"},
		{"good\n\xff\xfe\nbad", nil, 3, 2, "not UTF-8"},
		{"", []string{"--as", "rows", `{"txt": 1}`}, 1, 0, "the row has no"},
		{`{"text": 12}`, nil, 1, 0, "wanted a string, found int"},
		{`{"text": ["a"], "n": 99999999999999999999}`, nil, 1, 0, "does not fit an integer of 64 bits"},
		{strings.Repeat(`{"text": `, 300), []string{"--as", "rows", "-"}, 1, 0, "JSON"},
		{"", []string{file(t, "a.ndjson", `{"text": "good"}`+"\n"+`{"text": "bad`+"\n")}, 2, 1, `"line":2`},
	}
	for i, test := range tests {
		out, errs, code := leat(t, test.stdin, append([]string{"predict", "--model", "review-sentiment"}, test.args...)...)
		rows, ok := answersIn(t, out), 0
		for _, r := range rows {
			if r.Error == "" {
				ok++
			}
		}
		if code != exitFailed || len(rows) != test.rows || ok != test.ok || !strings.Contains(out, test.says) {
			t.Errorf("%d: exit code %d, wanted %d rows, %d without an error, and %q; printed:\n%s%s", i, code, test.rows, test.ok, test.says, out, errs)
		}
	}
}

// TestPredictRefuses needs no runtime: all of it is told before one is looked for.
func TestPredictRefuses(t *testing.T) {
	csv, empty := file(t, "m.csv", machines), t.TempDir()
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"a"}, exitUsage, "predict wants --model"},
		{[]string{"--model", "review-sentiment", "--format", "xml", "a"}, exitUsage, "--format wants table, json or ndjson"},
		{[]string{"--model", "review-sentiment", "--as", "pdf", "a"}, exitUsage, "--as wants"},
		{[]string{"--model", "review-sentment", "a"}, exitBadFile, `Did you mean "review-sentiment"?`},
		{[]string{"--model", csv, "a"}, exitBadFile, "wanted a folder or an .onnx file"},
		{[]string{"--model", empty, "a"}, exitBadFile, "there is no .onnx file in it"},
		{[]string{"--model", identityModel(t, []model.DType{model.Float32}, false), "a"}, exitBadFile, "does not tell which it is for"},
		{[]string{"--model", "review-sentiment", "--task", "text-clasification", "a"}, exitBadFile, `Did you mean "text-classification"?`},
		{[]string{"--model", "machine-failure", "--task", "text-classification", "a"}, exitBadFile, "the task takes an encoder of tokens"},
		{[]string{"--model", "review-sentiment", "--set", "topk=1", "a"}, exitBadFile, `Did you mean "top_k"?`},
		{[]string{"--model", "review-sentiment", "--set", "top_k=many", "a"}, exitBadFile, "top_k: wanted a whole number"},
		{[]string{"--model", "review-sentiment", "--set", "function_to_apply=relu", "a"}, exitBadFile, "relu"},
		{[]string{"--model", "review-sentiment", "--set", "threads=0", "a"}, exitBadFile, "threads: wanted a number from 1"},
		{[]string{"--model", "review-sentiment", "--set", "threads", "a"}, exitBadFile, "wanted key=value"},
		{[]string{"--model", "review-sentiment", "--set", "session_config={", "a"}, exitBadFile, "wanted JSON"},
		{[]string{"--model", "review-sentiment", "--input", "text", "a"}, exitBadFile, "--input wants name=column"},
		{[]string{"--model", "review-sentiment", "--input", "txt=a", csv}, exitBadFile, `Did you mean "text"?`},
		{[]string{"--model", "review-sentiment", "--input", "text=review", csv}, exitBadFile, `no column "review" feeds the input "text"`},
		{[]string{"--model", "review-sentiment", "--input", "text=id", csv}, exitBadFile, `wants string, and the column "id" is int`},
		{[]string{"--model", "review-sentiment", "missing.csv"}, exitBadFile, "say --as text"},
		{[]string{"--model", "review-sentiment", empty}, exitBadFile, "is a folder"},
		{[]string{"--model", "machine-failure", "--as", "text", "a"}, exitUsage, "--as text is for tasks that take one text"},
		{[]string{"--model", "machine-failure", "--as", "file", csv}, exitUsage, "--as file is for tasks that take a file"},
		{[]string{"--model", "machine-failure", "I love it"}, exitBadFile, "takes rows"},
		{[]string{"--model", "machine-failure", file(t, "m.txt", "x")}, exitBadFile, "wanted a file of rows"},
		{[]string{"--model", "machine-failure", file(t, "m.csv", "Type,Grade\nL,1\n")}, exitBadFile, `no column "Air temperature [K]"`},
		{[]string{"--model", "machine-failure", file(t, "m.parquet", "PAR1")}, exitBadFile, "m.parquet"},
		{[]string{"--model", "machine-failure", file(t, "m.csv", "")}, exitBadFile, "m.csv"},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", append([]string{"predict"}, test.args...)...)
		if code != test.code || !strings.Contains(errs, test.says) || out != "" {
			t.Errorf("%q: exit code %d, wanted %d and %q; printed:\n%s%s", test.args, code, test.code, test.says, out, errs)
		}
	}
}

// TestPredictModelFails: what only the runtime finds is a problem of the model, too.
func TestPredictModelFails(t *testing.T) {
	infertest.Opener(t)
	text, err := os.ReadFile(identityModel(t, []model.DType{model.Float32}, false))
	if err != nil {
		t.Fatal(err)
	}
	broken := file(t, "broken.onnx", strings.Replace(string(text), "Identity", "Identitx", 1))
	for _, input := range []string{`{"inputs": []}`, file(t, "m.csv", "xFP32\n1\n")} {
		out, errs, code := leat(t, "", "predict", "-m", broken, "-t", "tensor", input)
		if code != exitBadFile || out != "" || !strings.Contains(errs, "Identitx") {
			t.Errorf("%s: exit code %d, printed:\n%s%s", input, code, out, errs)
		}
	}
}

func TestPredictWithoutRuntime(t *testing.T) {
	emptyCache(t)
	out, errs, code := leat(t, "", "predict", "--offline", "--model", "machine-failure", file(t, "m.csv", machines))
	if code != exitFailed || out != "" || !strings.Contains(errs, "LT0802") {
		t.Errorf("exit code %d, printed:\n%s%s", code, out, errs)
	}
}

// colourModel is a model that tells which colour an image has most of: the averages of its channels are the logits.
func colourModel(t *testing.T) string {
	t.Helper()
	value := func(name string, dims ...string) []byte {
		var shape []byte
		for _, d := range dims {
			shape = append(shape, part(1, part(2, d))...)
		}
		return slices.Concat(part(1, name), part(2, part(1, numberPart(1, 1), part(2, shape))))
	}
	graph := slices.Concat(
		part(1, part(1, "pixel_values"), part(2, "mean"), part(4, "GlobalAveragePool")),
		part(1, part(1, "mean"), part(2, "logits"), part(4, "Flatten")),
		part(2, "colour"), part(11, value("pixel_values", "batch", "channels", "height", "width")), part(12, value("logits", "batch", "classes")))
	dir := t.TempDir()
	for name, text := range map[string]string{
		"model.onnx":               string(slices.Concat(numberPart(1, 8), part(8, numberPart(2, 17)), part(7, graph))),
		"config.json":              `{"architectures": ["ColourForImageClassification"], "id2label": {"0": "red", "1": "green", "2": "blue"}}`,
		"preprocessor_config.json": `{"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPredictImages runs every form that a file may come in. A file that is no image fails alone.
func TestPredictImages(t *testing.T) {
	infertest.Opener(t)
	colours := colourModel(t)
	red := image.NewRGBA(image.Rect(0, 0, 20, 10))
	draw.Draw(red, red.Rect, image.NewUniform(color.RGBA{200, 10, 10, 255}), image.Point{}, draw.Src)
	var picture bytes.Buffer
	if err := png.Encode(&picture, red); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string]string{"a.png": picture.String(), "b.png": "no image", "c.png": "", "d/e.png": picture.String(), ".DS_Store": "x"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := leat(t, "", "predict", "--model", colours, folder)
	rows := answersIn(t, out)
	if code != exitFailed || len(rows) != 4 {
		t.Fatalf("exit code %d, printed:\n%s%s", code, out, errs)
	}
	for i, name := range []string{"a.png", "b.png", "c.png", filepath.Join("d", "e.png")} {
		if r := rows[i]; r.File != filepath.Join(folder, name) || (r.Error == "") != (i == 0 || i == 3) {
			t.Errorf("%s: found %+v", name, r)
		}
	}
	if rows[2].Error != "it is empty" {
		t.Errorf("an empty file: found %q", rows[2].Error)
	}
	if rows[0].label() != "red" {
		t.Errorf("wanted red, found:\n%s", out)
	}
	one, _, code := leat(t, "", "predict", "--model", colours, filepath.Join(folder, "a.png"))
	piped, _, pipedCode := leat(t, picture.String(), "predict", "--model", colours, "-")
	if code != 0 || pipedCode != 0 || fmt.Sprint(answersIn(t, one)[0].Inference) != fmt.Sprint(answersIn(t, piped)[0].Inference) {
		t.Errorf("exit codes %d and %d, printed:\n%s%s", code, pipedCode, one, piped)
	}
	if _, errs, code := leat(t, "", "predict", "--model", colours, "nothing.jpg"); code != exitBadFile || !strings.Contains(errs, "takes files") {
		t.Errorf("exit code %d, printed: %s", code, errs)
	}
}

// TestPredictOrder predicts more rows than fit what is held at once: they come out in the order of the file.
func TestPredictOrder(t *testing.T) {
	infertest.Opener(t)
	const n = 5000
	var b strings.Builder
	b.WriteString("id,text\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,good\n", i)
	}
	out, errs, code := leat(t, "", "predict", "--model", "review-sentiment", file(t, "many.csv", b.String()))
	rows := answersIn(t, out)
	if code != 0 || len(rows) != n {
		t.Fatalf("exit code %d, %d rows: %s", code, len(rows), errs)
	}
	for i, r := range rows {
		if id := r.Input.(map[string]any)["id"]; id != float64(i) {
			t.Fatalf("row %d has the id %v", i, id)
		}
	}
}

// endless is an input that never ends and never gives anything.
type endless struct{ begun chan struct{} }

func (e *endless) Read([]byte) (int, error) {
	close(e.begun)
	select {}
}

func TestPredictInterrupted(t *testing.T) {
	infertest.Opener(t)
	ctx, cancel := context.WithCancel(context.Background())
	in := &endless{begun: make(chan struct{})}
	go func() {
		<-in.begun
		cancel()
	}()
	var out, errs bytes.Buffer
	code := commandLine(ctx, []string{"predict", "--model", "review-sentiment", "-"}, streams{in: in, out: &out, err: &errs})
	if code != exitInterrupted || out.Len() > 0 || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d, printed:\n%s%s", code, &out, &errs)
	}
}

// TestPredictAnswersAtOnce: a line is answered before the next one comes, in a table, too.
func TestPredictAnswersAtOnce(t *testing.T) {
	infertest.Opener(t)
	for _, format := range []string{"ndjson", "table"} {
		t.Run(format, func(t *testing.T) { answersAtOnce(t, format) })
	}
}

func answersAtOnce(t *testing.T, format string) {
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	answers, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	done := make(chan int)
	go func() {
		code := commandLine(context.Background(), []string{"predict", "--model", "review-sentiment", "--format", format}, streams{in: in, out: out, err: &bytes.Buffer{}})
		out.Close()
		done <- code
	}()
	scanner := bufio.NewScanner(answers)
	for _, text := range []string{"good", "bad"} {
		if _, err := feed.WriteString(text + "\n"); err != nil {
			t.Fatal(err)
		}
		for scanner.Scan() && strings.HasPrefix(scanner.Text(), "INPUT") { // the titles
		}
		if !strings.Contains(scanner.Text(), text) || !strings.Contains(scanner.Text(), "TIVE") {
			t.Fatalf("wanted the answer to %q, found %q", text, scanner.Text())
		}
	}
	feed.Close()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestTableCells(t *testing.T) {
	row := func(label string, score float64) column.Value {
		return &column.RowValue{Names: []string{"label", "score"}, Elems: []column.Value{label, score}}
	}
	many := &column.ListValue{}
	for i := range 10 {
		many.Elems = append(many.Elems, int64(i))
	}
	tests := []struct {
		v    column.Value
		want string
	}{
		{0.123456789, "0.123457"},
		{"a\x1b[31m\nb", "a [31m b"},
		{&column.ListValue{Elems: []column.Value{row("ok", 0.75), row("no", 0.25)}}, "ok 0.75, no 0.25"},
		{many, "0, 1, 2, 3, 4, 5, 6, 7, … (10)"},
		{nil, "None"},
	}
	for _, test := range tests {
		if got := cellText(test.v); got != test.want {
			t.Errorf("wanted %q, found %q", test.want, got)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, text := range []string{`{"a": [1, 2.5, null, true, "x"]}`, `[[[`, `{"a": 1e999}`, `{"a":1}{`, "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseJSON(text)
		if err == nil {
			again, err := parseJSON(appendJSON(nil, v))
			if err != nil || string(appendJSON(nil, again)) != string(appendJSON(nil, v)) {
				t.Errorf("%q: read back as %v, %v", text, again, err)
			}
		}
	})
}
