package main

// #include <stdbool.h>
// #include <stdint.h>
// #include <stdlib.h>
// #include "../../capi/golock_view.h"
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime/cgo"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A call goes on without the thread that made it, which can so wait as golock's threads do: it
// answers signals and keeps its time limit. The end of the call sets a golock.Event of Python. The
// event must not be freed: it may be set once more after the call.
type call struct {
	event *golock.Event
	limit time.Duration

	// One of these:
	acquisition *etcd.Acquisition  // that has to wait for other processes
	cancel      context.CancelFunc // of a goroutine

	ended  chan struct{} // closed when the goroutine has ended
	opened *space
	hold   *etcd.Hold
	answer any
	err    error
}

// newCall writes the handle of a call to *started. A signal of Python may come as soon as the
// library has returned, before a result has been stored.
func newCall(started *C.uintptr_t, event C.uintptr_t, nanoseconds C.int64_t) *call {
	found, err := golock.EventAt(uintptr(event))
	if err != nil {
		panic(err)
	}
	c := &call{event: found, limit: math.MaxInt64}
	if nanoseconds >= 0 {
		c.limit = time.Duration(nanoseconds)
	}
	*started = C.uintptr_t(cgo.NewHandle(c))
	return c
}

// run runs the call in a goroutine.
func (c *call) run(do func(context.Context, *call)) {
	var ctx context.Context
	if c.limit == math.MaxInt64 {
		ctx, c.cancel = context.WithCancel(context.Background())
	} else {
		ctx, c.cancel = context.WithTimeout(context.Background(), c.limit)
	}
	c.ended = make(chan struct{})
	go func() {
		do(ctx, c)
		close(c.ended) // before the thread wakes up and needs that
		c.event.Set()
	}()
}

func begin(started *C.uintptr_t, event C.uintptr_t, nanoseconds C.int64_t,
	do func(context.Context, *call)) {
	newCall(started, event, nanoseconds).run(do)
}

// hasEnded clears the event, which may be set for the call before, unless the goroutine has ended.
func (c *call) hasEnded() bool {
	c.event.Clear()
	select {
	case <-c.ended:
		return true
	default: // it will set the event
		return false
	}
}

func (c *call) finish(acquisition *etcd.Acquisition) {
	c.run(func(ctx context.Context, c *call) {
		c.hold, c.err = acquisition.Finish(ctx)
	})
}

// The outcomes of a call; golock.etcd has the same numbers.
const (
	done = iota
	notAcquired
	lost
	released
	failed
	invalid
	pending // the call goes on
)

func outcome(err error) C.int {
	switch {
	case err == nil:
		return done
	case errors.Is(err, etcd.ErrLost):
		return lost
	case errors.Is(err, etcd.ErrReleased):
		return released
	case err == context.DeadlineExceeded, err == context.Canceled:
		return notAcquired
	case errors.Is(err, etcd.ErrInvalid):
		return invalid
	}
	return failed
}

// golock_etcd_end ends a call whose event is set, and returns its outcome. It may return pending:
// then the event will be set again. If the call is to be cancelled, it is ended at any time.
//
// *handle is that of a hold or a space, if the call was for one. *text is a JSON document or an
// error in words, which is to be freed, or NULL. *started becomes 0 when the call has ended.
//
//export golock_etcd_end
func golock_etcd_end(started *C.uintptr_t, cancel C.bool, handle *C.uintptr_t, token *C.int64_t,
	text **C.char) C.int {
	c := cgo.Handle(*started).Value().(*call)
	if a := c.acquisition; a != nil {
		c.acquisition = nil
		c.hold = a.Take()
		switch {
		case c.hold != nil:
		case bool(cancel):
			a.Cancel()
			c.err = context.Canceled
		default: // the claim is over, or the event was set for an earlier call
			c.event.Clear()
			if a.Notify(c.event.Set) {
				c.acquisition = a
			} else {
				c.finish(a)
			}
			return pending
		}
	} else if !bool(cancel) && !c.hasEnded() {
		return pending
	} else {
		c.cancel()
		<-c.ended
	}
	cgo.Handle(*started).Delete()
	*started = 0
	ending := outcome(c.err)
	if ending == failed || ending == invalid {
		*text = C.CString(c.err.Error())
	}
	if ending != done {
		return ending
	}
	if c.hold != nil {
		*handle = C.uintptr_t(cgo.NewHandle(c.hold))
		*token = C.int64_t(c.hold.Token())
	}
	if c.opened != nil {
		*handle = C.uintptr_t(cgo.NewHandle(c.opened))
	}
	if c.answer != nil {
		document, err := json.Marshal(c.answer)
		if err != nil {
			panic(err)
		}
		*text = C.CString(string(document))
	}
	return done
}

