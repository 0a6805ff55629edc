package main

import (
	"context"
	"errors"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/infer/local"
	"github.com/leat-project/leat/infer/process"
)

// modelShare is the part of the memory limit, one in modelShare, that the tensors of all models may take.
const modelShare = 2

// newRuntimes returns the runtimes for models. The library is looked for, and installed unless offline, when the first model is
// loaded.
func newRuntimes(log *reporter, offline bool, memoryLimit int64) (_ *local.Runtimes, close func()) {
	o := library.Options{Offline: offline}
	done := reportDownload(log, &o)
	r := local.New(local.Options{Offline: offline, MemoryLimit: memoryLimit / modelShare, Progress: o.Progress, Log: o.Log, Isolated: isolated})
	return r, func() {
		done()
		if err := r.Close(); err != nil {
			log.line("warning", err.Error())
		}
	}
}

// isolated opens a runtime in a child process: this program again.
func isolated(ctx context.Context, l library.Library, memoryLimit int64) (infer.Runtime, error) {
	command, err := process.Self(inferWorker)
	if err != nil {
		return nil, err
	}
	return process.Open(ctx, process.Config{Command: command, Library: process.Library{Path: l.Path, Preload: l.Preload, MemoryLimit: memoryLimit}})
}

// asFailure gives a missing runtime its code.
func asFailure(err error) error {
	var missing *library.NotInstalled
	var f *diag.Failure
	if errors.As(err, &missing) && errors.As(err, &f) {
		f.Code = diag.NoRuntime
	}
	return err
}
