// Package golock has the primitives of Python's threading for goroutines, which can wait for each with a
// context and are served in the order of their arrival, beside OS threads that wait for the same.
//
//   - [Lock] excludes; it is a [sync.Locker] that can be waited for with a limit.
//   - [Semaphore] and [BoundedSemaphore] count permits.
//   - [Event] is a flag to wait for.
//   - [Condition] is a place to wait at for what a lock guards to change; it works with any [sync.Locker].
//   - [Barrier] lets a number of goroutines go on when all have arrived.
//
// Python's RLock is not among them: a lock that its owner may take again has to know its owner, and
// goroutines have no identity.
//
// # With Python
//
// [At], [SemaphoreAt] and [EventAt] find an object of the Python package golock, given its address, so that
// goroutines and Python threads wait for the same. Any Go runtime in the process can do so: all that wait for a
// word meet in the kernel. Conditions and barriers are not shared, whose waiters are known to one runtime only.
//
// Go code that Python has called with the GIL must not wait for a lock without a limit, because the lock's owner
// may need the GIL to go on: it uses [Lock.LockContext] or [Lock.LockTimeout]. docs/sharing.md in the repository
// says which lock may be held across which call.
//
// # The core
//
// The same code, built as a C library, waits for the objects of the Python package itself. Package capi is for C, and for
// programs that want Python to use their Go runtime.
package golock
