package etcd

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A line is what this process knows of a lock's keys: the waiters of all processes, in the order in
// which the keys were made. The first one has the lock.
//
// One watch stands for as long as the process uses the lock. etcd serves a watch at once only if it
// begins with the present: one that begins in the past is caught up every 100 ms. So the watch
// begins first, and then the keys are read, at a revision that is not older.
//
// What is known may be old, but it was true: a process whose key has once been the first has the
// lock until the key is deleted, and others than its owner delete it only when its lease has ended.
type line struct {
	lock *Lock

	mu      sync.Mutex
	watched bool // by a goroutine
	known   bool // keys is what etcd has at the revision
	at      int64
	keys    map[string]*mvccpb.KeyValue
	claims  map[string]*claim // those of this process that wait or have the lock
	used    time.Time
	slots   []bool // those of the names of keys that are in use, with this lease
	lease   clientv3.LeaseID
	first   string // the first key
	guarded string // the first key, if its process's death is waited for
	unguard context.CancelFunc
}

// guardAfter is how long a key has to be the first before its process's death is waited for.
const guardAfter = 5 * time.Millisecond

// longestUnused is how long a watch stands without a claim.
const longestUnused = time.Minute

// add makes a claim known, before its key is made.
func (n *line) add(c *claim) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claims[c.key] = c
}

func (n *line) remove(c *claim) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.claims[c.key] == c {
		delete(n.claims, c.key)
	}
	n.used = time.Now()
	n.guard()
}

// watch starts the watch unless it stands, and looks whether a claim has its turn.
func (n *line) watch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.watched {
		n.watched = true
		n.lock.space.run(n.follow)
	}
	n.look()
}

// look tells each claim of this process what has become of it. The mutex is held.
func (n *line) look() {
	if !n.known {
		return
	}
	var first *mvccpb.KeyValue
	for _, key := range n.keys {
		if first == nil || key.CreateRevision < first.CreateRevision {
			first = key
		}
	}
	n.first = ""
	if first != nil {
		n.first = string(first.Key)
		if c := n.claims[n.first]; c != nil && c.revision.Load() == first.CreateRevision {
			c.haveTurn()
		}
	}
	for name, c := range n.claims {
		key, made := n.keys[name], c.revision.Load()
		if made != 0 && made <= n.at && (key == nil || key.CreateRevision != made) {
			c.end()
		}
	}
	n.guard()
}

// guard waits for the death of the process that has the lock, if it is of this machine and others
// of this process wait. The mutex is held.
func (n *line) guard() {
	key := n.keys[n.first]
	if key != nil && (n.claims[n.first] != nil || len(n.claims) == 0) {
		key = nil
	}
	guarded := ""
	if key != nil {
		guarded = n.first
	}
	if guarded == n.guarded {
		return
	}
	n.unguard()
	n.guarded = guarded
	n.unguard = func() {}
	if key == nil || key.Lease == 0 {
		return
	}
	ctx, cancel := context.WithCancel(n.lock.space.ctx)
	timer := time.AfterFunc(guardAfter, func() {
		if waitForDeath(ctx.Done(), decode(key.Value)) {
			ctx, cancel := context.WithTimeout(ctx, closeTimeout)
			defer cancel()
			_, _ = n.lock.space.client.Revoke(ctx, clientv3.LeaseID(key.Lease))
		}
	})
	n.unguard = func() {
		timer.Stop()
		cancel()
	}
}

// follow keeps the line up to date until it has not been used for a while.
func (n *line) follow() {
	s := n.lock.space
	for {
		n.followOnce()
		n.mu.Lock()
		n.known = false
		n.keys = nil
		if len(n.claims) == 0 || s.ctx.Err() != nil {
			n.watched = false
			n.guard()
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		pause(s.ctx, retryPause)
	}
}

func (n *line) followOnce() {
	s, prefix := n.lock.space, n.lock.prefix
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	watch := s.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	started := time.NewTimer(s.options.Patience)
	defer started.Stop()
	select {
	case answer := <-watch:
		if !answer.Created || answer.Err() != nil {
			return
		}
	case <-started.C:
		return
	}
	limited, cancelRead := context.WithTimeout(ctx, s.options.Patience)
	defer cancelRead()
	read, err := s.client.Get(limited, prefix, clientv3.WithPrefix())
	if err != nil {
		return
	}
	n.replace(read)
	idle := time.NewTicker(longestUnused / 4)
	defer idle.Stop()
	for {
		select {
		case answer, open := <-watch:
			if !open || answer.Err() != nil {
				return
			}
			n.apply(answer.Events)
		case <-idle.C:
			if n.unused() {
				return
			}
		}
	}
}

func (n *line) unused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.claims) == 0 && time.Since(n.used) > longestUnused
}

// replace takes over what was read.
func (n *line) replace(read *clientv3.GetResponse) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = true
	n.keys = make(map[string]*mvccpb.KeyValue, len(read.Kvs))
	for _, key := range read.Kvs {
		n.keys[string(key.Key)] = key
	}
	n.at = read.Header.Revision
	n.look()
}

// apply changes the line by events, except those that the keys read have seen.
func (n *line) apply(events []*clientv3.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, event := range events {
		switch {
		case event.Kv.ModRevision <= n.at: // those of one revision come in one answer
		case event.Type == clientv3.EventTypePut:
			n.keys[string(event.Kv.Key)] = event.Kv
		default:
			delete(n.keys, string(event.Kv.Key))
		}
	}
	if len(events) > 0 {
		n.at = max(n.at, events[len(events)-1].Kv.ModRevision)
	}
	n.look()
}

// takeSlot returns a number that no other claim of this process with that lease has.
func (n *line) takeSlot(lease clientv3.LeaseID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lease != lease {
		n.lease = lease
		n.slots = nil
	}
	for slot, used := range n.slots {
		if !used {
			n.slots[slot] = true
			return slot
		}
	}
	n.slots = append(n.slots, true)
	return len(n.slots) - 1
}

func (n *line) giveSlot(c *claim) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lease == c.lease.id {
		n.slots[c.slot] = false
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
