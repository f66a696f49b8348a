/* The protocol of an event across processes, described in internal/process/event_linux.go.
 *
 * A step is one access to the word, or one system call: that of a set wakes all sleepers in the
 * step that sets the bit. Each thread is of a process of its own. It sets, clears and waits, and is
 * killed, or stopped for good, before any of its steps. The waits of goroutines are of one process,
 * which nobody kills, where one sleeps for all. Waits time out and are interrupted.
 *
 * The number of clears is modelled as in event.pml: the word's own stays 0, and a clear changes
 * that of all copies of the word.
 *
 *     THREADS  the number of threads, 2 to 4
 *     KILLS    how many of them are killed
 *     ROUNDS   the number of calls of each thread; without it, they never end
 */

/* Reads that only report a state to the user: */
	/* pyext/native/process/event.c golock_page_is_set: return load(page) & GOLOCK_PAGE_SET; */
	/* internal/process/event_linux.go IsSet: set := e.load()&Set != 0 */

#ifndef KILLS
#define KILLS 0
#endif

#define SET      1
#define SLEEPERS 2
#define OTHER    4 /* the number of clears differs from the word's */

#define over(initial, word) ((word & SET) != 0 || ((word ^ initial) & ~(SET | SLEEPERS)) != 0)

byte word;
byte initial[4];                      /* the word when the thread's wait began */
byte old[4];                          /* the word when the thread last looked */
bool asleep[4];                       /* on the word */
bool dead[4];
bool goes[4];                         /* neither idle, nor dead, nor blocked */
bool goroutine[4];                    /* waits as one */

/* The goroutines: one of them sleeps, and `woken` is the channel that it closes. */
bool sleeps;
bool entered[4];                      /* the goroutine has the channel, which is open */
bool relies[4];                       /* and is blocked on it */

/* State for the properties. */
bool is_set;
bool waits[4];
bool was_set[4];                      /* since the thread's wait began */

/* The properties. A wait returns true only if the event was set since it began, and false only if
 * its time has run out and it was not. When nobody goes on, nobody is blocked for whom the event
 * is, or was, set. While somebody sleeps on the word, it does not change. */
#define TRUE     assert(was_set[me])
#define FALSE    assert(expired && !was_set[me])
#define LOST(i)  ((asleep[i] || relies[i]) && (is_set || was_set[i]))
#define REST     goes[me] = false; \
	assert(goes[0] || goes[1] || goes[2] || goes[3] || \
		(!LOST(0) && !LOST(1) && !LOST(2) && !LOST(3)))
#define NOBODY_SLEEPS assert(!asleep[0] && !asleep[1] && !asleep[2] && !asleep[3])

#define IS_SET   is_set = true; \
	was_set[0] = waits[0]; was_set[1] = waits[1]; was_set[2] = waits[2]; was_set[3] = waits[3]

#define COUNT(i) initial[i] = initial[i] | OTHER; old[i] = old[i] | OTHER
#define LOOK     old[me] = word

#define WAKE(i) \
	if \
	:: asleep[i] -> asleep[i] = false; goes[i] = true \
	:: else \
	fi

#define CLOSE(i) \
	if \
	:: relies[i] -> relies[i] = false; goes[i] = true \
	:: else \
	fi; \
	entered[i] = false

	/* pyext/native/process/event.c golock_page_set: uint32_t old =
	   __atomic_fetch_or(golock_cell_word(page), 0, __ATOMIC_SEQ_CST); */
	/* pyext/native/process/event.c golock_page_set: return
	   golock_shared_set_and_wake_all(golock_cell_word(page)) < 0 ? -1 : 0; */
	/* pyext/native/process/event.c golock_page_set: if (compare_and_swap(page, &old, old |
	   GOLOCK_PAGE_SET)) { */
	/* pyext/native/process/event.c compare_and_swap: return
	   __atomic_compare_exchange_n(golock_cell_word(page), old, next, false, __ATOMIC_SEQ_CST, */
	/* pyext/native/process/futex.h golock_shared_set_and_wake_all: return syscall(SYS_futex,
	   word, FUTEX_WAKE_OP, INT_MAX, NULL, word, */
	/* internal/process/event_linux.go Set: old := atomic.OrUint32(word, 0) */
	/* internal/process/event_linux.go Set: return setAndWakeAll(word) */
	/* internal/process/event_linux.go setAndWakeAll: _, _, errno :=
	   unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 5, */
	/* internal/process/event_linux.go Set: if atomic.CompareAndSwapUint32(word, old, old|Set)
	   { */
inline set() {
	LOOK;
	do
	:: (old[me] & SET) != 0 -> break
	:: (old[me] & (SET | SLEEPERS)) == SLEEPERS ->
		atomic { word = word | SET; IS_SET; WAKE(0); WAKE(1); WAKE(2); WAKE(3) };
		break
	:: (old[me] & (SET | SLEEPERS)) == 0 ->
		atomic {
			if
			:: word == old[me] -> NOBODY_SLEEPS; word = word | SET; IS_SET; break
			:: else -> LOOK
			fi
		}
	od
}

	/* pyext/native/process/event.c load: return __atomic_load_n(golock_cell_word(page),
	   __ATOMIC_ACQUIRE); */
	/* pyext/native/process/event.c golock_page_clear: uint32_t old = load(page); */
	/* pyext/native/process/event.c golock_page_clear: if (compare_and_swap(page, &old, next +
	   GOLOCK_PAGE_CLEARED_ONCE)) { */
	/* internal/process/event_linux.go Clear: old := atomic.LoadUint32(word) */
	/* internal/process/event_linux.go Clear: if old&Set == 0 ||
	   atomic.CompareAndSwapUint32(word, old, next) { */
