package transform_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/pipeline"
)

// chain is a pipeline that creates elements, one to a line of YAML, and passes them through the transforms.
func chain(elements, transforms string) string {
	return "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config:\n        elements: " + elements + "\n" +
		"    - " + strings.ReplaceAll(strings.TrimSpace(transforms), "\n", "\n    - ") + "\n"
}

// TestRows compares the rows that transforms give. All answers but those marked with "leat:" are the reference's.
func TestRows(t *testing.T) {
	tests := []struct {
		name, elements, transforms string
		want                       []string
	}{
		// MapToFields.
		{"fields in order, the row as it came in", `[{a: 1, b: 2}]`, `{type: MapToFields, config: {language: python, fields: {b: a, a: b, c: a + b}}}`,
			[]string{"Row(b=1, a=2, c=3)"}},
		{"append and drop", `[{a: 1, b: 2, c: 3}]`, `{type: MapToFields, config: {append: true, drop: [a, c], fields: {a: b, d: c}}}`,
			[]string{"Row(b=2, a=2, d=3)"}},
		{"constants", `[{a: 1}]`, `{type: MapToFields, config: {fields: {i: 3, f: 1.5, s: '"x"'}}}`, []string{"Row(i=3, f=1.5, s='x')"}},
		{"a callable", `[{a: 1}]`, `{type: MapToFields, config: {language: python, fields: {b: {callable: "lambda row: row.a + 1"}}}}`, []string{"Row(b=2)"}},
		{"output_type", `[{a: 1}]`, `{type: MapToFields, config: {language: python, fields: {b: {expression: a, output_type: number}}}}`,
			[]string{"Row(b=1.0)"}}, // leat: a number is a float column; the reference keeps the 1 and says it is a float
		{"field names that are no identifiers stay", `[{"a b": 1, c: 2}]`, `{type: MapToFields, config: {append: true, fields: {d: c}}}`,
			[]string{"Row(a b=1, c=2, d=2)"}}, // leat: the reference has no such names

		// Filter.
		{"truthy", `[{a: 0}, {a: 2}]`, `{type: Filter, config: {keep: a}}`, []string{"Row(a=2)"}},

		// Explode.
		{"cross product", `[{a: [1, 2], b: [3, 4]}]`, `{type: Explode, config: {fields: [a, b], cross_product: true}}`,
			[]string{"Row(a=1, b=3)", "Row(a=1, b=4)", "Row(a=2, b=3)", "Row(a=2, b=4)"}},
		{"side by side", `[{a: [1, 2], b: [3], c: 5}]`, `{type: Explode, config: {fields: [a, b], cross_product: false}}`,
			[]string{"Row(a=1, b=3, c=5)", "Row(a=2, b=None, c=5)"}},
		{"a string", `[{a: xyz}]`, `{type: Explode, config: {fields: a}}`, []string{"Row(a='x')", "Row(a='y')", "Row(a='z')"}},

		// Combine.
		{"one group of all", `[{a: 1}, {a: 2}]`, `{type: Combine, config: {group_by: [], combine: {a: sum}}}`, []string{"Row(a=3)"}},
		{"no rows, no group", `[{a: 1}]`, "{type: Filter, config: {keep: a > 5}}\n{type: Combine, config: {group_by: [], combine: {a: sum}}}", nil},
		{"value is Python in any language", `[{a: 1, b: 2}]`, `{type: Combine, config: {group_by: a, combine: {c: {value: a + b, fn: max}}}}`,
			[]string{"Row(a=1, c=3)"}},
		{"fn with type", `[{a: 1, b: 2}]`, `{type: Combine, config: {group_by: a, combine: {b: {fn: {type: mean}}}}}`, []string{"Row(a=1, b=2.0)"}},
		{"null is a key", `[{a: null, b: 1}, {a: 1, b: 2}, {b: 3}]`, `{type: Combine, config: {group_by: a, combine: {b: sum}}}`,
			[]string{"Row(a=1, b=2)", "Row(a=None, b=4)"}},
		{"group and concat", `[{k: 1, a: 1, l: [1]}, {k: 1, a: 2, l: [2, 3]}]`,
			`{type: Combine, config: {group_by: k, combine: {a: group, l: concat}}}`, []string{"Row(k=1, a=[1, 2], l=[1, 2, 3])"}},

		// Create.
		{"scalars", `[1, 2]`, `{type: Reshuffle}`, []string{"Row(element=1)", "Row(element=2)"}},
		{"scalars and maps", `[1, {a: 2}]`, `{type: Reshuffle}`, []string{"Row(element=1, a=None)", "Row(element=None, a=2)"}},
		{"numbers of two kinds", `[{a: 1}, {a: 1.5}]`, `{type: Reshuffle}`, []string{"Row(a=1)", "Row(a=1.5)"}},
		{"nested", `[{a: {b: [1, {c: x}]}}]`, `{type: MapToFields, config: {language: python, fields: {x: "a.b[1].c"}}}`, []string{"Row(x='x')"}},
		{"a column of nulls", `[{a: 1, b: null}]`, `{type: Reshuffle}`, []string{"Row(a=1, b=None)"}}, // leat: the reference refuses it

		// Time and windows.
		{"the window of Create", `[{a: 1}]`, "{type: ExtractWindowingInfo, config: {fields: [window_string, window_type]}}",
			[]string{"Row(a=1, window_string='GlobalWindow', window_type='GlobalWindow')"}},
		{"sliding", `[{a: 3}]`, "{type: AssignTimestamps, config: {timestamp: a}}\n" +
			"{type: ExtractWindowingInfo, windowing: {type: sliding, size: 10, period: 5}, config: {fields: {w: window_string}}}",
			[]string{"Row(a=3, w='[-5.0, 5.0)')", "Row(a=3, w='[0.0, 10.0)')"}},
		{"sessions exactly a gap apart", `[{a: 0}, {a: 10}, {a: 15}]`, "{type: AssignTimestamps, config: {timestamp: a}}\n" +
			"{type: Combine, windowing: {type: sessions, gap: 10s}, config: {group_by: [], combine: {a: group}}}",
			[]string{"Row(a=[0])", "Row(a=[10, 15])"}},
		{"times of text", `[{at: "1970-01-01T00:00:03Z"}]`, "{type: AssignTimestamps, config: {timestamp: at}}\n" +
			"{type: ExtractWindowingInfo, windowing: {type: fixed, size: 2}, config: {fields: {w: window_string}}}", // leat: RFC 3339
			[]string{"Row(at='1970-01-01T00:00:03Z', w='[2.0, 4.0)')"}},
		{"panes", `[{a: 1}]`, "{type: ExtractWindowingInfo, config: {fields: [pane_info]}}\n{type: MapToFields, config: {language: python, fields: {p: pane_info.index}}}",
			[]string{"Row(p=0)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			slices.Sort(tt.want)
			if got := run(t, chain(tt.elements, tt.transforms), engine.Options{Parallelism: 2, BatchRows: 2}); !slices.Equal(got, tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestAssertEqual runs assertions that hold.
func TestAssertEqual(t *testing.T) {
	tests := []struct{ name, elements, expected string }{
		{"nulls do not count", `[{a: 1, b: null}, {a: 1.0, b: x}]`, `[{a: 1, b: x}, {a: 1}]`},
		{"nested rows", `[{a: {c: 1, b: [2.0]}}]`, `[{a: {b: [2], c: 1}}]`},
		{"booleans are numbers", `[{a: true}]`, `[{a: 1}]`},
		{"NaN", `[{a: .nan}]`, `[{a: .nan}]`},
		{"integers that no float holds", `[{a: 9007199254740993}]`, `[{a: 9007199254740993}]`},
		{"as often", `[{a: 1}, {a: 1}, {a: 2}]`, `[{a: 1}, {a: 2}, {a: 1}]`},
		{"nothing", `[]`, `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := chain(tt.elements, "{type: AssertEqual, config: {elements: "+tt.expected+"}}")
			if _, err := engine.Run(context.Background(), compile(t, text), engine.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFailures compares how a run fails.
func TestFailures(t *testing.T) {
	tests := []struct{ name, elements, transforms, want string }{
		{"missing and not expected", `[{a: 1}, {a: 2}, {a: 2}]`, `{type: AssertEqual, config: {elements: [{a: 2}, {a: 3}]}}`,
			`the rows are not the expected ones: missing Row(a=3); not expected Row(a=1), Row(a=2)`},
		{"many", `[1, 2, 3, 4, 5, 6, 7]`, `{type: AssertEqual, config: {elements: []}}`,
			`not expected Row(element=1), Row(element=2), Row(element=3), Row(element=4), Row(element=5) and 2 more`},
		{"not as often", `[{a: 1}]`, `{type: AssertEqual, config: {elements: [{a: 1}, {a: 1}]}}`, `missing Row(a=1)`},
		{"integers nearby", `[{a: 9007199254740993}]`, `{type: AssertEqual, config: {elements: [{a: 9007199254740992}]}}`, `missing Row(a=9007199254740992)`},
		{"null in a list's place", `[{a: [1]}, {}]`, `{type: Explode, config: {fields: a}}`, `TypeError`},
		{"an output that is not listed", `[{a: x}]`, `{type: Partition, config: {by: a, outputs: [y]}}`, `'x'`},
		{"output_type", `[{a: x}, {a: 1}]`, `{type: MapToFields, config: {language: python, fields: {a: {expression: a, output_type: string}}}}`, `TypeError`},
		{"null has no output_type", `[{a: x}, {}]`, `{type: MapToFields, config: {language: python, fields: {a: {expression: a, output_type: string}}}}`, `TypeError`},
		{"time of no known form", `[{a: soon}]`, `{type: AssignTimestamps, config: {timestamp: a}}`, `soon`},
		{"a row that does not fit", `[{a: 1}]`, `{type: ValidateWithSchema, config: {schema: {type: object, properties: {a: {type: integer, minimum: 2}}}}}`, `minimum`},
		{"null in a required property", `[{a: 1}, {}]`, `{type: ValidateWithSchema, config: {schema: {type: object, properties: {a: {type: integer}}, required: [a]}}}`, `'a'`},
		{"no file", `[{p: nothing.here}]`, `{type: MatchAll, config: {empty_match_treatment: DISALLOW}}`, `Empty match for pattern nothing.here`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := engine.Run(context.Background(), compile(t, chain(tt.elements, tt.transforms)), engine.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestProblems compares what is found before anything runs. Transforms begin at line 7; columns count from "- ".
// inference is a RunInference with a handler's configuration and further keys.
func inference(handler, more string) string {
	return `{type: RunInference, config: {model_handler: {type: HuggingFacePipelineModelHandler, config: {` + handler + `}}, ` + more + `}}`
}

func TestProblems(t *testing.T) {
	tests := []struct{ name, elements, transforms, want string }{
		{"drop without append", `[{a: 1}]`, `{type: MapToFields, config: {drop: a, fields: {b: a}}}`, `"drop" needs "append: true" [LT0106]`},
		{"drop of an unknown field", `[{name: 1}]`, `{type: MapToFields, config: {append: true, drop: nme, fields: {}}}`,
			`the input has no field "nme" [LT0302] (Did you mean "name"?)`},
		{"a field that is there", `[{a: 1}]`, `{type: MapToFields, config: {append: true, fields: {a: a}}}`, `the input has a field "a" already [LT0403]`},
		{"a file of Python", `[{a: 1}]`, `{type: MapToFields, config: {language: python, fields: {b: {path: a.py, name: f}}}}`, `Python files cannot be run yet`},
		{"a callable without a language", `[{a: 1}]`, `{type: MapToFields, config: {fields: {b: {callable: "lambda row: 1"}}}}`, `a callable needs a language`},
		{"an output_type of no type", `[{a: 1}]`, `{type: MapToFields, config: {fields: {b: {expression: a, output_type: strin}}}}`,
			`no type is named "strin" [LT0401] (Did you mean "string"?)`},
		{"an unknown field in an expression", `[{name: 1}]`, `{type: Filter, config: {keep: nam > 1}}`, `LT030`},
		{"explode of no list", `[{a: 1}]`, `{type: Explode, config: {fields: a}}`, `wanted a list in field "a", found int [LT0402]`},
		{"explode of two", `[{a: [1], b: [1]}]`, `{type: Explode, config: {fields: [a, b]}}`, `exploding several fields needs "cross_product"`},
		{"explode twice", `[{a: [1]}]`, `{type: Explode, config: {fields: [a, a], cross_product: true}}`, `field "a" is named twice in "fields" [LT0106]`},
		{"partition by a number", `[{a: 1}]`, `{type: Partition, config: {by: a, outputs: [x]}}`, `wanted a string from "by", found int [LT0402]`},
		{"an output listed twice", `[{a: x}]`, `{type: Partition, config: {by: a, outputs: [x, x]}}`, `output "x" is listed twice [LT0106]`},
		{"an unknown function", `[{a: 1}]`, `{type: Combine, config: {group_by: a, combine: {b: {value: a, fn: summ}}}}`,
			`no aggregate function is named "summ" [LT0305] (Did you mean "sum"?)`},
		{"a function of Python", `[{a: 1}]`, `{type: Combine, config: {language: python, group_by: a, combine: {b: {value: a, fn: apache_beam.transforms.combiners.TopCombineFn}}}}`,
			`cannot aggregate yet: it needs a Python process [LT0110]`},
		{"an aggregate without a value", `[{a: 1}]`, `{type: Combine, config: {group_by: a, combine: {b: count}}}`,
			`aggregate "b" has no value, and the input has no field of that name [LT0302] (Say what is aggregated: {value: FIELD, fn: …}.)`},
		{"an aggregate called as a key", `[{a: 1}]`, `{type: Combine, config: {group_by: a, combine: {a: count}}}`, `"a" is a field of "group_by" already [LT0403]`},
		{"no such key of an aggregate", `[{a: 1}]`, `{type: Combine, config: {group_by: [], combine: {a: {fn: sum, vlaue: a}}}}`,
			`aggregate "a" has no key "vlaue" [LT0103] (Did you mean "value"?)`},
		{"grouping by no field", `[{a: 1}]`, `{type: Combine, config: {group_by: a + 1, combine: {a: sum}}}`, `the input has no field "a + 1" [LT0302]`},
		{"a time that is a list", `[{a: [1]}]`, `{type: AssignTimestamps, config: {timestamp: a}}`, `wanted seconds, an RFC 3339 string or a timestamp, found list<int> [LT0402]`},
		{"windowing", `[{a: 1}]`, `{type: WindowInto, config: {windowing: {type: fixed, size: 0}}}`, `"size" must be longer than zero, found 0 [LT0502]`},
		{"no such windowing value", `[{a: 1}]`, `{type: ExtractWindowingInfo, config: {fields: [window_strat]}}`,
			`a row's windowing has no "window_strat" [LT0106] (Did you mean "window_start"?)`},
		{"a windowing field that is there", `[{timestamp: 1}]`, `{type: ExtractWindowingInfo}`, `the input has a field "timestamp" already [LT0403]`},
		{"no error output", `[{a: 1}]`, `{type: StripErrorMetadata}`, `the input is no error output: it has no field failed_row, element, record [LT0402]`},
		{"number for integer", `[{a: 1}]`, `{type: ValidateWithSchema, config: {schema: {type: object, properties: {a: {type: number}}}}}`,
			`the schema wants float for field "a", found int [LT0402]`},
		{"a required field that is not there", `[{a: 1}]`, `{type: ValidateWithSchema, config: {schema: {type: object, properties: {b: {type: number}}, required: [b]}}}`,
			`the schema requires "b", which is no field of the rows [LT0402]`},
		{"no others", `[{a: 1}]`, `{type: ValidateWithSchema, config: {schema: {type: object, properties: {}, additionalProperties: false}}}`,
			`the schema has no property "a" and allows no others`},
		{"no buckets", `[{a: 1}]`, `{type: Reshuffle, config: {num_buckets: 0}}`, `wanted 1 or more for "num_buckets", found 0 [LT0106]`},
		{"which pattern", `[{a: x, b: y}]`, `{type: MatchAll}`, `the input has 2 fields, so "file_pattern" has to name the one with the pattern`},
		{"asserting scalars", `[{a: 1}]`, `{type: AssertEqual, config: {elements: [1]}}`, `wanted a row, as {name: value}`},
		{"level", `[{a: 1}]`, `{type: LogForTesting, config: {level: WARN}}`, `"level" is "WARN", wanted one of ERROR, INFO, DEBUG`},
		{"a setting of inference_args", `[{text: x}]`, inference(`model: review-sentiment`, `inference_args: {function_to_apply: softmx}`),
			`"function_to_apply" is "softmx", wanted one of sigmoid, softmax, none [LT0106]`},
		{"a type in inference_args", `[{text: x}]`, inference(`model: review-sentiment`, `inference_args: {max_length: long}`), `wanted a whole number for "max_length", found a string [LT0106]`},
		{"no such key of inference_args", `[{text: x}]`, inference(`model: review-sentiment`, `inference_args: {top_kk: 1}`), `has no key "top_kk" [LT0103] (Did you mean "top_k"?)`},
		{"columns for an input", `[{a: x, b: y}]`, inference(`model: review-sentiment, inputs: {text: [a, b]}`, `inference_tag: p`),
			`the input "text" of the model review-sentiment takes 1 columns, and 2 are named [LT0803]`},
		{"a model that is a number", `[{text: x}]`, inference(`model: 3`, `inference_tag: p`), `wanted a string for "model" [LT0106]`},
		{"elements", `{a: 1}`, `{type: LogForTesting}`, `wanted a list for "elements", found a map [LT0106]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := pipeline.Compile(context.Background(), "test.yaml", []byte(chain(tt.elements, tt.transforms)), pipeline.Options{})
			got := problemLines(problems)
			if !strings.Contains(got, tt.want) || len(problems.Problems) != 1 {
				t.Errorf("got:\n%s\nwant: %s", got, tt.want)
			}
			for _, p := range problems.Problems {
				if p.Place.Line == 0 || p.Place.Col == 0 {
					t.Errorf("no place: %v", p)
				}
			}
		})
	}
}

func TestFlattenMerges(t *testing.T) {
	const text = `
pipeline:
  transforms:
    - {type: Create, name: A, config: {elements: [{a: 1, b: x, r: {p: 1}}]}}
    - {type: Create, name: B, config: {elements: [{c: true, a: 2.5, r: {q: 2}}]}}
    - {type: Flatten, input: [A, B]}
`
	want := []string{"Row(a=1, b='x', r=Row(p=1), c=None)", "Row(a=2.5, b=None, r=Row(q=2), c=True)"}
	if got := run(t, text, engine.Options{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	p := compile(t, capturing(text))
	last := p.Nodes[len(p.Nodes)-1]
	const schema = "a: any, b: string?, r: any, c: bool?"
	if got := p.Port(last.In[0]).Schema.String(); got != schema {
		t.Errorf("schema: got %s, want %s", got, schema)
	}
}

// TestFlattenOfErrors merges error records of different rows to records of rows with all their fields.
func TestFlattenOfErrors(t *testing.T) {
	const text = `
pipeline:
  transforms:
    - {type: Create, config: {elements: [{a: 0}]}}
    - {type: MapToFields, name: M, input: Create, config: {language: python, fields: {b: 1 / a}, error_handling: {output: bad}}}
    - {type: MapToFields, name: R, input: Create, config: {fields: {c: a}}}
    - {type: MapToFields, name: N, input: R, config: {language: python, fields: {b: 1 / c}, error_handling: {output: bad}}}
    - {type: AssertEqual, input: [M, N], config: {elements: []}}
    - {type: Flatten, input: [M.bad, N.bad]}
    - {type: StripErrorMetadata, input: Flatten}
`
	want := []string{"Row(a=0, c=None)", "Row(a=None, c=0)"}
	if got := run(t, text, engine.Options{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPartitionOutputCalledErrors has an output with the name of the error port.
func TestPartitionOutputCalledErrors(t *testing.T) {
	const text = `
pipeline:
  transforms:
    - {type: Create, config: {elements: [{a: errors}, {a: fine}, {}]}}
    - {type: Partition, name: P, input: Create, config: {by: a, outputs: [errors, fine], error_handling: {output: bad}}}
    - {type: AssertEqual, input: P.errors, config: {elements: [{a: errors}]}}
    - {type: AssertEqual, input: P.fine, config: {elements: [{a: fine}]}}
    - {type: StripErrorMetadata, input: P.bad}
`
	want := []string{"Row(a=None)"}
	if got := run(t, text, engine.Options{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFlattenOfDifferentWindowing(t *testing.T) {
	const text = `
pipeline:
  transforms:
    - {type: Create, name: A, config: {elements: [{a: 1}]}}
    - {type: WindowInto, name: W, input: A, config: {windowing: {type: fixed, size: 10s}}}
    - {type: Flatten, input: [A, W]}
`
	_, problems := pipeline.Compile(context.Background(), "test.yaml", []byte(text), pipeline.Options{})
	const want = "the inputs have different windowing: global and fixed(10s) [LT0501]"
	if got := problemLines(problems); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLogForTesting(t *testing.T) {
	text := chain(`[{a: 1, b: [1.0, null], c: {d: "ä\"\n"}, e: true}]`, `{type: LogForTesting, config: {level: ERROR, prefix: "> "}}`)
	var got []string
	o := engine.Options{Log: func(level, text string) { got = append(got, level+" "+text) }}
	if _, err := engine.Run(context.Background(), compile(t, text), o); err != nil {
		t.Fatal(err)
	}
	want := []string{`ERROR > {"a": 1, "b": [1.0, null], "c": {"d": "\u00e4\"\n"}, "e": true}`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogForTestingWithErrorHandling(t *testing.T) {
	const text = `
pipeline:
  transforms:
    - {type: Create, config: {elements: [{a: 1}]}}
    - {type: LogForTesting, input: Create, config: {error_handling: {output: bad}}}
    - {type: AssertEqual, input: LogForTesting.bad, config: {elements: []}}
    - {type: AssertEqual, input: LogForTesting, config: {elements: [{a: 1}]}}
`
	if _, err := engine.Run(context.Background(), compile(t, text), engine.Options{}); err != nil {
		t.Error(err)
	}
}

func TestMatchAll(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"d/a1.csv", "d/a2.csv", "d/b.txt", "d/sub/a3.csv", "d/.hidden.csv", "ä.csv"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ pattern, want string }{
		{"d/a*.csv", "d/a1.csv d/a2.csv"},
		{"d/*.csv", "d/.hidden.csv d/a1.csv d/a2.csv"},
		{"d/**.csv", "d/.hidden.csv d/a1.csv d/a2.csv d/sub/a3.csv"},
		{"d/*/*.csv", "d/sub/a3.csv"},
		{"d/a[2-9].csv", "d/a2.csv"},
		{"d/a[!2-9].csv", "d/a1.csv"},
		{"d/b.txt", "d/b.txt"},
		{"./d/b.*", "./d/b.txt"},
		{"d/", "d/.hidden.csv d/a1.csv d/a2.csv d/b.txt"},
		{"?.csv", "ä.csv"},
		{"ä*", "ä.csv"},
		{"d/[.csv", ""},
		{"nowhere/*", ""},
	}
	path := regexp.MustCompile(`path='([^']*)', size_in_bytes=5, last_updated_in_seconds=\d+\.`)
	for _, tt := range tests {
		rows := run(t, chain(`[{p: "`+tt.pattern+`"}]`, `{type: MatchAll, config: {file_pattern: p}}`), engine.Options{})
		var got []string
		for _, r := range rows {
			if m := path.FindStringSubmatch(r); m != nil {
				got = append(got, m[1])
			}
		}
		if s := strings.Join(got, " "); s != tt.want || len(got) != len(rows) {
			t.Errorf("%s: got %s (%s), want %s", tt.pattern, s, rows, tt.want)
		}
	}
}
