// Package model reads model packages: folders in Hugging Face layout, and single ONNX files. It knows files, not how
// they are run: package infer loads their graphs, package task gives them meaning.
//
// Invariants: nothing is read from outside of a package's folder; a package's identity is the SHA-256 of its content.
package model
