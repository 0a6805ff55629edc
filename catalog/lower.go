package catalog

import (
	"fmt"
	"strconv"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// Language returns the language of the transform's expressions: the key "language", else its first.
func (l *Lowering) Language() string {
	if s := l.Config.Get(languageKey).Text(); s != "" {
		return s
	}
	if l.Transform != nil && len(l.Transform.Languages) > 0 {
		return l.Transform.Languages[0]
	}
	return "generic"
}

// Expr parses and checks an expression over rows of that schema, in the transform's language: a plain scalar,
// {expression: …}, {callable: …} or {path: …, name: …}, each perhaps with output_type. It returns nil after a problem.
func (l *Lowering) Expr(v *Value, schema column.Schema) *expr.Expr {
	return l.ExprIn(l.Language(), v, schema)
}

// ExprIn is Expr in a given language.
func (l *Lowering) ExprIn(language string, v *Value, schema column.Schema) *expr.Expr {
	if v == nil {
		return nil
	}
	if !isMap(v) {
		return l.parse(language, v, schema)
	}
	var e *expr.Expr
	switch callable, path := v.Get("callable"), v.Get("path"); {
	case v.Get("expression") != nil:
		if v.Get("expression").Data == nil { // not the null literal: only a bare null is
			l.Problems.Errorf(v.Get("expression").Place, diag.BadExpression, "wanted an expression, found null")
			return nil
		}
		e = l.parse(language, v.Get("expression"), schema)
	case callable != nil:
		e = l.callable(language, v.Entry("callable"), schema)
	case path != nil:
		l.Problems.Errorf(path.Place, diag.CannotCompile, "Python files cannot be run yet: they need a Python process, which comes later").Hint =
			"Write the function as an expression, or as a callable that is a lambda."
		return nil
	default:
		l.Problems.Errorf(v.Place, diag.MissingKey, `wanted an "expression", found a map without one`)
		return nil
	}
	output := v.Get("output_type")
	if output == nil || output.Data == nil {
		return e
	}
	t, ok := parseOutputType(output, l.Problems)
	if !ok || e == nil {
		return nil
	}
	if NeedsSchema(output.Plain()) {
		l.Problems.Warnf(output.Place, diag.BadSchema, "only the type of output_type is checked: what else it says of values is not").Hint =
			"Put a ValidateWithSchema after this transform."
	}
	return &expr.Expr{Op: expr.OpConform, Args: []*expr.Expr{e}, Type: t, Start: e.Start, End: e.End, Conform: &expr.Conform{Type: t}}
}

// parse reads an expression that is a scalar.
func (l *Lowering) parse(language string, v *Value, schema column.Schema) *expr.Expr {
	if !isScalar(v) {
		l.Problems.Errorf(v.Place, diag.BadExpression, "wanted an expression, found %s", found(v))
		return nil
	}
	src := expr.Source{Text: expressionText(language, v), Span: spanOf(v)}
	var e *expr.Expr
	switch language {
	case "python":
		e = expr.ParsePython(src, l.Problems)
	case "generic":
		e = expr.ParseGeneric(src, schema, l.Problems)
	default:
		l.Problems.Errorf(v.Place, diag.Unsupported, "expressions in language %q cannot be used here", language)
		return nil
	}
	if e == nil || !expr.Check(e, src, schema, l.Problems) {
		return nil
	}
	return e
}

// callable reads a Python function.
func (l *Lowering) callable(language string, at *Entry, schema column.Schema) *expr.Expr {
	if language != "python" {
		l.Problems.Errorf(at.At, diag.BadExpression, "a callable needs a language, found %q", language).Hint = `Say "language: python" in the transform's config.`
		return nil
	}
	src := expr.Source{Text: at.Value.Text(), Span: spanOf(at.Value)}
	e := expr.ParseCallable(src, l.Problems)
	if e == nil || !expr.Check(e, src, schema, l.Problems) {
		return nil
	}
	return e
}

// expressionText is the text of an expression that may be written as a bare number or boolean. As in Beam, its text
// is then what Python prints for it.
func expressionText(language string, v *Value) string {
	switch d := v.Data.(type) {
	case string:
		return d
	case int64:
		return strconv.FormatInt(d, 10)
	case float64:
		return expr.Str(d)
	case bool:
		if language == "python" {
			return expr.Str(d)
		}
		return strconv.FormatBool(d)
	case nil:
		if language == "python" {
			return "None"
		}
		return "null"
	}
	return fmt.Sprint(v.Data)
}

func spanOf(v *Value) diag.Span {
	if len(v.Span.Marks) > 0 {
		return v.Span
	}
	return diag.SpanAt(v.Place)
}
