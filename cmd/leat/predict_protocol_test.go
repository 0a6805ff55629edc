package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/model"
)

// part is a field of a message: parts of it, or a string.
func part[T []byte | string](number protowire.Number, parts ...T) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), body)
}

func numberPart(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

// identityModel writes an ONNX file of a graph that gives each of its inputs back: xBOOL as yBOOL, and so on. They have two dynamic
// dimensions, but for one, which is a sequence.
func identityModel(t *testing.T, types []model.DType, sequence bool) string {
	t.Helper()
	var graph []byte
	dims := part(2, part(1, part(2, "a")), part(1, part(2, "b")))
	for _, d := range types {
		typ := part(2, part(1, numberPart(1, uint64(d)), dims))
		in, out := "x"+d.Datatype(), "y"+d.Datatype()
		graph = append(graph, part(1, part(1, in), part(2, out), part(4, "Identity"))...)
		graph = append(graph, part(11, part(1, in), typ)...)
		graph = append(graph, part(12, part(1, out), typ)...)
	}
	if sequence {
		in := "x" + types[0].Datatype()
		graph = append(graph, part(1, part(1, in), part(2, "list"), part(4, "SequenceConstruct"))...)
		graph = append(graph, part(12, part(1, "list"), part(2, part(4, part(1, part(1, numberPart(1, uint64(types[0])))))))...)
	}
	graph = append(graph, part(2, "identity")...)
	file := append(numberPart(1, 8), part(8, numberPart(2, 17))...)
	path := filepath.Join(t.TempDir(), "identity.onnx")
	if err := os.WriteFile(path, append(file, part(7, graph)...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// protocolTypes has for each datatype a list of elements as JSON, two by two, that come back as they are.
var protocolTypes = []struct {
	d    model.DType
	data string
}{
	{model.Bool, `true,false,false,true`},
	{model.Uint8, `0,1,128,255`},
	{model.Uint16, `0,1,32768,65535`},
	{model.Uint32, `0,1,2147483648,4294967295`},
	{model.Uint64, `0,9007199254740993,9223372036854775808,18446744073709551615`},
	{model.Int8, `0,-1,127,-128`},
	{model.Int16, `0,-1,32767,-32768`},
	{model.Int32, `0,-1,2147483647,-2147483648`},
	{model.Int64, `0,9007199254740993,9223372036854775807,-9223372036854775808`},
	{model.Float16, `0.0,-1.5,65504.0,"NaN"`},
	{model.BFloat16, `0.0,-1.5,"Infinity",256.0`},
	{model.Float32, `0.1,-1.5,3.4028235e+38,"-Infinity"`},
	{model.Float64, `0.1,5e-324,1.7976931348623157e+308,"NaN"`},
	{model.String, `"","é \"quoted\"","\n","zero"`},
}

func TestProtocolRoundTrip(t *testing.T) {
	infertest.Opener(t)
	var types []model.DType
	for _, p := range protocolTypes {
		types = append(types, p.d)
	}
	path := identityModel(t, types, false)
	for _, nested := range []bool{false, true} {
		var inputs, outputs []string
		for _, p := range protocolTypes {
			data := p.data
			outputs = append(outputs, fmt.Sprintf(`{"name":"y%s","shape":[2,2],"datatype":"%[1]s","data":[%s]}`, p.d.Datatype(), data))
			if e := strings.Split(data, ","); nested {
				data = fmt.Sprintf("[%s,%s],[%s,%s]", e[0], e[1], e[2], e[3])
			}
			inputs = append(inputs, fmt.Sprintf(`{"name":"x%s","shape":[2,2],"datatype":"%[1]s","data":[%s]}`, p.d.Datatype(), data))
		}
		request := `{"id":"7","parameters":{"a":1},"inputs":[` + strings.Join(inputs, ",") + `]}`
		for name, run := range map[string]func() (string, string, int){
			"argument":       func() (string, string, int) { return leat(t, "", "predict", "-m", path, "-t", "tensor", request) },
			"standard input": func() (string, string, int) { return leat(t, request, "predict", "-m", path, "-t", "tensor", "-") },
			"file": func() (string, string, int) {
				return leat(t, "", "predict", "-m", path, "-t", "tensor", file(t, "request.json", request))
			},
		} {
			out, errs, code := run()
			want := `,"id":"7","outputs":[` + strings.Join(outputs, ",") + "]}\n"
			if code != 0 || !strings.HasPrefix(out, `{"model_name":"identity","model_version":"`) || !strings.HasSuffix(out, want) {
				t.Errorf("%s, nested %v: exit code %d, wanted …%s, printed:\n%s%s", name, nested, code, want, out, errs)
			}
		}
	}
}

func TestProtocolRequests(t *testing.T) {
	infertest.Opener(t)
	path := identityModel(t, []model.DType{model.Float32, model.Int64}, true)
	x := `{"name":"xFP32","shape":[1,2],"datatype":"FP32","data":[1,2]}`
	y := `{"name":"xINT64","shape":[0,3],"datatype":"INT64","data":[]}`
	tests := []struct {
		request string
		says    string // in the answer
		code    int
	}{
		{`{"inputs":[` + x + `,` + y + `],"outputs":[{"name":"yINT64"}]}`, `"outputs":[{"name":"yINT64","shape":[0,3],"datatype":"INT64","data":[]}]`, 0},
		{`{"inputs":[` + y + `,` + x + `],"outputs":[{"name":"yFP32"},{"name":"yINT64"}]}`, `[{"name":"yFP32","shape":[1,2],"datatype":"FP32","data":[1.0,2.0]},{"name":"yINT64"`, 0},
		{`{"id":"a","inputs":[` + x + `,` + y + `]}`, `{"id":"a","error":"the output \"list\" is seq(float), which the protocol has no form for`, 1},
		{`{"inputs":[` + x + `]}`, `lacks the input \"xINT64\"`, 1},
		{`{"inputs":[` + x + `,` + x + `,` + y + `]}`, `is there twice`, 1},
		{`{"inputs":[` + x + `,` + y + `,` + strings.Replace(x, "xFP32", "z", 1) + `]}`, `no input \"z\"; it takes \"xFP32\", \"xINT64\"`, 1},
		{`{"inputs":[` + x + `,` + y + `],"outputs":[{"name":"z"}]}`, `no output \"z\"`, 1},
		{`{"inputs":[` + strings.Replace(x, "FP32\",\"data", "FP64\",\"data", 1) + `,` + y + `]}`, `takes the datatype FP32, found FP64`, 1},
		{`{"inputs":[` + strings.Replace(x, "[1,2],\"d", "[2],\"d", 1) + `,` + y + `]}`, `the model takes float[a,b], found the shape [2]`, 1},
		{`{"inputs":`, `unexpected EOF`, 1},
		{`{"inputs":7}`, `cannot unmarshal number`, 1},
		{`{"id":7}`, `cannot unmarshal number`, 1},
		{`{}`, `lacks the input`, 1},
	}
	for _, test := range tests {
		out, errs, code := leat(t, test.request, "predict", "-m", path, "-t", "tensor")
		if code != test.code || !strings.Contains(out, test.says) || !json.Valid([]byte(out)) {
			t.Errorf("%s: exit code %d, wanted %d and %s; printed:\n%s%s", test.request, code, test.code, test.says, out, errs)
		}
	}
	good := tests[0].request
	out, _, code := leat(t, good+"\n"+`{"inputs":[]}`+good, "predict", "-m", path, "-t", "tensor")
	if lines := strings.Split(out, "\n"); code != 1 || len(lines) != 4 || lines[0] != lines[2] || !strings.Contains(lines[1], "error") {
		t.Errorf("three requests, exit code %d, answers:\n%s", code, out)
	}
	if out, _, _ := leat(t, "", "predict", "-m", path, "-t", "tensor", "--format", "json", good); !strings.Contains(out, "\n  \"outputs\": [") {
		t.Errorf("not indented:\n%s", out)
	}
	if _, errs, code := leat(t, "", "predict", "-m", path, "-t", "tensor", "--format", "table", good); code != exitUsage {
		t.Errorf("a table: exit code %d, %s", code, errs)
	}
	if _, errs, code := leat(t, "", "predict", "-m", path, "-t", "tensor", "nothing"); code != exitBadFile || !strings.Contains(errs, "A request is") {
		t.Errorf("no such file: exit code %d, %s", code, errs)
	}
}

// TestTensorRows: with rows instead of requests, columns feed the inputs of the graph.
func TestTensorRows(t *testing.T) {
	infertest.Opener(t)
	path := identityModel(t, []model.DType{model.Float32}, false)
	csv := file(t, "m.csv", "a,b\n1,2\n3,4\n")
	out, errs, code := leat(t, "", "predict", "-m", path, "-t", "tensor", "--input", "xFP32=a", "--input", "xFP32=b", csv)
	rows := answersIn(t, out)
	if code != 0 || len(rows) != 2 || fmt.Sprint(rows[1].Inference) != "map[yFP32:[3 4]]" {
		t.Errorf("exit code %d, printed:\n%s%s", code, out, errs)
	}
}

// TestPredictStates adds up the rows of each key: the model remembers the sum so far.
func TestPredictStates(t *testing.T) {
	infertest.Opener(t)
	typ := part(2, part(1, numberPart(1, uint64(model.Float32)), part(2, part(1, part(2, "batch")), part(1, numberPart(1, 1)))))
	graph := slices.Concat(
		part(1, part(1, "x"), part(1, "before"), part(2, "sum"), part(4, "Add")),
		part(1, part(1, "sum"), part(2, "after"), part(4, "Identity")), part(2, "sums"),
		part(11, part(1, "x"), typ), part(11, part(1, "before"), typ), part(12, part(1, "sum"), typ), part(12, part(1, "after"), typ))
	path := file(t, "sums.onnx", string(slices.Concat(numberPart(1, 8), part(8, numberPart(2, 17)), part(7, graph))))
	csv := file(t, "m.csv", "k,x\na,1\nb,10\na,2\nb,20\na,3\n")
	args := []string{"predict", "-m", path, "-t", "tensor", "--set", `state=[{"output": "after", "input": "before"}]`, "--set", "outputs=sum"}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{csv}, "1 11 13 33 36"},
		{[]string{"--set", "key=k", csv}, "1 10 3 30 6"},
		{[]string{"--set", `key=["k"]`, csv, csv}, "1 10 3 30 6 7 40 9 60 12"},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", append(slices.Clone(args), test.args...)...)
		var sums []string
		for _, r := range answersIn(t, out) {
			row, _ := r.Inference.(map[string]any)
			sums = append(sums, strings.Trim(fmt.Sprint(row["sum"]), "[]"))
		}
		if got := strings.Join(sums, " "); code != 0 || got != test.want {
			t.Errorf("%q: exit code %d, wanted %s, found %s, printed:\n%s%s", test.args, code, test.want, got, out, errs)
		}
	}
	if out, _, code := leat(t, "", append(slices.Clone(args), "--set", "key=z", csv)...); code != exitFailed || !strings.Contains(out, `the row has no \"z\"`) {
		t.Errorf("exit code %d, printed:\n%s", code, out)
	}
}

func TestRequestTensor(t *testing.T) {
	tests := []struct {
		shape, datatype, data string
		says                  string // "" where it is right
	}{
		{`[2,2]`, "INT64", `[1,2,3,4]`, ""},
		{`[2,2]`, "INT64", `[[1,2],[3,4]]`, ""},
		{`[4]`, "INT64", `[1,2,3,4]`, ""},
		{`[]`, "INT64", `[1]`, ""},
		{`[]`, "INT64", `1`, ""},
		{`[2,0]`, "INT64", `[[],[]]`, ""},
		{`[0,2]`, "INT64", `[]`, ""},
		{`[2,2]`, "INT64", `[1,2,3]`, "has 4 elements, found 3"},
		{`[2,2]`, "INT64", `[1,2,3,4,5]`, "has 4 elements, found 5"},
		{`[2,2]`, "INT64", `[]`, "data has fewer"},
		{`[2,2]`, "INT64", `[[1,2,3],[4]]`, "found one of 3 at level 2"},
		{`[2,2]`, "INT64", `[[1,2],[3,4],[]]`, "found one of 0 at level 2"},
		{`[2,2]`, "INT64", `[[1,2],3,4]`, "a single value among lists"},
		{`[2,2]`, "INT64", `[1,[2,3],4]`, "a list too deep"},
		{`[2,2]`, "INT64", `[[[1],[2]],[[3],[4]]]`, "a list too deep"},
		{`[1]`, "INT64", `7`, "wanted data as a list, found 7"},
		{`[2]`, "INT64", `null`, "wanted data as a list, found null"},
		{`[1]`, "INT64", `[null]`, "wanted a whole number that fits INT64, found null"},
		{`[1]`, "INT64", `[1.0]`, "wanted a whole number that fits INT64, found 1.0"},
		{`[1]`, "INT64", `["1"]`, `found "1"`},
		{`[1]`, "INT64", `[{}]`, "found {"},
		{`[1]`, "INT64", `[9223372036854775808]`, "wanted a whole number that fits INT64"},
		{`[1]`, "UINT64", `[-1]`, "wanted a whole number that fits UINT64"},
		{`[1]`, "UINT8", `[256]`, "wanted a whole number that fits UINT8, found 256"},
		{`[1]`, "INT8", `[-129]`, "wanted a whole number that fits INT8, found -129"},
		{`[1]`, "FP16", `[65520]`, "wanted a number that fits FP16"},
		{`[1]`, "FP32", `[3.5e38]`, "wanted a number that fits FP32"},
		{`[1]`, "FP64", `[1e309]`, "wanted a number that fits FP64"},
		{`[1]`, "FP32", `["nan"]`, `"NaN", "Infinity", "-Infinity", found "nan"`},
		{`[1]`, "BOOL", `[1]`, "wanted true or false, found 1"},
		{`[1]`, "BYTES", `[1]`, "wanted a string, found 1"},
		{`[1]`, "FP8", `[1]`, `wanted the datatype BOOL`},
		{`[1]`, "", `[1]`, `found ""`},
		{`null`, "FP32", `[1]`, "wanted a shape"},
		{`[-1]`, "FP32", `[1]`, "cannot have the shape [-1]"},
		{`[4611686018427387904,4]`, "FP32", `[1]`, "cannot have the shape"},
		{`[1000000000000]`, "FP32", `[1]`, "data has fewer"},
		{`[1` + strings.Repeat(",1", 64) + `]`, "FP32", `[1]`, "cannot have the shape"},
	}
	for _, test := range tests {
		request := fmt.Sprintf(`{"inputs":[{"name":"x","shape":%s,"datatype":%q,"data":%s}]}`, test.shape, test.datatype, test.data)
		_, tensors, err := parseRequest([]byte(request))
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", request, err)
		case test.says == "" && tensors["x"].Check() != nil:
			t.Errorf("%s: %v", request, tensors["x"].Check())
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: wanted %q, found %v", request, test.says, err)
		}
	}
	if _, _, err := parseRequest([]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}`)); err == nil || !strings.Contains(err.Error(), "wanted data") {
		t.Errorf("no data: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, p := range protocolTypes {
		f.Add([]byte(fmt.Sprintf(`{"inputs":[{"name":"x","shape":[2,2],"datatype":%q,"data":[%s]}],"outputs":[{"name":"y"}]}`, p.d.Datatype(), p.data)))
	}
	f.Add([]byte(`{"id":"a","inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[[1],[2]]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, tensors, err := parseRequest(text)
		if err != nil {
			return
		}
		for name, x := range tensors {
			if err := x.Check(); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			answer, err := appendAnswer(nil, name, x)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			_, again, err := parseRequest([]byte(`{"inputs":[` + string(answer) + `]}`))
			if name != "" && err == nil && !same(x, again[name]) {
				t.Fatalf("%q: reads back as %s", text, answer)
			}
			if err != nil {
				t.Fatalf("%q: the answer %s: %v", text, answer, err)
			}
		}
	})
}

// same compares two tensors by what they print as, so that a NaN is one.
func same(x, y *infer.Tensor) bool {
	if y == nil {
		return false
	}
	a, _ := appendElements(nil, x)
	b, _ := appendElements(nil, y)
	return x.DType == y.DType && fmt.Sprint(x.Shape) == fmt.Sprint(y.Shape) && string(a) == string(b)
}
