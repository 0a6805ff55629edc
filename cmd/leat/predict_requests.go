package main

import (
	"context"
	"errors"

	"github.com/leat-project/leat/infer"
)

func (f *predictFlags) wantsRequests([]string) bool { return false }

func (r *predictRun) answerAll(context.Context, []string, infer.Opener) error { return errors.ErrUnsupported }
