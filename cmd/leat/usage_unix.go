//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// usage returns what this process has used so far.
func usage() resources {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return resources{}
	}
	peak := int64(u.Maxrss)
	if runtime.GOOS != "darwin" { // where it is in bytes
		peak <<= 10
	}
	return resources{cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), peakMemory: peak}
}
