package etcd

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// A View is what a process knows of a lock without asking etcd.
type View struct {
	// Holder is the process that has the lock, or nil: that is unknown, or it is free. Own says
	// that it is this process.
	Holder *Process
	Own    bool
	// Age is how old that is. It is 0 as long as etcd would tell of a change at once.
	Age time.Duration
	// Endpoints are those of etcd.
	Endpoints []string
	// Before is how many keys of other processes are before this one's, if this process waits.
	Before int
	// Lost says that this process has lost the lock, and has not released it yet.
	Lost bool
	// Token is that of this process's hold, or 0, and Lease how long it lasts without another
	// answer of etcd.
	Token int64
	Lease time.Duration
}

// View returns what this process knows of the lock. It does not ask etcd, and does not wait.
func (l *Lock) View() View {
	if h := l.last.Load(); h != nil && h.state.Load() == held {
		own := decode([]byte(l.space.value))
		view := View{Holder: &own, Own: true, Token: h.token, Lost: h.Lost()}
		view.Endpoints = l.space.client.Endpoints()
		view.Lease = max(0, time.Duration(h.claim.lease.deadline.Load())-now())
		if view.Lost {
			view.Holder, view.Own, view.Lease = nil, false, 0
		}
		return view
	}
	view := l.line.view()
	view.Endpoints = l.space.client.Endpoints()
	return view
}

// A neighbour is the process whose key is the first, as far as this process has read it.
type neighbour struct {
	key      string
	revision int64 // at which the key was made
	process  Process
	heard    time.Time // when the watch last stood
}

// meet takes over the first key. The mutex is not held.
func (n *line) meet(first *mvccpb.KeyValue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.first = &neighbour{
		key:      string(first.Key),
		revision: first.CreateRevision,
		process:  decode(first.Value),
		heard:    time.Now(),
	}
}

// A key that was the first has the lock until it is deleted, and the watch tells of that.
func (n *line) view() View {
	n.mu.Lock()
	defer n.mu.Unlock()
	view := View{}
	for _, c := range n.claims {
		if !c.unwanted.Load() {
			view.Before = max(view.Before, len(c.before))
		}
	}
	first := n.first
	switch {
	case first == nil:
		return view
	case n.since == 0: // the watch does not stand
		view.Age = max(time.Since(first.heard), 1)
	case n.deleted[first.key] > first.revision,
		first.revision <= n.since && n.keys[first.key] != first.revision:
		n.first = nil
		return view
	default:
		first.heard = time.Now()
	}
	view.Holder = &first.process
	return view
}
