package catalog

import (
	"fmt"
	"strings"
)

// fieldTypeNames is how the forms of values are called in documentation.
var fieldTypeNames = [...]string{
	AnyValue: "anything", Text: "string", Boolean: "boolean", Integer: "integer", Number: "number", TextList: "string or list of strings",
	List: "list", Object: "map", Expression: "expression", Expressions: "map of expressions", Schema: "JSON schema",
	Windowing: "windowing", Length: "duration",
}

// String returns the form's name as documentation shows it.
func (t FieldType) String() string {
	if int(t) < len(fieldTypeNames) {
		return fieldTypeNames[t]
	}
	return fmt.Sprintf("form(%d)", t)
}

// Explain returns the documentation of a transform as plain text for a terminal.
func Explain(t *Transform) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.Name, t.Summary)
	if doc := strings.TrimSpace(t.Doc); doc != "" {
		fmt.Fprintf(&b, "\n%s\n", doc)
	}
	b.WriteString("\nConfig:\n")
	width := 0
	rows := configRows(t)
	for _, r := range rows {
		width = max(width, len(r.name))
	}
	for _, r := range rows {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, r.name, r.facts())
		fmt.Fprintf(&b, "  %-*s    %s\n", width, "", r.doc)
	}
	if len(rows) == 0 {
		b.WriteString("  none\n")
	}
	fmt.Fprintf(&b, "\nInputs: %s\n", t.Inputs)
	if t.Source != "" {
		fmt.Fprintf(&b, "Defined by: %s\n", t.Source)
	}
	fmt.Fprintf(&b, "\nExample:\n\n%s\n", indent(strings.TrimSpace(t.Example), "  "))
	return b.String()
}

// ExplainMarkdown returns the documentation of a transform as a section of a Markdown page.
func ExplainMarkdown(t *Transform) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n", t.Name, t.Summary)
	if doc := strings.TrimSpace(t.Doc); doc != "" {
		fmt.Fprintf(&b, "\n%s\n", doc)
	}
	if rows := configRows(t); len(rows) > 0 {
		b.WriteString("\n| Key | Form | |\n|---|---|---|\n")
		for _, r := range rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.name, cell(r.facts()), cell(r.doc))
		}
	}
	fmt.Fprintf(&b, "\nInputs: %s.", t.Inputs)
	if t.Source != "" {
		fmt.Fprintf(&b, " Defined by [Beam YAML](%s).", t.Source)
	}
	fmt.Fprintf(&b, "\n\n```yaml\n%s\n```\n", strings.TrimSpace(t.Example))
	return b.String()
}

// String says how many inputs a transform takes, for documentation.
func (a Arity) String() string {
	switch a {
	case NoInput:
		return "none"
	case ManyInputs:
		return "any number"
	}
	return "one"
}

// configRow is one key as documentation shows it.
type configRow struct {
	name, form, doc, fallback string
	required                  bool
	enum                      []string
}

// facts is what a key takes: "string, one of a, b; default: a".
func (r configRow) facts() string {
	s := r.form
	if len(r.enum) > 0 {
		s += ", one of " + strings.Join(r.enum, ", ")
	}
	switch {
	case r.required:
		s += "; required"
	case r.fallback != "":
		s += "; default: " + r.fallback
	}
	return s
}

// configRows are the keys of a transform: its fields, the fields of objects under "object.key", and what the
// pipeline handles for it.
func configRows(t *Transform) []configRow {
	rows := fieldRows("", t.Fields)
	if len(t.Languages) > 0 {
		rows = append(rows, configRow{name: languageKey, form: Text.String(), enum: t.Languages, fallback: t.Languages[0],
			doc: "The language of the expressions."})
	}
	if t.Errors {
		rows = append(rows, configRow{name: errorHandlingKey, form: Object.String(),
			doc: "{output: NAME} sends rows that fail to that output, instead of failing the job."})
	}
	return rows
}

func fieldRows(prefix string, fields []Field) []configRow {
	var rows []configRow
	for _, f := range fields {
		rows = append(rows, configRow{name: prefix + f.Name, form: f.Type.String(), doc: f.Doc, fallback: f.Default, required: f.Required, enum: f.Enum})
		rows = append(rows, fieldRows(prefix+f.Name+".", f.Fields)...)
	}
	return rows
}

func indent(s, prefix string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = prefix + line
		}
	}
	return strings.Join(lines, "\n")
}

// cell is a text as it may stand in a cell of a Markdown table.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
