//go:build windows

package onnx

import (
	"encoding/binary"
	"syscall"
	"unicode/utf16"
)

// open loads a library.
func open(path string) (handle pointer, err error) {
	h, err := syscall.LoadLibrary(path)
	return pointer(h), err
}

func symbol(handle pointer, name string) (pointer, error) {
	return syscall.GetProcAddress(syscall.Handle(handle), name)
}

// pathArgument returns a file's path as the library takes it: in UTF-16.
func pathArgument(path string) []byte {
	var out []byte
	for _, u := range append(utf16.Encode([]rune(path)), 0) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}
