//go:build !windows

package onnx

import "github.com/ebitengine/purego"

// open loads a library. Symbols of dependent libraries are seen by those loaded after them.
func open(path string) (handle pointer, err error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
}

func symbol(handle pointer, name string) (pointer, error) { return purego.Dlsym(handle, name) }

// pathArgument returns a file's path as the library takes it.
func pathArgument(path string) []byte { return cString(path) }
