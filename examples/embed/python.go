//go:build embed

package main

/*
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>

// A child process that the code forks has no Go runtime, so it must not return into Go: it ends here.
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

// Start initializes Python with the packages of the environment that the executable belongs to. The goroutine
// must be locked to its thread, and stays so until Finish.
func Start(executable string) (*Python, error) {
	var config C.PyConfig
	C.PyConfig_InitPythonConfig(&config)
	defer C.PyConfig_Clear(&config)
	config.parse_argv = 0
	config.install_signal_handlers = 0 // signals are Go's but for those that script.py asks for
	// Beside the executable Python finds pyvenv.cfg, and so the environment's packages and its own.
	program := C.CString(executable)
	defer C.free(unsafe.Pointer(program))
	if err := failure(C.PyConfig_SetBytesString(&config, &config.program_name, program)); err != nil {
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

// attach gives the calling goroutine the GIL, until it calls what attach returns. Until then it has to stay on
// its thread, because Python knows threads. It must not wait there for anything that another needs the GIL for:
// a golock lock, an Event or a channel. See total in callback.go.
func attach() (detach func()) {
	runtime.LockOSThread()
	state := C.PyGILState_Ensure()
	return func() {
		C.PyGILState_Release(state)
		runtime.UnlockOSThread()
	}
}

// Run runs statements in the module __main__, for any goroutine, which should have no golock lock: the
// statements, and finalizers and signal handlers that run meanwhile, may want it. A traceback goes to stderr.
func (p *Python) Run(statements string) error {
	defer attach()()
	return p.run(statements, C.Py_file_input, func(*C.PyObject) {})
}

// Number returns the value of an expression that is a whole number. What is said of Run is true for it too.
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

// Share gives Python a memoryview of Go's memory, by that name in the module __main__, until Finish.
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

// Finish ends Python, on the thread that started it. From then on no goroutine may call it, or use an object of
// its: a thread that enters a Python that ends is ended itself, or sleeps for ever, and a lock's memory is freed.
func (p *Python) Finish() error {
	C.PyEval_RestoreThread(p.thread)
	if C.Py_FinalizeEx() != 0 {
		return errors.New("python could not write all of its output")
	}
	p.shared.Unpin()
	return nil
}
