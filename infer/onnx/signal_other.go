//go:build !linux

package onnx

// keepSignalStack calls f: only on Linux is there something to keep.
func keepSignalStack(f func() error) error { return f() }
