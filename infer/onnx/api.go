package onnx

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/leat-project/leat/infer"
)

// apiVersion is the version of the function table that is asked for, the first that has all of the slots below.
const apiVersion = 18

// newerVersion is the first that has the last slots, which are called only where the library is that new.
const newerVersion = 24

// Slots of OrtApi, as onnxruntime_c_api.h has them in order. The table only ever grows at its end.
const (
	slotGetErrorCode                     = 1
	slotGetErrorMessage                  = 2
	slotCreateEnv                        = 3
	slotDisableTelemetryEvents           = 6
	slotCreateSession                    = 7
	slotCreateSessionFromArray           = 8
	slotRun                              = 9
	slotCreateSessionOptions             = 10
	slotDisableCPUMemArena               = 19
	slotSetSessionLogSeverityLevel       = 22
	slotSetSessionGraphOptimizationLevel = 23
	slotSetIntraOpNumThreads             = 24
	slotSetInterOpNumThreads             = 25
	slotSessionGetInputCount             = 30
	slotSessionGetOutputCount            = 31
	slotSessionGetInputTypeInfo          = 33
	slotSessionGetOutputTypeInfo         = 34
	slotSessionGetInputName              = 36
	slotSessionGetOutputName             = 37
	slotCreateRunOptions                 = 39
	slotRunOptionsSetTerminate           = 46
	slotRunOptionsUnsetTerminate         = 47
	slotCreateTensorAsOrtValue           = 48
	slotCreateTensorWithData             = 49
	slotGetTensorMutableData             = 51
	slotGetStringTensorDataLength        = 53
	slotGetStringTensorContent           = 54
	slotCastTypeInfoToTensorInfo         = 55
	slotGetOnnxTypeFromTypeInfo          = 56
	slotGetTensorElementType             = 60
	slotGetDimensionsCount               = 61
	slotGetDimensions                    = 62
	slotGetSymbolicDimensions            = 63
	slotGetTensorTypeAndShape            = 65
	slotGetValueType                     = 67
	slotCreateCPUMemoryInfo              = 69
	slotAllocatorFree                    = 76
	slotGetAllocatorWithDefaultOptions   = 78
	slotGetValue                         = 80
	slotGetValueCount                    = 81
	slotCreateValue                      = 82
	slotReleaseEnv                       = 92
	slotReleaseStatus                    = 93
	slotReleaseMemoryInfo                = 94
	slotReleaseSession                   = 95
	slotReleaseValue                     = 96
	slotReleaseRunOptions                = 97
	slotReleaseTypeInfo                  = 98
	slotReleaseTensorTypeAndShapeInfo    = 99
	slotReleaseSessionOptions            = 100
	slotCastTypeInfoToMapTypeInfo        = 103
	slotCastTypeInfoToSequenceTypeInfo   = 104
	slotGetMapKeyType                    = 105
	slotGetMapValueType                  = 106
	slotGetSequenceElementType           = 107
	slotGetAvailableProviders            = 125
	slotReleaseAvailableProviders        = 126
	slotAddSessionConfigEntry            = 130
	slotCreateAndRegisterAllocator       = 144
	slotReleaseArenaCfg                  = 157
	slotCreateArenaCfg                   = 156
	slotAppendTensorRT                   = 170
	slotCreateTensorRTOptions            = 171
	slotUpdateTensorRTOptions            = 172
	slotReleaseTensorRTOptions           = 174
	slotHasValue                         = 192
	slotAppendCUDA                       = 204
	slotCreateCUDAOptions                = 205
	slotUpdateCUDAOptions                = 206
	slotReleaseCUDAOptions               = 208
	slotAppendProvider                   = 216
	slotCastTypeInfoToOptionalTypeInfo   = 250
	slotGetOptionalContainedTypeInfo     = 251
	slotGetResizedStringBuffer           = 252

	slotHasShape    = 390 // TensorTypeAndShape_HasShape
	slotGetShapeRef = 414 // GetTensorElementTypeAndShapeDataReference

	slots = slotGetShapeRef + 1
)

// pointer is an address in the library's memory, which the collector does not know.
type pointer = uintptr

// api is the table of functions.
type api struct {
	table   *[slots]pointer
	version string // of the library
	newer   bool   // it is of newerVersion at least
}

