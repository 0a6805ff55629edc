package main

import (
	"errors"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/infer/local"
)

// modelShare is the part of the memory limit, one in modelShare, that the tensors of all models may take.
const modelShare = 2

// newRuntimes returns the runtimes for models. The library is looked for, and installed unless offline, when the first model is
// loaded.
func newRuntimes(log *reporter, offline bool, memoryLimit int64) (_ *local.Runtimes, close func()) {
	o := library.Options{Offline: offline}
	done := reportDownload(log, &o)
	r := local.New(local.Options{Offline: offline, MemoryLimit: memoryLimit / modelShare, Progress: o.Progress, Log: o.Log})
	return r, func() {
		done()
		if err := r.Close(); err != nil {
			log.line("warning", err.Error())
		}
	}
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