inline clear() {
	LOOK;
	do
	:: (old[me] & SET) == 0 -> break
	:: else ->
		atomic {
			if
			:: word == old[me] ->
				NOBODY_SLEEPS;
				word = word & ~(SET | SLEEPERS);
				COUNT(0); COUNT(1); COUNT(2); COUNT(3);
				is_set = false;
				break
			:: else -> LOOK
			fi
		}
	od
}

/* Announces a sleeper and sleeps, unless the word is another by now. */
	/* pyext/native/process/event.c wait: compare_and_swap(page, &word, word |
	   GOLOCK_PAGE_SLEEPERS)) { */
	/* pyext/native/process/event.c sleep_detached: result =
	   golock_shared_wait(golock_cell_word(page), word, deadline.at, EVENT_CHANNEL); */
	/* internal/process/event_linux.go sleep: if old&Sleepers == 0 &&
	   !atomic.CompareAndSwapUint32(word, old, old|Sleepers) { */
	/* internal/process/event_linux.go sleep: parkShared(word, old|Sleepers, channels,
	   core.Forever) */
inline sleep() {
	atomic {
		if
		:: (old[me] & SLEEPERS) == 0 && word == old[me] -> word = word | SLEEPERS; LOOK
		:: else
		fi
	};
	if
	:: (old[me] & SLEEPERS) != 0 ->
		atomic {
			if
			:: word == old[me] -> asleep[me] = true; REST
			:: else
			fi
		};
		if
		:: atomic { !asleep[me] }
		:: atomic { asleep[me] -> asleep[me] = false; goes[me] = true; expired = true }
		:: atomic { asleep[me] -> asleep[me] = false; goes[me] = true } /* interrupted */
		fi
	:: else
	fi
}

	/* pyext/native/process/event.c wait: const uint32_t initial = load(page); */
	/* pyext/native/process/event.c wait: uint32_t word = load(page); */
	/* internal/process/event_linux.go load: func (e *Event) load() uint32 { return
	   atomic.LoadUint32(e.page.memory.word()) } */
	/* internal/process/event_linux.go Wait: initial := e.load() */
	/* internal/process/event_linux.go Wait: for word := initial; ; word = e.load() { */
	/* internal/process/event_linux.go Wait: word = e.load() */
	/* internal/process/event_linux.go leave: close(e.woken) */
inline wait() {
	atomic { initial[me] = word; waits[me] = true; was_set[me] = is_set };
	do
	:: atomic { LOOK;
		if
		:: over(initial[me], old[me]) -> TRUE; break
		:: !over(initial[me], old[me]) && expired -> FALSE; break
		:: else
		fi };
		if
		:: !goroutine[me] -> sleep()
		:: goroutine[me] ->
			atomic { entered[me] = true; first = !sleeps; sleeps = true };
			LOOK;
			if
			:: first ->
				if
				:: over(initial[me], old[me])
				:: else -> sleep()
				fi;
				atomic { first = false; sleeps = false; CLOSE(0); CLOSE(1); CLOSE(2); CLOSE(3) }
			:: !first && over(initial[me], old[me])
			:: !first && !over(initial[me], old[me]) ->
				atomic {
					if
					:: entered[me] -> relies[me] = true; REST
					:: else
					fi
				};
				if
				:: atomic { !relies[me] }
				:: atomic { relies[me] -> relies[me] = false; goes[me] = true; expired = true }
				fi
			fi
		fi
	od;
	atomic { entered[me] = false; waits[me] = false; was_set[me] = false; initial[me] = 0;
		expired = false }
}

proctype thread(byte me) {
	bool expired, first;
#ifdef ROUNDS
	byte rounds;
#endif
	{
end_idle:	do
		::
#ifdef ROUNDS
			atomic { rounds < ROUNDS -> rounds++; goes[me] = true };
#else
			goes[me] = true;
#endif
			if
			:: set()
			:: clear()
			:: wait()
			:: goroutine[me] = true; wait(); goroutine[me] = false
			fi;
			atomic { old[me] = 0; REST }
#ifdef ROUNDS
		:: rounds == ROUNDS -> break
#endif
		od
	} unless { dead[me] }
}

/* Nobody kills goroutines, and the process of one that sleeps for others. */
#define kill(i) \
	:: atomic { i < THREADS && kills > 0 && !dead[i] && !goroutine[i] -> \
		kills--; dead[i] = true; asleep[i] = false; waits[i] = false; was_set[i] = false; \
		initial[i] = 0; old[i] = 0; goes[i] = false; \
		assert(goes[0] || goes[1] || goes[2] || goes[3] || \
			(!LOST(0) && !LOST(1) && !LOST(2) && !LOST(3))) }

init {
	byte kills = KILLS;
	atomic {
		run thread(0); run thread(1);
#if THREADS > 2
		run thread(2);
#endif
#if THREADS > 3
		run thread(3);
#endif
	};
end_kills:
	do
	kill(0)
	kill(1)
	kill(2)
	kill(3)
	od
}
