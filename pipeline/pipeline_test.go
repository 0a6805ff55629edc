package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/plan"
)

func TestOptions(t *testing.T) {
	text := "options: {streaming: true, a: {b: 1, c: 2}, yaml_experimental_features: [ML]}\npipeline:\n  transforms:\n    - {type: Create, config: {elements: [1]}}\n"
	p, problems := pipeline.Compile(context.Background(), "dir/some.file.yaml", []byte(text), pipeline.Options{
		Set: map[string]any{"a.b": 3, "x.y.z": "new", "streaming": false}})
	if p == nil {
		t.Fatal(problems.Problems)
	}
	if got, want := fmt.Sprint(p.Options), "map[a:map[b:3 c:2] streaming:false x:map[y:map[z:new]] yaml_experimental_features:[ML]]"; got != want {
		t.Errorf("options are %s, want %s", got, want)
	}
	if p.Name != "some.file" {
		t.Errorf("the name is %q", p.Name)
	}
}

// TestWiring compiles small pipelines and prints who reads what.
func TestWiring(t *testing.T) {
	const rows = "    - {type: Create, name: A, config: {elements: [{v: 1, k: x}]}}\n    - {type: Create, name: B, config: {elements: [{v: 1, k: x}]}}\n"
	log := func(name, input string) string {
		return fmt.Sprintf("    - {type: LogForTesting, name: %s, input: %s}\n", name, input)
	}
	tests := []struct{ name, text, want string }{
		{"by name and by type", rows + log("L", "A") + "    - {type: Explode, input: B, config: {fields: k}}\n" + log("M", "Explode"), "A>L B>Explode Explode>M"},
		{"forward", log("L", "A") + rows, "A>L"},
		{"named outputs of a single output", rows + log("L", "A.output") + log("M", "B.out"), "A>L B>M"},
		{"good", rows + "    - {type: Filter, name: F, input: A, config: {language: python, keep: v > 0, error_handling: {output: e}}}\n" + log("L", "F.good") +
			log("M", "F.e") + log("N", "F"), "A>F F>L F.errors>M F>N"},
		{"main_tag", rows + "    - {type: Filter, name: F, input: A, config: {language: python, keep: v > 0, error_handling: {output: e, main_tag: fine}}}\n" +
			log("L", "F.fine") + log("M", "F.e"), "A>F F>L F.errors>M"},
		{"list", rows + log("L", "[A, B]"), "A>L/Flatten[input] B>L/Flatten[input] L/Flatten[input]>L/Flatten[input] L/Flatten[input]>L/Flatten[input] L/Flatten[input]>L"},
		{"composite with aliases", rows + "    - type: composite\n      name: C\n      input: {x: A, y: B}\n      transforms:\n        - {type: LogForTesting, name: L, input: x}\n" +
			"        - {type: LogForTesting, name: M, input: y}\n      output: {l: L, m: M}\n" + log("N", "C.m"), "A>C/L B>C/M B>N"},
		{"composite that chains implicitly", rows + "    - type: composite\n      name: C\n      input: A\n      transforms:\n        - {type: Explode, config: {fields: k}}\n" +
			"        - {type: LogForTesting, name: M}\n" + log("N", "C"), "A>C/Explode C/Explode>C/M C/Explode>N"},
		{"composite without inputs sees those around it", rows + "    - type: composite\n      name: C\n      input: {x: A}\n      transforms:\n        - type: composite\n          name: D\n" +
			"          transforms: [{type: LogForTesting, name: L, input: x}]\n        - {type: LogForTesting, name: M, input: x}\n", "A>C/D/L A>C/M"},
		{"output that is an input", rows + "    - type: composite\n      name: C\n      input: A\n      transforms: [{type: LogForTesting, name: M, input: input}]\n      output: input\n" +
			log("N", "C"), "A>C/M A>N"},
		{"chain within a chain", "    - type: chain\n      name: C\n      transforms:\n        - {type: Create, config: {elements: [{w: [1]}]}}\n        - type: chain\n          name: D\n" +
			"          transforms:\n            - {type: Explode, config: {fields: w}}\n            - type: composite\n              name: E\n" +
			"              transforms: [{type: LogForTesting}]\n        - {type: LogForTesting, name: M}\n",
			"C/Create>C/D/Explode C/D/Explode>C/D/E/LogForTesting C/D/Explode>C/M"},
		{"output of a chain", rows + "    - type: chain\n      name: C\n      input: A\n      transforms:\n        - {type: Partition, name: P, config: {by: k, outputs: [x, y]}}\n" +
			"      output: {ex: x, why: P.y}\n" + log("L", "C.ex") + log("M", "C.why"), "A>C/P C/P.x>L C/P.y>M"},
		{"repeated names", rows + "    - {type: LogForTesting, input: A}\n    - {type: LogForTesting, input: B}\n", "A>LogForTesting B>LogForTesting@6"},
	}
	for _, test := range tests {
		text := "pipeline:\n  transforms:\n" + test.text
		p, problems := pipeline.Compile(context.Background(), "f.yaml", []byte(text), pipeline.Options{})
		if p == nil {
			t.Errorf("%s: %v", test.name, problems.Problems)
			continue
		}
		if got := edges(p); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// edges prints a plan as "from>to", with the port where it is not the main one.
func edges(p *plan.Plan) string {
	var out []string
	for _, n := range p.Nodes {
		for _, in := range n.In {
			from := p.Nodes[in.Node].Name
			if port := p.Port(in).Name; port != plan.MainPort {
				from += "." + port
			}
			out = append(out, from+">"+n.Name)
		}
	}
	return strings.Join(out, " ")
}

// TestJSON: a plan's JSON says what the plan says.
func TestJSON(t *testing.T) {
	p := compile(t, "testdata/plan/chain.yaml")
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name  string
		Nodes []struct {
			Kind string
			Op   map[string]any
			In   []struct {
				Node int
				Port string
			}
			Out []struct {
				Name   string
				Schema []struct {
					Name string
					Type any
				}
			}
			Threshold float64
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "chain" || len(got.Nodes) != len(p.Nodes) {
		t.Fatalf("%q with %d nodes", got.Name, len(got.Nodes))
	}
	filter, m := got.Nodes[1], got.Nodes[2]
	if keep, _ := filter.Op["keep"].(map[string]any); filter.Kind != "filter" || keep["text"] != "age > 2" || keep["type"] != "bool" {
		t.Errorf("the filter is %v", filter)
	}
	if m.Threshold != 0.1 || m.In[0].Node != 1 || m.In[0].Port != "output" || m.Out[0].Schema[0].Name != "owner" {
		t.Errorf("the map is %v", m)
	}
}

// TestCancelled: compiling ends when its context does.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p, problems := pipeline.Compile(ctx, "f.yaml", []byte("pipeline:\n  transforms:\n    - {type: Create, config: {elements: [1]}}\n"), pipeline.Options{})
	if p != nil || !problems.Failed() {
		t.Errorf("a plan %v, problems %v", p != nil, problems.Problems)
	}
}
