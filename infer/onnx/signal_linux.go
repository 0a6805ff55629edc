package onnx

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// signalStack is Linux's stack_t.
type signalStack struct {
	address uintptr
	flags   int32
	size    uintptr
}

// providing lets one call at a time make or free the insides of an execution provider.
var providing sync.Mutex

// keepSignalStack calls f and puts the thread's signal stack back as it was. OpenVINO's plugin for processors gives the thread that makes it
// a signal stack of its own and unmaps that when it is freed, on whichever thread: a signal to the first thread, as the collector sends
// them, would then end the process.
func keepSignalStack(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	providing.Lock()
	defer providing.Unlock()
	var before signalStack
	if _, _, failed := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, 0, uintptr(unsafe.Pointer(&before)), 0); failed != 0 {
		return f()
	}
	err := f()
	if _, _, failed := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(&before)), 0, 0); failed != 0 && err == nil {
		err = failed
	}
	return err
}
