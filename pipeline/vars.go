package pipeline

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// ReadVars reads a file of template variables: a map, in YAML or JSON, as the pipeline files themselves are read. It
// returns nil after a problem.
func ReadVars(file string, text []byte, problems *diag.List) map[string]any {
	found := &diag.List{}
	root := readYAML(file, text, found)
	problems.Problems = append(problems.Problems, found.Problems...)
	if root == nil || found.Failed() {
		return nil
	}
	if _, ok := root.Data.(*catalog.Map); !ok {
		problems.Errorf(root.Place, diag.BadValue, "wanted a map of template variables")
		return nil
	}
	vars, _ := root.Plain().(map[string]any)
	return vars
}
