//go:build embed

package main

/*
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>

// A child made by fork has no Go runtime and must not return into it: it ends with its code.
static PyObject *
run(const char *code, int start, PyObject *names)
{
	pid_t process = getpid();
	PyObject *value = PyRun_String(code, start, names, names);
	if (value == NULL) {
		PyErr_Print(); // and exits, for SystemExit
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

// A Python is the interpreter inside this process.
type Python struct {
	names  *C.PyObject      // of the module __main__
	main   *C.PyThreadState // of the thread that started it
	shared runtime.Pinner
}

// Start initializes Python with the packages of the environment that the given executable belongs to.
// The calling goroutine must be locked to the process's main thread: that is where Python runs signal
// handlers, and the kernel wakes it for them.
func Start(executable string) (*Python, error) {
	var config C.PyConfig
	C.PyConfig_InitPythonConfig(&config)
	defer C.PyConfig_Clear(&config)
	config.parse_argv = 0
	config.install_signal_handlers = 0 // script.py says which signals are Python's
	name := C.CString(executable)
	defer C.free(unsafe.Pointer(name))
	// From the executable's path Python finds pyvenv.cfg, and with it both libraries.
	if err := failure(C.PyConfig_SetBytesString(&config, &config.program_name, name)); err != nil {
		return nil, err
	}
	if err := failure(C.Py_InitializeFromConfig(&config)); err != nil {
		return nil, err
	}
	module := C.CString("__main__")
	defer C.free(unsafe.Pointer(module))
	python := &Python{names: C.PyModule_GetDict(C.PyImport_AddModule(module))}
	python.main = C.PyEval_SaveThread()
	return python, nil
}

func failure(status C.PyStatus) error {
	if C.PyStatus_Exception(status) == 0 {
		return nil
	}
	return fmt.Errorf("python does not start: %s", C.GoString(status.err_msg))
}

// Run runs statements in the module __main__. An exception's traceback goes to stderr.
func (p *Python) Run(code string) error {
	defer ensure()()
	return p.run(code, C.Py_file_input, func(*C.PyObject) {})
}

// Number returns the value of an expression that is a whole number.
func (p *Python) Number(expression string) (number int64, err error) {
	defer ensure()()
	err = p.run(expression, C.Py_eval_input, func(value *C.PyObject) {
		number = int64(C.PyLong_AsLongLong(value))
	})
	return number, err
}

// Share gives memory of Go to Python, as a memoryview of that name, until Finish.
func (p *Python) Share(name string, memory []int64) {
	defer ensure()()
	p.shared.Pin(&memory[0])
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	size := C.Py_ssize_t(len(memory)) * C.Py_ssize_t(unsafe.Sizeof(memory[0]))
	view := C.PyMemoryView_FromMemory((*C.char)(unsafe.Pointer(&memory[0])), size, C.PyBUF_WRITE)
	C.PyDict_SetItemString(p.names, cname, view)
	C.Py_DecRef(view)
}

func (p *Python) run(code string, start C.int, use func(*C.PyObject)) error {
	source := C.CString(code)
	defer C.free(unsafe.Pointer(source))
	value := C.run(source, start, p.names)
	if value == nil {
		return errors.New("python raised an exception")
	}
	use(value)
	C.Py_DecRef(value)
	return nil
}

// ensure attaches the goroutine to Python, with the GIL, until the function that it returns is called.
// Python knows threads, so the goroutine must stay on its own until then.
func ensure() (release func()) {
	runtime.LockOSThread()
	state := C.PyGILState_Ensure()
	return func() {
		C.PyGILState_Release(state)
		runtime.UnlockOSThread()
	}
}

// Finish ends Python, in the thread that started it. No goroutine may use one of its objects any more,
// a lock in it, or Run.
func (p *Python) Finish() error {
	C.PyEval_RestoreThread(p.main)
	defer p.shared.Unpin()
	if C.Py_FinalizeEx() != 0 {
		return errors.New("python could not write all that it had buffered")
	}
	return nil
}
