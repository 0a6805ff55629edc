package task

import (
	"strings"

	"github.com/leat-project/leat/model"
)

// architectures are the tasks of Hugging Face's model classes, by the end of their names.
var architectures = map[string]string{
	"ForSequenceClassification": "text-classification",
	"ForImageClassification":    "image-classification",
}

// Of returns the task that a package is for, as far as it tells: leat.task in config.json, the modules of sentence-transformers, the class
// of the model. It is "" where it does not tell.
func Of(p *model.Package) string {
	if name, ok := p.Config.Leat["task"].(string); ok {
		return name
	}
	if p.Has("modules.json") {
		return "feature-extraction"
	}
	list, _ := p.Config.Raw["architectures"].([]any)
	for _, a := range list {
		name, _ := a.(string)
		for end, task := range architectures {
			if strings.HasSuffix(name, end) {
				return task
			}
		}
		if strings.HasSuffix(name, "Model") && (p.Has("tokenizer.json") || p.Has("vocab.txt")) {
			return "feature-extraction"
		}
	}
	return ""
}