// newAPI asks a loaded library for its table. base is its symbol OrtGetApiBase.
func newAPI(base pointer) (*api, error) {
	// struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t); const char* (*GetVersionString)(); }
	address, _, _ := purego.SyscallN(base)
	if address == 0 {
		return nil, fmt.Errorf("the library gives no functions")
	}
	functions := (*[2]pointer)(native(address))
	version, _, _ := purego.SyscallN(functions[1])
	table, _, _ := purego.SyscallN(functions[0], apiVersion)
	if table == 0 {
		return nil, fmt.Errorf("wanted ONNX Runtime 1.%d or newer, found %s", apiVersion, goString(version))
	}
	a := &api{table: (*[slots]pointer)(native(table)), version: goString(version)}
	a.newer = minorOf(a.version) >= newerVersion
	return a, nil
}

// minorOf returns 31 for 1.31.1, and 0 for what is no such version.
func minorOf(version string) int {
	parts := strings.Split(version, ".")
	if len(parts) < 2 || parts[0] != "1" {
		return 0
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	return minor
}

// call calls a function that returns a status, and returns what the status says. Pointers to Go variables are given as
// uintptr(unsafe.Pointer(&x)) in the call itself, which keeps them where they are.
//
//go:uintptrescapes
func (a *api) call(slot int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(a.table[slot], args...)
	if status == 0 {
		return nil
	}
	return a.statusError(status)
}

// scratch is memory for calls that come with every run: arguments lie in it, and the library writes its answers to it, so that
// a call allocates nothing. It has to be on the heap, as a part of what is, since its addresses are given as numbers.
type scratch struct {
	args                  [8]uintptr
	address, shape, count pointer // answers
	number                int32   // an answer
}

// callWith is call with arguments that point to the heap: into s, or to what the caller keeps alive.
func (a *api) callWith(s *scratch, slot int, args ...uintptr) error {
	n := copy(s.args[:], args)
	status, _, _ := purego.SyscallN(a.table[slot], s.args[:n]...)
	runtime.KeepAlive(s)
	if status == 0 {
		return nil
	}
	return a.statusError(status)
}

// releaseWith is release without an allocation.
func (a *api) releaseWith(s *scratch, slot int, object pointer) {
	if object != 0 {
		s.args[0] = object
		purego.SyscallN(a.table[slot], s.args[:1]...)
	}
}

// ask calls a function that returns a C bool of an object.
func (a *api) ask(slot int, object pointer) bool {
	answer, _, _ := purego.SyscallN(a.table[slot], object)
	return answer&0xff != 0
}

// release calls a function that frees what it is given, and takes nothing amiss in 0.
func (a *api) release(slot int, object pointer) {
	if object != 0 {
		purego.SyscallN(a.table[slot], object)
	}
}

func (a *api) statusError(status pointer) error {
	code, _, _ := purego.SyscallN(a.table[slotGetErrorCode], status)
	text, _, _ := purego.SyscallN(a.table[slotGetErrorMessage], status)
	err := &infer.Error{Code: "FAIL", Text: strings.TrimSpace(goString(text))}
	if int(code) < len(errorCodes) {
		err.Code = errorCodes[code]
	}
	a.release(slotReleaseStatus, status)
	return err
}

// errorCodes are the names of OrtErrorCode.
var errorCodes = [...]string{"OK", "FAIL", "INVALID_ARGUMENT", "NO_SUCHFILE", "NO_MODEL", "ENGINE_ERROR", "RUNTIME_EXCEPTION",
	"INVALID_PROTOBUF", "MODEL_LOADED", "NOT_IMPLEMENTED", "INVALID_GRAPH", "EP_FAIL", "MODEL_LOAD_CANCELED",
	"MODEL_REQUIRES_COMPILATION", "NOT_FOUND"}

// native turns an address of the library's into a pointer. It goes by way of memory, since the compiler's checks are for
// Go's own.
func native(address pointer) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// goString copies a string that ends with a zero byte. Strings of the library are short: messages and names.
func goString(address pointer) string {
	if address == 0 {
		return ""
	}
	p := (*byte)(native(address))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// cString returns a copy of s that ends with a zero byte.
func cString(s string) []byte { return append([]byte(s), 0) }
