package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
)

// Config is what config.json tells.
type Config struct {
	ModelType   string
	ProblemType string // of a classifier: single_label_classification, multi_label_classification, regression
	// Labels are the names of the classes by number, where the file has id2label.
	Labels []string
	// Leat are the settings that have no home in Hugging Face's files.
	Leat   map[string]any
	Graphs map[string]string // of leat: files of graphs by role
	Raw    map[string]any    // the whole file
}

// MaxLabels is how many classes a model may have.
const MaxLabels = 1_000_000

// ParseConfig reads config.json.
func ParseConfig(text []byte) (*Config, error) {
	c := &Config{}
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(text, &c.Raw); errors.As(err, &wrong) {
		return nil, fmt.Errorf("wanted an object, found %s", wrong.Value)
	} else if err != nil {
		return nil, err
	}
	c.ModelType, _ = c.Raw["model_type"].(string)
	c.ProblemType, _ = c.Raw["problem_type"].(string)
	if leat, ok := c.Raw["leat"]; ok && leat != nil {
		if c.Leat, ok = leat.(map[string]any); !ok {
			return nil, fmt.Errorf("leat: wanted an object, found %s", kind(leat))
		}
	}
	graphs, ok := c.Leat["graphs"].(map[string]any)
	if !ok && c.Leat["graphs"] != nil {
		return nil, fmt.Errorf("leat.graphs: wanted an object, found %s", kind(c.Leat["graphs"]))
	}
	if ok {
		c.Graphs = map[string]string{}
		for role, file := range graphs {
			if c.Graphs[role], ok = file.(string); !ok {
				return nil, fmt.Errorf("leat.graphs.%s: wanted the name of a file, found %s", role, kind(file))
			}
		}
	}
	var err error
	c.Labels, err = labels(c.Raw["id2label"])
	return c, err
}

// kind names the kind of a JSON value, for errors.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%#v", v)
}

// labels turns id2label into a list. Numbers that are left out get the name that Hugging Face gives them, LABEL_3.
func labels(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	byID, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("id2label: wanted an object, found %s", kind(v))
	}
	ids := make([]int, 0, len(byID))
	for key := range byID {
		id, err := strconv.Atoi(key)
		if err != nil || id < 0 || id >= MaxLabels {
			return nil, fmt.Errorf("id2label: wanted numbers from 0 to %d as keys, found %q", MaxLabels-1, key)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	sort.Ints(ids)
	out := make([]string, ids[len(ids)-1]+1)
	for i := range out {
		out[i] = fmt.Sprintf("LABEL_%d", i)
	}
	for key, name := range byID {
		id, _ := strconv.Atoi(key) // read above
		if out[id], ok = name.(string); !ok {
			out[id] = fmt.Sprint(name)
		}
	}
	return out, nil
}

// Label returns the name of class i.
func (c *Config) Label(i int) string {
	if i >= 0 && i < len(c.Labels) {
		return c.Labels[i]
	}
	return fmt.Sprintf("LABEL_%d", i)
}
