/* The protocol of those who listen, at a condition or at an event: golock/listener.go tells it, this model
 * checks it, as lock.pml does for the lock word.
 *
 * A step is one access to the word or to what a listener is told, one call of the kernel, or one taking of a
 * mutex. What is done between is done under the mutex of the list. Each thread waits and notifies again and
 * again; its waits run out of time, are interrupted, and end for no reason at any point, and the memory of a
 * listener is another's, at the same address, as soon as its wait has returned. Goroutines wait in the same
 * steps: their channel is closed where a thread is woken.
 *
 *     THREADS  how many threads, 2 to 4
 *     ROUNDS   how many calls each of them makes; without it, they never end
 *     EVENT    they wait at an event, and set and clear it; otherwise at a condition, over a lock
 *     FORK     the word may begin as one that fork copied, with the number of those who listened in another
 *              process; thread 0 may have forked in a signal handler while it waited
 */

/* Reads that only choose the way to one of the steps below, or tell a user what was: */
	/* golock/condition.go Waiting: func (c *Condition) Waiting() int { return int(atomic.LoadUint32(&c.word) / Listening) } */
	/* golock/event.go IsSet: func (e *Event) IsSet() bool { return atomic.LoadUint32(&e.word)&Set != 0 } */
	/* golock/barrier.go Waiting: func (b *Barrier) Waiting() int { return int(atomic.LoadUint32(&b.word) / Listening) } */
	/* golock/barrier.go Wait: told := atomic.LoadUint32(&listener.told) */
	/* pyext/barrier.c waiting: return __atomic_load_n(&self->word, __ATOMIC_RELAXED) / GOLOCK_LISTENING; */
/* Writes to a word that nobody else knows: */
	/* pyext/event.c event_init: __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED); */
	/* pyext/condition.c condition_at_fork_reinit: __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED); */
	/* pyext/event.c event_at_fork_reinit: __atomic_and_fetch(&self->word, GOLOCK_SET, __ATOMIC_RELAXED); */

#define SET       1
#define LISTENING 2
#define NOBODY    THREADS
#define EVERYONE  THREADS

byte word;
chan list = [THREADS] of { byte }; /* of those who listen, in the core */
bool mutex;                        /* of the list: locked */
byte behind[4];              /* links those that were taken out of the list together */
bool told[4];
bool asleep[4];
byte holder;                       /* 1 + the thread that has the lock of the condition, or 0 */
byte busy;                         /* threads that are neither idle nor asleep */

#ifdef FORK
bool loaded;                       /* this process has a core */
bool stale;                        /* the number in the word is that of another process */
#define LOADED loaded = true
#else
#define loaded true
#define stale  false
#define LOADED skip
#endif

#ifdef EVENT
#define BITS SET /* golock/listener.go SetEvent: func SetEvent(word *uint32) uint32 { return notify(word, Everyone, Told, Set) } */
#else
#define BITS 0   /* golock/listener.go Notify: func Notify(word *uint32, n, told uint32) uint32 { return notify(word, n, told, 0) } */
#endif

/* What the properties need. */
bool exists[4];                    /* the memory of the thread's listener */
chan came = [THREADS] of { byte }; /* who waits, in the order in which they came, and has not been told */
byte given;                        /* notifications whose waiters have not returned */
#ifdef EVENT
bool is_set;                       /* somebody has set the event, and nobody cleared it after */
byte listening;                    /* those who listen, a bit each */
byte owed[4];                      /* those of them who did when the thread began to set the event */
#define COMES    true
#define LISTENS      listening = listening | 1 << me
#define RELIEVED(i)  \
	listening = listening & ~(1 << i); \
	owed[0] = owed[0] & ~(1 << i); owed[1] = owed[1] & ~(1 << i); \
	owed[2] = owed[2] & ~(1 << i); owed[3] = owed[3] & ~(1 << i)
#define SETS         is_set = is_set || BITS == SET
#define SETTING      owed[me] = listening
#define HAS_SET      assert(owed[me] == 0)
#else
#define COMES    forked
#define SETS         skip
#define is_set       false
#define LISTENS      skip
#define RELIEVED(i)  skip
#define HAS_SET      skip
#endif

/* The properties. While nobody has the mutex, the word says how many are in the list. First come is first
 * told, and none is told whose memory is another's. What one was told it returns or passes on. Who
 * notifies with the lock held tells as many as it means, of all who have begun to wait. Who has listened
 * before an event is set is told, also when it is cleared at once. When nobody is under way, nobody is
 * asleep that was told something, or never will be, or whose event is set. */
#define WRITE(next) RIGHT; MARK(next)
#define MARK(next)  word = next; assert(mutex || NUMBER); assert(((word & SET) != 0) == is_set)
#ifdef FORK
#define RIGHT       stale = false
#define TELLS       came??eval(first) /* one that has forked listens again without the lock */
#else
#define RIGHT       skip
#define TELLS       assert(came?[eval(first)]); came?eval(first)
#endif
#define NUMBER      (stale || word / LISTENING == len(list))
#define UNLOCK      assert(NUMBER); mutex = false
#define DEAF(i)     (asleep[i] && (!list??[i] || told[i] || (word & SET) != 0))
#define REST \
	busy--; \
	assert(busy > 0 || (!mutex && holder == 0 && given == 0 && !DEAF(0) && !DEAF(1) && !DEAF(2) && !DEAF(3)))

