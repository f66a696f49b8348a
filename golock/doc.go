// Package golock provides Python's threading primitives for goroutines. Every wait can end with a
// context, and waiters are served in the order of their arrival.
//
//   - [Lock] is a mutual exclusion lock and a [sync.Locker].
//   - [Semaphore] and [BoundedSemaphore] count permits.
//   - [Event] is a flag to wait for.
//   - [Condition] is a condition variable for any [sync.Locker].
//   - [Barrier] releases a number of goroutines when all of them have arrived.
//
// There is no RLock: a lock that its owner may take again has to know its owner, and goroutines
// have no identity.
//
// # Sharing with Python
//
// [At], [SemaphoreAt] and [EventAt] return the primitive behind an object of the Python package
// golock, given its address. Goroutines and Python threads then wait for the same word, whichever
// Go runtime of the process the goroutines belong to. A Condition or a Barrier cannot be shared:
// its waiters are known to one runtime only.
//
// Go code that Python called with the GIL must not wait for a lock without a limit, because the
// lock's owner may need the GIL to go on. Use [Lock.LockContext] or [Lock.LockTimeout] there. The
// file docs/sharing.md in the repository says which lock may be held across which call.
//
// Package capi is for Go programs that let Python use their Go runtime.
package golock
