//go:build !linux || golock_portable

package tests_go

import "unsafe"

const threadsCanWait = false

func waitInThread(*uint32, bool) *pending { panic("there are no futexes") }

func awaitInThread(*uint32) *pending { panic("there are no futexes") }

func sleepsOn(int, unsafe.Pointer) bool { return true }
