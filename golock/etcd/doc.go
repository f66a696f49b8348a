// Package etcd provides a mutual exclusion lock for the processes of several machines, which keep
// its state in etcd.
//
//	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}})
//	…
//	space := etcd.NewSpace(client, etcd.Options{TTL: 10 * time.Second})
//	defer space.Close(ctx)
//	hold, err := space.Lock("reports").Acquire(ctx)
//	…
//	defer hold.Release(ctx)
//
// A [Space] is a process's place in etcd: a client, a prefix of keys, and a lease. A [Lock] is one
// lock of it, and a [Hold] is one time that it was taken.
//
// # Losing a lock
//
// A lease ends when etcd has not heard from the process for the TTL. Then somebody else gets the
// lock. [Hold.Lost] is true before that can happen: it compares the clock with the moment at which
// the last renewal was sent, plus the TTL, less a margin.
//
// A process may be paused between its look at Lost and the write that follows. So a lease alone
// protects nothing that is outside of etcd: let the store compare [Hold.Token], which rises with
// every hold ([Fence]). Writes to etcd can be made conditional on the hold ([Hold.Guard]).
package etcd
