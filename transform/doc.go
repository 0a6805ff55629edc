// Package transform holds the transforms that are no connectors to the outside, one file each.
//
// A file registers its transform with its documentation and an example that is a whole pipeline, and lowers it to nodes
// of a plan. It runs nothing, but for the few transforms (Create, AssertEqual, LogForTesting, MatchAll) that bring
// a connector of their own.
package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// The pages of Beam's documentation that define the transforms.
const (
	beamUDF     = "https://beam.apache.org/documentation/sdks/yaml-udf/"
	beamCombine = "https://beam.apache.org/documentation/sdks/yaml-combine/"
	beamErrors  = "https://beam.apache.org/documentation/sdks/yaml-errors/"
	beamYAML    = "https://beam.apache.org/documentation/sdks/yaml/"
	beamRef     = "https://beam.apache.org/releases/yamldoc/current/"
)

// unknownField reports that the input has no field called name.
func unknownField(l *catalog.Lowering, at diag.Place, name string) {
	l.Problems.Errorf(at, diag.UnknownField, "the input has no field %q", name).Hint =
		diag.DidYouMean(name, "fields", l.Schema().Names())
}

// fieldNames returns the texts of a TextList that name fields of the input, each once. Problems are reported; ok is
// then false.
func fieldNames(l *catalog.Lowering, key string) (names []string, ok bool) {
	ok = true
	for _, v := range l.Config.Get(key).Texts() {
		name := v.Text()
		switch {
		case l.Schema().Index(name) < 0:
			unknownField(l, v.Place, name)
			ok = false
		case slices.Contains(names, name):
			l.Problems.Errorf(v.Place, diag.BadValue, "field %q is named twice in %q", name, key)
			ok = false
		}
		names = append(names, name)
	}
	return names, ok
}

// placeOf returns the place of a key's value, or of the transform where the key is not given.
func placeOf(l *catalog.Lowering, key string) diag.Place {
	if v := l.Config.Get(key); v != nil {
		return v.Place
	}
	return l.Place
}

// given reports whether a key has a value that is not null.
func given(l *catalog.Lowering, key string) bool {
	v := l.Config.Get(key)
	return v != nil && v.Data != nil
}

// kindIs reports whether t is Any, Null or one of the kinds: whether a value of type t may be of one of them.
func kindIs(t column.Type, kinds ...column.Kind) bool {
	return t.Kind == column.Any || t.Kind == column.Null || slices.Contains(kinds, t.Kind)
}

// failed is what Lower returns after a problem.
func failed() catalog.Outputs { return catalog.Outputs{} }
