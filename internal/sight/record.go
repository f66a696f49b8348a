package sight

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Kind is the kind of what a goroutine waits for or takes, an enum golock_kind.
type Kind int

// The kinds.
const (
	KindLock Kind = 1 + iota
	KindSemaphore
	KindEvent
	KindCondition
	KindBarrier
)

// Tried is added to the kind of what a goroutine has taken and would not have waited for:
// GOLOCK_TRIED.
const Tried Kind = 0x100

// Waits is the least level at which waits are recorded: see enum golock_sight_level. At which owners
// are is for package core to know, whose fast paths depend on it.
const Waits = 1

// A Recorder records goroutines: see struct golock_sight.
type Recorder interface {
	Frame(file, function string, line int) uint32
	Stack(caller, frame uint32) uint32
	WaitBegins(word unsafe.Pointer, kind Kind, goroutine uint64, deadline int64,
		stack uint32) unsafe.Pointer
	WaitEnded(wait unsafe.Pointer, taken bool)
	Taken(word unsafe.Pointer, kind Kind, goroutine uint64, stack uint32)
	Released(word unsafe.Pointer, kind Kind, goroutine uint64, count uint32)
}

var (
	off      int32
	level    atomic.Pointer[int32]
	recorder atomic.Pointer[Recorder]
)

func init() { level.Store(&off) }

// Record lets goroutines be recorded from now on, at the level that is at this address.
func Record(r Recorder, at *int32) {
	recorder.Store(&r)
	level.Store(at)
}

// Records reports whether what belongs to the level is recorded.
func Records(l int32) bool { return atomic.LoadInt32(level.Load()) >= l }

// Unknown is the deadline of a wait that may end before its time by a context.
const Unknown = forever - 1

const forever = int64(1<<63 - 1)

// WaitBegins records that the goroutine waits for the word. Call it if [Waits] are recorded, and
// WaitEnded with what it returns.
func WaitBegins(ctx context.Context, word *uint32, kind Kind, deadline int64) unsafe.Pointer {
	if ctx.Done() != nil {
		deadline = min(deadline, Unknown)
	}
	r := *recorder.Load()
	return r.WaitBegins(unsafe.Pointer(word), kind, goroutine(), deadline, stack(r, mostFrames))
}

// WaitEnded records the end of a wait, and whether the goroutine got what it waited for.
func WaitEnded(wait unsafe.Pointer, got bool) {
	if wait != nil {
		(*recorder.Load()).WaitEnded(wait, got)
	}
}

// Taken records that the goroutine has taken a lock or a permit, set an event or notified a
// condition. Call it if owners are recorded.
func Taken(word *uint32, kind Kind) {
	if p := recorder.Load(); p != nil {
		(*p).Taken(unsafe.Pointer(word), kind, goroutine(), stack(*p, 1))
	}
}

// Released records that the goroutine releases a lock, or this many permits. Call it if owners are
// recorded, before the release.
func Released(word *uint32, kind Kind, count uint32) {
	if p := recorder.Load(); p != nil {
		(*p).Released(unsafe.Pointer(word), kind, goroutine(), count)
	}
}

// goroutine returns the number of the calling goroutine, which its traceback begins with.
func goroutine() uint64 {
	var buffer [64]byte
	text := bytes.TrimPrefix(buffer[:runtime.Stack(buffer[:], false)], []byte("goroutine "))
	number := uint64(0)
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			break
		}
		number = 10*number + uint64(digit-'0')
	}
	return number
}

const (
	mostFrames = 64
	mostKnown  = 1 << 14
)

// The frames of return addresses, innermost first. A call that was inlined is a frame too.
var known struct {
	sync.RWMutex
	of map[uintptr][]uint32
}

// stack returns the stack of the caller of golock, its innermost frames.
func stack(r Recorder, frames int) uint32 {
	var pcs [mostFrames + 8]uintptr
	all := make([]uint32, 0, mostFrames)
	for _, pc := range pcs[:runtime.Callers(3, pcs[:])] {
		all = append(all, framesOf(r, pc)...)
		if len(all) >= frames {
			all = all[:frames]
			break
		}
	}
	index := uint32(0)
	for i := len(all) - 1; i >= 0; i-- {
		index = r.Stack(index, all[i])
	}
	return index
}

// framesOf returns the frames of a return address, without those of golock and of Go's runtime.
func framesOf(r Recorder, pc uintptr) []uint32 {
	known.RLock()
	frames, ok := known.of[pc]
	known.RUnlock()
	if ok {
		return frames
	}
	for each := runtime.CallersFrames([]uintptr{pc}); ; {
		frame, more := each.Next()
		if frame.Function != "" && !isOwn(frame.Function) {
			frames = append(frames, r.Frame(frame.File, frame.Function, frame.Line))
		}
		if !more {
			break
		}
	}
	known.Lock()
	defer known.Unlock()
	if known.of == nil {
		known.of = make(map[uintptr][]uint32)
	}
	if len(known.of) < mostKnown {
		known.of[pc] = frames
	}
	return frames
}

func isOwn(function string) bool {
	name, ok := strings.CutPrefix(function, "github.com/golock/golock/")
	return strings.HasPrefix(function, "runtime.") ||
		ok && (strings.HasPrefix(name, "golock.") || strings.HasPrefix(name, "internal/"))
}
