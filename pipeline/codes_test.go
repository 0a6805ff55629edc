package pipeline_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/pipeline"
)

// TestCodeExamples compiles the example of each code and expects that code among its problems, and an error's example to
// have no other errors.
func TestCodeExamples(t *testing.T) {
	for _, info := range diag.Codes {
		if info.Example == "" {
			continue
		}
		t.Run(string(info.Code), func(t *testing.T) {
			_, problems := pipeline.Compile(context.Background(), "example.yaml", []byte(strings.TrimPrefix(info.Example, "\n")), pipeline.Options{})
			seen := false
			for _, p := range problems.Problems {
				seen = seen || p.Code == info.Code
				if p.Code != info.Code {
					t.Errorf("the example of %s has another problem: %v", info.Code, p)
				}
			}
			if !seen {
				t.Errorf("the example of %s does not have that problem", info.Code)
			}
		})
	}
}

// TestCodesComplete compares the table with the constants.
func TestCodesComplete(t *testing.T) {
	source, err := os.ReadFile("../diag/codes.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[diag.Code]bool{}
	for _, info := range diag.Codes {
		if known[info.Code] || info.Title == "" {
			t.Errorf("%s is in diag.Codes twice, or without a title", info.Code)
		}
		known[info.Code] = true
	}
	found := regexp.MustCompile(`Code = "(LT\d+)"`).FindAllStringSubmatch(string(source), -1)
	for _, m := range found {
		if !known[diag.Code(m[1])] {
			t.Errorf("%s is not in diag.Codes", m[1])
		}
	}
	if len(found) != len(known) {
		t.Errorf("diag.Codes has %d codes, codes.go %d", len(known), len(found))
	}
}
