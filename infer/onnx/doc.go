// Package onnx is ONNX Runtime behind package infer's contract, called without cgo.
//
// The library exports one symbol, which gives a table of function pointers that only ever grows: an old version of the table is
// asked for, so that any newer library will do, and slots that came later are called only after the library's version was checked.
//
// Memory: inputs are used where they lie, pinned for the length of the call; outputs are viewed where ONNX Runtime put them, until
// the results are closed. What the library allocates is freed by this package alone.
package onnx
