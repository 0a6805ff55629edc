package pipeline

import (
	"reflect"
	"testing"

	"github.com/leat-project/leat/diag"
)

func TestReadVars(t *testing.T) {
	var problems diag.List
	got := ReadVars("vars.yaml", []byte("a: 1\nb: {c: [x, 2.5, null]}\n"), &problems)
	want := map[string]any{"a": int64(1), "b": map[string]any{"c": []any{"x", 2.5, nil}}}
	if problems.Failed() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	for _, text := range []string{"", "- 1\n", "a: [\n", "a: 1\na: 2\n"} {
		problems = diag.List{}
		if got := ReadVars("vars.yaml", []byte(text), &problems); got != nil || !problems.Failed() {
			t.Errorf("%q: got %#v and no problem", text, got)
		}
	}
}