/* FUTEX_WAKE, on what i was told. It finds whoever sleeps at that address. */
#define WAKE(i) \
	if \
	:: asleep[i] -> asleep[i] = false; busy++ \
	:: else \
	fi

proctype Thread(byte me; bool forked)
{
	byte old, n, most, first, count;
	bool timed, raises, locked;
#ifdef ROUNDS
	byte round;
#endif

	if
	:: forked -> goto again
	:: else
	fi;

end_idle:
	atomic {
#ifdef ROUNDS
		round < ROUNDS -> round++;
#endif
		busy++;
#ifdef EVENT
		if
		:: goto wait
		:: timed = true; goto wait
		:: SETTING; goto set
		:: SETTING; goto set_slow
		:: goto clear
		fi
#else
		if
		:: goto lock
		:: timed = true; goto lock
		:: n = 1; goto look
		:: n = 1; locked = true; goto lock
		:: n = 2; locked = true; goto lock
		:: n = EVERYONE; locked = true; goto lock
		fi
#endif
	}

#ifdef EVENT
set: /* golock/event.go Set: func (e *Event) Set() { */
	atomic {
		if
		:: word == 0 -> SETS; MARK(SET); goto done
			/* golock/event.go Set: if !atomic.CompareAndSwapUint32(&e.word, 0, Set) && !e.IsSet() { */
			/* pyext/event.c fast_set: return golock_fastpath && (__atomic_compare_exchange_n(&self->word, &old, GOLOCK_SET, false, */
		:: word == SET -> goto done
		:: word != 0 -> goto set_slow
		fi
	}

set_slow:
	atomic {
		n = EVERYONE;
		if
		:: loaded -> goto notify
		:: !loaded -> WRITE(word & SET); goto set /* pyext/event.c set_slow: if (golock_core_absent(&self->word, GOLOCK_SET) && fast_set(self)) { */
		:: LOADED; goto notify
		fi
	}

clear:
	atomic {
		is_set = false;
		MARK(word & ~SET);
			/* golock/event.go Clear: func (e *Event) Clear() { atomic.AndUint32(&e.word, listeningMask) } */
			/* pyext/event.c clear: __atomic_and_fetch(&self->word, ~GOLOCK_SET, __ATOMIC_RELAXED); */
		goto done
	}

wait:
	atomic {
		if
		:: (word & SET) != 0 -> goto done /* pyext/event.c is_set: return __atomic_load_n(&self->word, __ATOMIC_ACQUIRE) & GOLOCK_SET; */
		:: else -> goto listen
		fi
	}
#else
lock:
	atomic {
		holder == 0 -> holder = me + 1;
		if
		:: locked -> goto look
		:: !locked -> came!me; goto listen
		fi
	}
#endif

again: /* pyext/listen.c golock_await: int listens = golock_listen(state, word, listening); */
	atomic {
		busy++;
		goto listen
	}

listen: /* golock/listener.go Listen: func Listen(word *uint32, listener *Listener) bool { */
	atomic {
		!mutex -> mutex = true; /* golock/listener.go listOf: s.Lock() */
		LOADED;
		exists[me] = true;
		list!me; /* golock/listener.go Listen: l.push(listener) */
		if
		:: COMES -> came!me
		:: else
		fi;
		old = word /* golock/listener.go write: old := atomic.LoadUint32(word) */
	}
	atomic {
		do
		:: (old & SET) != 0 -> list??eval(me); came??eval(me); old = 0; UNLOCK; goto returns /* golock/listener.go Listen: l.remove(listener) */
		:: (old & SET) == 0 && word != old -> old = word
		:: (old & SET) == 0 && word == old -> WRITE(len(list) * LISTENING); LISTENS; old = 0; UNLOCK; break
			/* golock/listener.go write: if atomic.CompareAndSwapUint32(word, old, old&Set|bits|l.length*Listening) { */
		od
	}

#ifndef EVENT
unlock:
	atomic {
		if
		:: forked -> forked = false /* it has unlocked before */
		:: !forked -> assert(holder == me + 1); holder = 0 /* golock/condition.go Wait: c.L.Unlock() */
		fi
	}
#endif

awaits: /* pyext/listen.c golock_await: while (in_time && told(listening) == 0) { */
	if
	:: told[me] -> goto reacquire /* pyext/listen.c told: return __atomic_load_n(&listening->listener.told, __ATOMIC_ACQUIRE); */
	:: !told[me]
	fi;

sleep:
	atomic {
		if
		:: !told[me] -> asleep[me] = true; REST /* pyext/listen.c sleep_detached: long result = syscall(SYS_futex, &listening->listener.told, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, */
		:: told[me] -> goto awaits
		:: raises = true; goto reacquire /* pyext/listen.c golock_await: if (Py_MakePendingCalls() < 0) { */
		fi
	}

end_sleeps: /* for ever, if nobody notifies */
	atomic {
		if
		:: !asleep[me] -> goto awaits
		:: asleep[me] && timed -> asleep[me] = false; busy++; goto reacquire
		:: asleep[me] -> asleep[me] = false; busy++; goto awaits /* a signal, or a wake for another listener that lived here */
		fi
	}

reacquire:
#ifndef EVENT
	atomic { holder == 0 -> holder = me + 1 } /* golock/condition.go Wait: c.L.Lock() */
#endif

withdraw: /* golock/listener.go Withdraw: func Withdraw(word *uint32, listener *Listener) uint32 { */
	if
	:: told[me] -> goto returns /* pyext/listen.c golock_withdraw: if (told(listening) == 0 && listening->core != NULL && listening->core == golock_core_loaded()) { */
	:: !told[me]
	fi;
	atomic {
		!mutex -> mutex = true;
		if
		:: told[me] -> UNLOCK; goto returns /* golock/listener.go Withdraw: if listener.told == 0 { */
		:: else -> assert(list??[eval(me)]); list??eval(me); came??eval(me); old = word /* golock/listener.go Withdraw: l.remove(listener) */
		fi
	}
	atomic {
		do
		:: word != old -> old = word
		:: word == old -> WRITE((old & SET) + len(list) * LISTENING); RELIEVED(me); old = 0; UNLOCK; break
		od
	}

returns:
	atomic {
		exists[me] = false;
#ifdef EVENT
		given = given - told[me];
		told[me] = false;
		goto done
#else
		assert(holder == me + 1);
		locked = true;
		if
		:: raises && told[me] -> told[me] = false; given--; n = 1; goto notify /* pyext/condition.c wait_without_lock: pass_on(self); */
		:: !raises && told[me] -> told[me] = false; given--; goto done /* pyext/condition.c wait_without_lock: return golock_withdraw(&self->word, listening) != 0; */
		:: !told[me] -> goto done
		fi
#endif
	}

#ifndef EVENT
look:
	atomic {
		assert(!locked || mutex || stale || word / LISTENING == len(came));
		if
		:: word / LISTENING == 0 -> goto done
			/* golock/condition.go Notify: if n > 0 && atomic.LoadUint32(&c.word) != 0 { */
			/* pyext/condition.c waiting: return __atomic_load_n(&self->word, __ATOMIC_RELAXED) / GOLOCK_LISTENING; */
		:: word / LISTENING != 0 && n == 2 && word / LISTENING < 2 -> n = 1
		:: word / LISTENING != 0 && !(n == 2 && word / LISTENING < 2)
		fi;
		if
		:: loaded -> goto notify
		:: !loaded -> WRITE(0); goto done /* pyext/listen.c golock_notify: if (golock_core_absent(word, GOLOCK_SET)) { */
		fi
	}
#endif

notify: /* golock/listener.go notify: func notify(word *uint32, n, told, bits uint32) uint32 { */
	atomic {
		!mutex -> mutex = true;
		first = NOBODY;
		count = 0;
		do /* golock/listener.go notify: first := l.take(n) */
		:: count < n && len(list) > 0 ->
			list?most;
			RELIEVED(most);
			behind[most] = NOBODY;
			if
			:: first == NOBODY -> first = most
			:: else -> behind[old] = most
			fi;
			old = most;
			count++
		:: else -> break
		od;
		most = 0;
		old = word
	}
	atomic {
		do
		:: word != old -> old = word
		:: word == old -> SETS; WRITE((old & SET | BITS) + len(list) * LISTENING); old = 0; break
		od
	}

tell: /* golock/listener.go tell: for listener := first; listener != nil; { */
	do
	:: first != NOBODY ->
		atomic {
			assert(exists[first] && !told[first]);
			old = behind[first]; /* golock/listener.go tell: next, turn := listener.next, listener.turn */
			told[first] = true; /* golock/listener.go tell: atomic.StoreUint32(&listener.told, told) */
			given++;
			TELLS
		}
		atomic {
			WAKE(first); /* golock/listener.go tell: wake(&listener.told, channelAny) */
			first = old;
			old = 0
		}
	:: first == NOBODY -> break
	od;
	atomic {
		first = 0;
		UNLOCK;
		assert(!locked || count >= n || len(came) == 0);
		goto done
	}

done:
	atomic {
#ifdef EVENT
		HAS_SET;
#else
		if
		:: holder == me + 1 -> holder = 0
		:: else
		fi;
#endif
		old = 0; n = 0; count = 0; timed = false; raises = false; locked = false; forked = false;
		REST
	}
	goto end_idle
}

init
{
	byte i;
	atomic {
#ifdef FORK
		stale = true;
		word = LISTENING;
#ifdef EVENT
		if
		:: word = word | SET; is_set = true
		:: true
		fi;
#endif
#endif
#ifdef FORK
		if
		:: run Thread(0, true); i = 1
		:: true
		fi;
#endif
		do
		:: i < THREADS -> run Thread(i, false); i++
		:: else -> break
		od
	}
}
