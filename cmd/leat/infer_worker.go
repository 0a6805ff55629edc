package main

import (
	"github.com/spf13/cobra"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/onnx"
	"github.com/leat-project/leat/infer/process"
)

// inferWorker is the name of the command on which leat runs a model for another leat.
const inferWorker = "infer-worker"

// newInferWorker returns the child of infer/process. It is not for people.
func newInferWorker() *cobra.Command {
	return &cobra.Command{
		Use:    inferWorker,
		Short:  "Runs a model for another leat, which starts it",
		Hidden: true,
		Args:   wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			return process.Serve(func(l process.Library) (infer.Runtime, error) {
				return onnx.Open(onnx.Config{Path: l.Path, Preload: l.Preload, MemoryLimit: l.MemoryLimit})
			})
		},
	}
}
