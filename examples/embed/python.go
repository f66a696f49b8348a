//go:build embed

package main

/*
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>

// A child process that the code forks has no Go runtime and must not return into Go. It ends here.
static PyObject *
run(const char *code, int start, PyObject *names)
{
	pid_t process = getpid();
	PyObject *value = PyRun_String(code, start, names, names);
	if (value == NULL) {
		PyErr_Print(); // for SystemExit it calls exit
	}
	if (getpid() != process) {
		Py_Exit(value == NULL);
	}
	return value;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

var errPython = errors.New("python raised an exception")

// Python is the interpreter of this process.
type Python struct {
	names  *C.PyObject      // the module __main__
	thread *C.PyThreadState // that of the thread that started it
	shared runtime.Pinner
}

// Start initializes Python with the packages of the environment that the executable belongs to. The
// calling goroutine must be locked to its thread until Finish returns.
func Start(executable string) (*Python, error) {
	var config C.PyConfig
	C.PyConfig_InitPythonConfig(&config)
	defer C.PyConfig_Clear(&config)
	config.parse_argv = 0
	config.install_signal_handlers = 0 // signals are Go's but for those that script.py asks for
	// Python finds pyvenv.cfg beside the executable, and through it the packages.
	program := C.CString(executable)
	defer C.free(unsafe.Pointer(program))
	status := C.PyConfig_SetBytesString(&config, &config.program_name, program)
	if err := failure(status); err != nil {
		return nil, err
	}
	if err := failure(C.Py_InitializeFromConfig(&config)); err != nil {
		return nil, err
	}
	main := C.CString("__main__")
	defer C.free(unsafe.Pointer(main))
	names := C.PyModule_GetDict(C.PyImport_AddModule(main))
	return &Python{names: names, thread: C.PyEval_SaveThread()}, nil
}

func failure(status C.PyStatus) error {
	if C.PyStatus_Exception(status) == 0 {
		return nil
	}
	return fmt.Errorf("python does not start: %s", C.GoString(status.err_msg))
}

// attach takes the GIL for the calling goroutine, and locks the goroutine to its thread, until
// detach is called. Until then the goroutine must not wait without a limit for a golock lock, an
// Event or a channel: whoever it waits for may need the GIL. See total in callback.go.
func attach() (detach func()) {
	runtime.LockOSThread()
	state := C.PyGILState_Ensure()
	return func() {
		C.PyGILState_Release(state)
		runtime.UnlockOSThread()
	}
}

// Run runs statements in the module __main__. Any goroutine may call it. It should hold no golock
// lock, because the statements, and finalizers and signal handlers that run meanwhile, may need it.
// A traceback goes to stderr.
func (p *Python) Run(statements string) error {
	defer attach()()
	return p.run(statements, C.Py_file_input, func(*C.PyObject) {})
}

// Number returns the value of an expression that is an integer of 64 bits. Call it as [Python.Run].
func (p *Python) Number(expression string) (number int64, err error) {
	defer attach()()
	err = p.run(expression, C.Py_eval_input, func(value *C.PyObject) {
		number = int64(C.PyLong_AsLongLong(value))
	})
	return number, err
}

func (p *Python) run(code string, start C.int, use func(*C.PyObject)) error {
	source := C.CString(code)
	defer C.free(unsafe.Pointer(source))
	value := C.run(source, start, p.names)
	if value == nil {
		return errPython
	}
	use(value)
	C.Py_DecRef(value)
	return raised()
}

// Share puts a memoryview of Go's memory into the module __main__ under the given name. It is valid
// until Finish.
func (p *Python) Share(name string, memory []int64) error {
	defer attach()()
	p.shared.Pin(&memory[0])
	size := C.Py_ssize_t(len(memory)) * C.Py_ssize_t(unsafe.Sizeof(memory[0]))
	view := C.PyMemoryView_FromMemory((*C.char)(unsafe.Pointer(&memory[0])), size, C.PyBUF_WRITE)
	if view != nil {
		key := C.CString(name)
		defer C.free(unsafe.Pointer(key))
		C.PyDict_SetItemString(p.names, key, view)
		C.Py_DecRef(view)
	}
	return raised()
}

func raised() error {
	if C.PyErr_Occurred() == nil {
		return nil
	}
	C.PyErr_Print()
	return errPython
}

// Finish ends Python. It must run on the thread that called Start. No goroutine may call Python, or
// use one of its objects, from then on: a thread that enters Python would be ended or sleep for
// ever, and the memory of locks is freed.
func (p *Python) Finish() error {
	C.PyEval_RestoreThread(p.thread)
	if C.Py_FinalizeEx() != 0 {
		return errors.New("python could not write all of its output")
	}
	p.shared.Unpin()
	return nil
}