//export golock_etcd_free
func golock_etcd_free(text *C.char) { C.free(unsafe.Pointer(text)) }

//export golock_etcd_forget
func golock_etcd_forget(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

// What a Python lock was made with. A field of Given that is nil is that of the environment.
type options struct {
	Environment map[string]string
	Given       struct {
		Endpoints                                        []string
		CA, Certificate, Key, User, Password, ServerName *string
	}
	Prefix                 string
	TTL, Handoff, Patience float64 // seconds
}

func (o *options) connection() etcd.Connection {
	c := etcd.Environment(func(name string) (string, bool) {
		value, set := o.Environment[name]
		return value, set
	})
	c.Timeout = seconds(o.Patience)
	given := &o.Given
	if given.Endpoints != nil {
		c.Endpoints = given.Endpoints
	}
	if given.User == nil && given.Password != nil {
		c.User, _, _ = strings.Cut(c.User, ":") // its own password does not count
	}
	for _, each := range []struct{ given, field *string }{
		{given.CA, &c.CA},
		{given.Certificate, &c.Certificate},
		{given.Key, &c.Key},
		{given.User, &c.User},
		{given.Password, &c.Password},
		{given.ServerName, &c.ServerName},
	} {
		if each.given != nil {
			*each.field = *each.given
		}
	}
	return c
}

type space struct {
	*etcd.Space
	client  *etcd.Client
	opening *opening
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// An opening goes on when the call that began it has given up. The next call with the same document
// joins it, or takes the connection over. An error is only for the calls that wait for it.
type opening struct {
	document string
	done     chan struct{}
	space    *space
	err      error
	users    int // calls that wait, and handles of the space
}

var openings struct {
	sync.Mutex
	begun map[string]*opening // and not taken
}

// golock_etcd_open connects, and returns a call whose answer is the handle of a space. The client
// asks etcd for a token at once if there is a user. Calls that connect at the same time get handles
// of one space, which is closed when the last one is discarded.
//
//export golock_etcd_open
func golock_etcd_open(document *C.char, nanoseconds C.int64_t, event C.uintptr_t,
	started *C.uintptr_t) {
	text := C.GoString(document)
	begin(started, event, nanoseconds, func(ctx context.Context, c *call) {
		o := joinOpening(text)
		select {
		case <-o.done:
			o.take()
			c.opened, c.err = o.space, o.err
		case <-ctx.Done():
			go o.leave()
			c.err = ctx.Err()
		}
	})
}

func joinOpening(document string) *opening {
	openings.Lock()
	defer openings.Unlock()
	o := openings.begun[document]
	if o == nil {
		o = &opening{document: document, done: make(chan struct{})}
		if openings.begun == nil {
			openings.begun = map[string]*opening{}
		}
		openings.begun[document] = o
		go o.run()
	}
	o.users++
	return o
}

func (o *opening) run() {
	defer close(o.done)
	if o.space, o.err = open(o.document); o.err != nil {
		o.take()
		return
	}
	o.space.opening = o
}

// take makes the next call begin another opening.
func (o *opening) take() {
	openings.Lock()
	defer openings.Unlock()
	if openings.begun[o.document] == o {
		delete(openings.begun, o.document)
	}
}

// leave closes a space that was taken and has no users any more.
func (o *opening) leave() {
	openings.Lock()
	o.users--
	unused := o.users == 0 && openings.begun[o.document] != o
	openings.Unlock()
	if unused && o.space != nil {
		_ = o.space.Close(context.Background())
		_ = o.space.client.Close()
	}
}

func open(document string) (*space, error) {
	var o options
	if err := json.Unmarshal([]byte(document), &o); err != nil {
		return nil, err
	}
	client, err := etcd.Connect(o.connection())
	if err != nil {
		return nil, err
	}
	opened := etcd.NewSpace(client.Client, etcd.Options{
		Prefix:   o.Prefix,
		TTL:      seconds(o.TTL),
		Handoff:  seconds(o.Handoff),
		Patience: seconds(o.Patience),
		TLS:      client.TLS,
	})
	return &space{Space: opened, client: client}, nil
}

//export golock_etcd_close
func golock_etcd_close(handle C.uintptr_t, nanoseconds C.int64_t, event C.uintptr_t,
	started *C.uintptr_t) {
	s := cgo.Handle(handle).Value().(*space)
	begin(started, event, nanoseconds, func(ctx context.Context, c *call) {
		c.err = s.Close(ctx)
		_ = s.client.Close()
	})
}

//export golock_etcd_lock
func golock_etcd_lock(handle C.uintptr_t, name *C.char) C.uintptr_t {
	s := cgo.Handle(handle).Value().(*space)
	return C.uintptr_t(cgo.NewHandle(s.Lock(C.GoString(name))))
}

// driveLimit is how long a thread drives a request itself. Meanwhile it answers no signal, unless
// the signal ends its wait.
const driveLimit = 20 * time.Millisecond

// drivenUntil returns until when the thread of a call with a time limit drives a request.
func drivenUntil(nanoseconds C.int64_t) time.Time {
	if nanoseconds < 0 {
		return time.Now().Add(driveLimit)
	}
	return time.Now().Add(min(time.Duration(nanoseconds), driveLimit))
}

// golock_etcd_acquire returns done, with a hold, if the thread itself could take the lock, and
// otherwise begins a call and returns pending.
//
//export golock_etcd_acquire
func golock_etcd_acquire(handle C.uintptr_t, nanoseconds C.int64_t, event C.uintptr_t,
	started, hold *C.uintptr_t, token *C.int64_t) C.int {
	lock := cgo.Handle(handle).Value().(*etcd.Lock)
	begun := lock.BeginAcquire(drivenUntil(nanoseconds))
	if taken := begun.Hold(); taken != nil {
		*hold, *token = C.uintptr_t(cgo.NewHandle(taken)), C.int64_t(taken.Token())
		return done
	}
	c := newCall(started, event, nanoseconds)
	if begun.Notify(c.event.Set) {
		c.acquisition = begun
	} else {
		c.finish(begun)
	}
	return pending
}

// golock_etcd_begin_acquire does not wait, and neither does golock_etcd_begin_release: the thread
// is an event loop's.
//
//export golock_etcd_begin_acquire
func golock_etcd_begin_acquire(handle C.uintptr_t, nanoseconds C.int64_t, event C.uintptr_t,
	started *C.uintptr_t) {
	lock := cgo.Handle(handle).Value().(*etcd.Lock)
	begun := lock.BeginAcquire(time.Time{})
	newCall(started, event, nanoseconds).finish(begun)
}

//export golock_etcd_begin_release
func golock_etcd_begin_release(handle C.uintptr_t, event C.uintptr_t, started *C.uintptr_t) {
	hold := cgo.Handle(handle).Value().(*etcd.Hold)
	begin(started, event, -1, func(ctx context.Context, c *call) {
		c.err = hold.Release(ctx)
	})
}

//export golock_etcd_try_acquire
func golock_etcd_try_acquire(handle C.uintptr_t, event C.uintptr_t, started *C.uintptr_t) {
	lock := cgo.Handle(handle).Value().(*etcd.Lock)
	begin(started, event, -1, func(ctx context.Context, c *call) {
		c.hold, c.err = lock.TryAcquire(ctx)
		if c.hold == nil && c.err == nil {
			c.err = context.Canceled
		}
	})
}

// golock_etcd_release returns how the release has ended if the thread itself could end it, and
// otherwise begins a call and returns pending.
//
//export golock_etcd_release
func golock_etcd_release(handle C.uintptr_t, event C.uintptr_t, started *C.uintptr_t) C.int {
	hold := cgo.Handle(handle).Value().(*etcd.Hold)
	begun := hold.BeginRelease(drivenUntil(-1))
	if ended, err := begun.Ended(); ended {
		return outcome(err)
	}
	begin(started, event, -1, func(ctx context.Context, c *call) {
		c.err = begun.Finish(ctx)
	})
	return pending
}

// golock_etcd_discard releases a hold unless it was released, or closes a space, in the background,
// and forgets the handle. *handle becomes 0.
//
//export golock_etcd_discard
func golock_etcd_discard(handle *C.uintptr_t) {
	discarded := cgo.Handle(*handle)
	*handle = 0
	value := discarded.Value()
	discarded.Delete()
	if hold, ok := value.(*etcd.Hold); ok && errors.Is(hold.Check(), etcd.ErrReleased) {
		return
	}
	go func() {
		switch discarded := value.(type) {
		case *etcd.Hold:
			_ = discarded.Release(context.Background())
		case *space:
			discarded.opening.leave()
		}
	}()
}

//export golock_etcd_is_lost
func golock_etcd_is_lost(handle C.uintptr_t) C.bool {
	return C.bool(cgo.Handle(handle).Value().(*etcd.Hold).Lost())
}

// golock_etcd_describe returns a hold's key and revision as a JSON document, which is to be freed.
//
//export golock_etcd_describe
func golock_etcd_describe(handle C.uintptr_t) *C.char {
	hold := cgo.Handle(handle).Value().(*etcd.Hold)
	document, err := json.Marshal([]any{hold.Key(), hold.Revision()})
	if err != nil {
		panic(err)
	}
	return C.CString(string(document))
}

// golock_etcd_view says what this process knows of a lock: see golock_view.h.
//
//export golock_etcd_view
func golock_etcd_view(handle C.uintptr_t, view *C.struct_golock_etcd_view) {
	known := cgo.Handle(handle).Value().(*etcd.Lock).View()
	view.token, view.lease = C.int64_t(known.Token), C.int64_t(known.Lease)
	view.age, view.before = C.int64_t(known.Age), C.uint32_t(known.Before)
	write(view.endpoints[:], strings.Join(known.Endpoints, ","))
	if known.Own {
		view.flags |= C.GOLOCK_VIEW_OWN
	}
	if known.Lost {
		view.flags |= C.GOLOCK_VIEW_LOST
	}
	if known.Holder != nil {
		view.flags |= C.GOLOCK_VIEW_HELD
		view.process = C.uint32_t(known.Holder.PID)
		write(view.host[:], known.Holder.Host)
		write(view.program[:], known.Holder.Program)
	}
}

// write leaves at least the last byte of a text of C zero.
func write(to []C.char, text string) {
	for i := range min(len(to)-1, len(text)) {
		to[i] = C.char(text[i])
	}
}

//export golock_etcd_holder
func golock_etcd_holder(handle C.uintptr_t, nanoseconds C.int64_t, event C.uintptr_t,
	started *C.uintptr_t) {
	lock := cgo.Handle(handle).Value().(*etcd.Lock)
	begin(started, event, nanoseconds, func(ctx context.Context, c *call) {
		var process *etcd.Process
		if process, c.err = lock.Holder(ctx); process != nil {
			c.answer = process
		}
	})
}

// A step of a transaction: with a value it puts a key, without one it deletes or reads it.
type step struct {
	Do    string
	Key   []byte
	Value []byte
}

// golock_etcd_commit runs the steps of a transaction if the process still has the lock. The answer
// is a JSON document with the value that each step has read, or null.
//
//export golock_etcd_commit
func golock_etcd_commit(handle C.uintptr_t, document *C.char, nanoseconds C.int64_t,
	event C.uintptr_t, started *C.uintptr_t) {
	var steps []step
	if err := json.Unmarshal([]byte(C.GoString(document)), &steps); err != nil {
		panic(err)
	}
	hold := cgo.Handle(handle).Value().(*etcd.Hold)
	begin(started, event, nanoseconds, func(ctx context.Context, c *call) {
		operations := make([]clientv3.Op, len(steps))
		for i, each := range steps {
			key := string(each.Key)
			switch each.Do {
			case "put":
				operations[i] = clientv3.OpPut(key, string(each.Value))
			case "delete":
				operations[i] = clientv3.OpDelete(key)
			default:
				operations[i] = clientv3.OpGet(key)
			}
		}
		answer, err := hold.Commit(ctx, operations...)
		if err != nil {
			c.err = err
			return
		}
		values := make([]any, len(steps))
		for i, each := range answer.Responses {
			if read := each.GetResponseRange(); read != nil && len(read.Kvs) > 0 {
				values[i] = read.Kvs[0].Value
			}
		}
		c.answer = values
	})
}

// The holds that were lost, for the thread of Python that tells of them.
var lostHolds struct {
	sync.Mutex
	list []C.uintptr_t
}

// golock_etcd_tell adds a number to those that golock_etcd_next_lost returns, and sets an event,
// when a hold is lost.
//
//export golock_etcd_tell
func golock_etcd_tell(handle, number, event C.uintptr_t) {
	hold := cgo.Handle(handle).Value().(*etcd.Hold)
	signal, err := golock.EventAt(uintptr(event))
	if err != nil {
		return
	}
	go func() {
		<-hold.Done()
		if !hold.WasLost() {
			return
		}
		lostHolds.Lock()
		lostHolds.list = append(lostHolds.list, number)
		lostHolds.Unlock()
		signal.Set()
	}()
}

// golock_etcd_next_lost returns a number given to golock_etcd_tell, or 0.
//
//export golock_etcd_next_lost
func golock_etcd_next_lost() C.uintptr_t {
	lostHolds.Lock()
	defer lostHolds.Unlock()
	if len(lostHolds.list) == 0 {
		return 0
	}
	number := lostHolds.list[0]
	lostHolds.list = lostHolds.list[1:]
	return number
}
