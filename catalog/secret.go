package catalog

import (
	"fmt"
	"os"
	"strings"

	"github.com/leat-project/leat/diag"
)

// Resolve returns a configuration in which ${env:NAME} and ${file:PATH} within strings are replaced by what they stand for; $${ gives ${. A plan
// keeps the references: what comes from here is for opening a connector, never for printing. The text of a file is taken without white space around it. An error
// is a *Problem that names the reference.
func Resolve(config map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(config))
	for key, v := range config {
		resolved, err := resolve(v)
		if err != nil {
			return nil, &Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q: %v", key, err),
				Hint: "Set it where leat is started; $${ stands for ${ itself."}
		}
		out[key] = resolved
	}
	return out, nil
}

func resolve(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return resolveText(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = resolve(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			var err error
			if out[key], err = resolve(v[key]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func resolveText(text string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		kind, rest, _ := strings.Cut(text[i+2:], ":")
		if kind != "env" && kind != "file" { // not ours
			out.WriteString("${")
			text = text[i+2:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("${%s: is not closed by }", kind)
		}
		value, err := secret(kind, name)
		if err != nil {
			return "", err
		}
		remember(value, "${"+kind+":"+name+"}")
		out.WriteString(value)
		text = after
	}
}

func secret(kind, name string) (string, error) {
	if kind == "env" {
		if value, ok := os.LookupEnv(name); ok {
			return value, nil
		}
		return "", fmt.Errorf("${env:%s} is not set in the environment", name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("${file:%s} cannot be read: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}
