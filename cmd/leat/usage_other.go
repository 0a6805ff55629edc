//go:build !unix

package main

// usage is not known here.
func usage() resources { return resources{} }
