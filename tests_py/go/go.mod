module github.com/golock/golock/tests_py/go

go 1.24.0

require (
	github.com/go-python/gopy v0.5.0
	github.com/golock/golock v0.0.0
	github.com/golock/golock/examples v0.0.0
	github.com/google/pprof v0.0.0-20241210010833-40e02aabc2ad
	golang.org/x/sys v0.41.0
)

replace (
	github.com/golock/golock => ../..
	github.com/golock/golock/examples => ../../examples
)
