module github.com/golock/golock

go 1.24.0

require (
	golang.org/x/sync v0.19.0
	golang.org/x/sys v0.41.0
	pgregory.net/rapid v1.2.0
)
