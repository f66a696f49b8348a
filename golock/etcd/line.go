package etcd

import (
	"context"
	"math"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A line is what this process knows of a lock's keys: the waiters of all processes, in the order in
// which the keys were made. The first one has the lock.
//
// The answer of the transaction that makes a claim's key lists the keys before it, and the claim
// has its turn when all of them are deleted. One watch of deletions stands for as long as the
// process uses the lock. etcd serves a watch at once only if it begins with the present: one that
// begins in the past is caught up every 100 ms. So the watch begins first, and then the keys are
// read, at a revision that is not older.
//
// What is known may be old, but it was true: a process whose key has once been the first has the
// lock until the key is deleted, and others than its owner delete it only when its lease has ended.
type line struct {
	lock *Lock

	mu        sync.Mutex
	watched   bool              // by a goroutine
	since     int64             // the revision at which the keys were read; 0: they are not known
	keys      map[string]int64  // those that were read and are not deleted, with create revisions
	deleted   map[string]int64  // the revision of each name's last deletion since
	claims    map[string]*claim // those of this process that wait or have the lock
	notify    []func()          // to be called without the mutex, which those who are woken need
	used      time.Time
	slots     []bool // those of the names of keys that are in use, with this lease
	lease     clientv3.LeaseID
	guarded   string    // the first key, if its process's death is waited for
	guardedAt time.Time // from then on it has been the first
	timed     bool      // a timer will call guardFirst
	unguard   context.CancelFunc
	first     *neighbour // or nil: see View
	told      int        // how often the watch has told something, or began
	doubted   bool       // it tells nothing, so the keys are read
}

// guardAfter is how long a key has to be the first before its process's death is waited for.
const guardAfter = 20 * time.Millisecond

// longestUnused is how long a watch stands without a claim.
const longestUnused = time.Minute

// mostDeleted is how many names a watch may tell of: each process that comes and goes adds some.
// Then another one begins, with what is read anew.
const mostDeleted = 1 << 15

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

func (n *line) unlock() {
	notify := n.notify
	n.notify = nil
	n.mu.Unlock()
	for _, each := range notify {
		each()
	}
}

// placed takes over the revision at which a claim's key was made, and the keys before it, both at
// once: a claim with a revision and no keys before it has its turn. If there are some, the watch
// starts unless it stands.
func (n *line) placed(c *claim, revision int64, before map[string]int64) {
	n.mu.Lock()
	defer n.unlock()
	c.before = before
	c.revision.Store(revision)
	if len(before) == 0 {
		c.haveTurn()
		return
	}
	if !n.watched {
		n.watched = true
		n.lock.space.run(n.follow)
	}
	if n.since != 0 {
		n.review(c)
	}
	n.guard()
}

// review tells a claim what the deletions so far mean for it. The mutex is held.
func (n *line) review(c *claim) {
	revision := c.revision.Load()
	if revision == 0 {
		return // the answer will come
	}
	if revision < n.since {
		c.before = map[string]int64{}
		for name, made := range n.keys {
			if made < revision {
				c.before[name] = made
			}
		}
		if n.keys[c.key] != revision {
			c.end()
		}
	}
	for name, made := range c.before {
		if n.deleted[name] > made {
			delete(c.before, name)
		}
	}
	if n.deleted[c.key] > revision {
		c.end()
	}
	if len(c.before) == 0 {
		c.haveTurn()
	}
}

// guard waits for the death of the process that has the lock, if it is of this machine and others
// of this process wait. The mutex is held.
func (n *line) guard() {
	first, made := "", int64(math.MaxInt64)
	for _, c := range n.claims {
		for name, revision := range c.before {
			if revision < made {
				first, made = name, revision
			}
		}
	}
	if first == n.guarded {
		return
	}
	n.unguard()
	n.unguard = func() {}
	n.guarded, n.guardedAt = first, time.Now()
	if first != "" && !n.timed {
		n.timed = true
		time.AfterFunc(guardAfter, n.guardFirst)
	}
}

// guardFirst waits for the death of the process that has the lock once it has had it for a while. A
// timer calls it, which stays: to set one wakes a thread up.
func (n *line) guardFirst() {
	n.mu.Lock()
	left := guardAfter - time.Since(n.guardedAt)
	if n.guarded != "" && left > 0 {
		time.AfterFunc(left, n.guardFirst)
		n.mu.Unlock()
		return
	}
	first := n.guarded
	n.timed = false
	ctx, cancel := context.WithCancel(n.lock.space.ctx)
	defer cancel()
	n.unguard = cancel
	n.mu.Unlock()
	if first == "" {
		return
	}
	client := n.lock.space.client
	read, err := client.Get(ctx, first)
	if err != nil || len(read.Kvs) == 0 || read.Kvs[0].Lease == 0 {
		return
	}
	n.meet(read.Kvs[0])
	if waitForDeath(ctx.Done(), decode(read.Kvs[0].Value)) {
		ctx, cancel := context.WithTimeout(n.lock.space.ctx, closeTimeout)
		defer cancel()
		_, _ = client.Revoke(ctx, clientv3.LeaseID(read.Kvs[0].Lease))
	}
}

// follow keeps the line up to date until it has not been used for a while.
func (n *line) follow() {
	s := n.lock.space
	limit := s.firstLimit()
	for {
		n.followOnce(limit)
		limit = s.nextLimit(limit)
		n.mu.Lock()
		if n.since != 0 { // the watch stood
			limit = s.firstLimit()
		}
		n.since, n.keys, n.deleted = 0, nil, nil
		n.told++
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

// followOnce does so until the watch ends. The watch has to begin within the limit, as has each
// request.
func (n *line) followOnce(limit time.Duration) {
	s, prefix := n.lock.space, n.lock.prefix
	watch, err := s.openWatch(s.ctx, prefix, limit)
	if err != nil {
		return
	}
	defer watch.close()
	read, err := n.read(limit)
	if err != nil {
		return
	}
	n.mu.Lock()
	n.told++
	n.replace(read)
	n.unlock()
	for {
		events, err := watch.next(min(s.options.TTL/3, longestUnused/4))
		if err != nil || len(events) == 0 && n.unused() {
			return
		}
		if len(events) == 0 {
			n.doubt()
			continue
		}
		n.apply(events)
		if n.isFull() {
			return
		}
	}
}

func (n *line) read(d time.Duration) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(n.lock.space.ctx, d)
	defer cancel()
	return n.lock.space.client.Get(ctx, n.lock.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
}

// doubt reads the keys if a claim waits for others. The watch has told nothing for a while: perhaps
// nothing has happened, perhaps its member can no longer be heard. That shows after pingEvery and
// pingTimeout, and all processes would wait that long for a claim that does not know that its turn
// has come. The client has connections to other members, and they answer.
func (n *line) doubt() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doubted || n.waits() == 0 {
		return
	}
	n.doubted = true
	told := n.told
	n.lock.space.run(func() {
		for deaf := false; n.ask(told, &deaf); {
			pause(n.lock.space.ctx, retryPause)
		}
	})
}

// ask reads the keys, and finds the watch deaf if it has not told of a deletion. It reports whether
// the doubt remains. What was read may be older than what the watch has told meanwhile.
func (n *line) ask(told int, deaf *bool) bool {
	read, err := n.read(longestWait)
	n.mu.Lock()
	defer n.unlock()
	waits := n.waits()
	if n.told != told || waits == 0 && !*deaf || n.lock.space.ctx.Err() != nil {
		n.doubted = false
		return false
	}
	if err != nil {
		return true
	}
	n.replace(read)
	*deaf = *deaf || n.waits() < waits
	n.doubted = *deaf
	return *deaf
}

// waits returns for how many keys the claims wait. The mutex is held.
func (n *line) waits() (keys int) {
	for _, c := range n.claims {
		keys += len(c.before)
	}
	return keys
}

func (n *line) isFull() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.deleted) > mostDeleted
}

func (n *line) unused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.claims) == 0 && time.Since(n.used) > longestUnused
}

// replace takes over what was read. The mutex is held.
func (n *line) replace(read *clientv3.GetResponse) {
	n.since = read.Header.Revision
	n.keys = revisions(read.Kvs)
	n.deleted = map[string]int64{}
	for _, c := range n.claims {
		n.review(c)
	}
	n.guard()
}

func revisions(keys []*mvccpb.KeyValue) map[string]int64 {
	found := make(map[string]int64, len(keys))
	for _, key := range keys {
		found[string(key.Key)] = key.CreateRevision
	}
	return found
}

// apply takes over deletions.
func (n *line) apply(events []*mvccpb.Event) {
	n.mu.Lock()
	defer n.unlock()
	n.told++
	for _, event := range events {
		name, revision := string(event.Kv.Key), event.Kv.ModRevision
		if revision > n.since {
			n.deleted[name] = revision
			delete(n.keys, name)
		}
	}
	for _, c := range n.claims {
		n.review(c)
	}
	n.guard()
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
