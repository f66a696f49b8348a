/* The protocol of those who listen, at a condition or a barrier: golock/listener.go tells it, this model
 * checks it for a condition, as lock.pml does for the lock word.
 *
 * A step is one access to the word or to what a listener is told, one call of the kernel, or one taking of a
 * mutex. What is done between is done under the mutex of the list. Each thread waits and notifies again and
 * again; its waits run out of time, are interrupted, and end for no reason at any point, and the memory of a
 * listener is another's, at the same address, as soon as its wait has returned. Goroutines wait in the same
 * steps: their channel is closed where a thread is woken.
 *
 *     THREADS  how many threads, 2 to 4
 *     ROUNDS   how many calls each of them makes; without it, they never end
 *     FORK     the word begins as one that fork copied, with the number of those who listened in another
 *              process; thread 0 may have forked in a signal handler while it waited
 */

/* Reads that only choose the way to one of the steps below, or tell a user what was: */
	/* golock/condition.go Waiting: func (c *Condition) Waiting() int { return int(atomic.LoadUint32(&c.word)) } */
	/* golock/barrier.go Waiting: func (b *Barrier) Waiting() int { return int(atomic.LoadUint32(&b.word)) } */
	/* golock/barrier.go Wait: told := atomic.LoadUint32(&listener.told) */
	/* pyext/barrier.c waiting: return __atomic_load_n(&self->word, __ATOMIC_RELAXED); */
/* Writes to a word that nobody else knows: */
	/* pyext/core.c golock_core_forgets: __atomic_and_fetch(word, keep, __ATOMIC_RELAXED); */
	/* pyext/condition.c condition_at_fork_reinit: __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED); */

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
bool inherited;                    /* thread 0 waits below a handler that has forked: pyext/listen.c */
#define LOADED loaded = true
#else
#define stale  false
#define LOADED skip
#define tells  notify
#endif

/* What the properties need. */
bool exists[4];                    /* the memory of the thread's listener */
chan came = [THREADS] of { byte }; /* who waits, in the order in which they came, and has not been told */
byte given;                        /* notifications whose waiters have not returned */
/* The properties. While nobody has the mutex, the word says how many are in the list. First come is first
 * told, and none is told whose memory is another's. What one was told it returns or passes on. Who
 * notifies with the lock held tells as many as it means, of all who have begun to wait; one that has forked
 * begins again when the child's core knows of it. When nobody is under way, nobody is asleep that was told
 * something, or never will be. */
#define WRITE(next) RIGHT; word = next; assert(mutex || NUMBER)
#ifdef FORK
#define RIGHT       stale = false
#define TELLS       came??eval(first) /* one that has forked listens again behind others */
#else
#define RIGHT       skip
#define TELLS       assert(came?[eval(first)]); came?eval(first)
#endif
#define NUMBER      (stale || word == len(list))
#define UNLOCK      assert(NUMBER); mutex = false
#define DEAF(i)     (asleep[i] && (!list??[i] || told[i]))
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

#ifdef FORK
	if
	:: forked -> goto again
	:: else
	fi;
#endif

end_idle:
	atomic {
#ifdef ROUNDS
		round < ROUNDS -> round++;
#endif
		busy++;
		if
		:: goto lock
		:: timed = true; goto lock
		:: n = 1; goto look
		:: n = 1; locked = true; goto lock
		:: n = 2; locked = true; goto lock
		:: n = EVERYONE; locked = true; goto lock
		fi
	}

lock:
	atomic {
		holder == 0 -> holder = me + 1;
		if
		:: locked -> goto look
		:: !locked -> exists[me] = true; came!me; goto listen
		fi
	}

#ifdef FORK
again: /* in the child process, when the handler has returned */
	if
	:: true
	:: atomic { raises = true; inherited = false; goto reacquire } /* pyext/listen.c sleep_until_told: if (Py_MakePendingCalls() < 0 || listen_again(state, word, listening) < 0) { */
	fi;
	/* One step: nobody looks for those inherited meanwhile. */
	atomic {
		!mutex -> /* pyext/listen.c listen_again: pthread_mutex_lock(&inherited.mutex); */
		if
		:: told[me]
		:: !told[me] -> LOADED; list!me; came!me; WRITE(len(list)) /* pyext/listen.c listen_again: int result = told(listening) != 0 ? 0 : golock_listen(state, word, listening); */
		fi;
		inherited = false; /* pyext/listen.c disinherit: __atomic_store_n(&inherited.first, listening->outer, __ATOMIC_RELAXED); */
		forked = false;
		goto awaits
	}
#endif

listen: /* golock/listener.go Listen: func Listen(word *uint32, listener *Listener) { */
	atomic {
		!mutex -> mutex = true; /* golock/listener.go listOf: s.Lock() */
		LOADED;
		list!me /* golock/listener.go Listen: l.push(listener) */
	}
	atomic { WRITE(len(list)); UNLOCK } /* golock/listener.go write: atomic.StoreUint32(word, l.length) */

unlock:
	atomic {
		assert(holder == me + 1);
		holder = 0 /* golock/condition.go Wait: c.L.Unlock() */
	}

awaits: /* pyext/listen.c sleep_until_told: while (in_time && told(listening) == 0) { */
	if
	:: told[me] -> goto reacquire /* pyext/listen.c told: return __atomic_load_n(&listening->listener.told, __ATOMIC_ACQUIRE); */
	:: !told[me]
	fi;

sleep:
	atomic {
		if
		:: !told[me] -> asleep[me] = true; REST /* pyext/listen.c sleep_detached: long result = syscall(SYS_futex, &listening->listener.told, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, */
		:: told[me] -> goto awaits
		:: raises = true; goto reacquire /* pyext/listen.c sleep_until_told: if (Py_MakePendingCalls() < 0 || listen_again(state, word, listening) < 0) { */
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
	atomic { holder == 0 -> holder = me + 1 } /* golock/condition.go Wait: c.L.Lock() */

withdraw: /* golock/listener.go Withdraw: func Withdraw(word *uint32, listener *Listener) uint32 { */
	if
	:: told[me] -> goto returns /* pyext/listen.c golock_withdraw: if (told(listening) == 0 && listening->core != NULL && listening->core == golock_core_loaded()) { */
	:: !told[me] && !forked
	:: !told[me] && forked -> goto returns
	fi;
	atomic {
		!mutex -> mutex = true;
		if
		:: told[me] -> UNLOCK; goto returns /* golock/listener.go Withdraw: if listener.told == 0 { */
		:: else -> assert(list??[eval(me)]); list??eval(me); came??eval(me) /* golock/listener.go Withdraw: l.remove(listener) */
		fi
	}
	atomic { WRITE(len(list)); UNLOCK }

returns:
	atomic {
		exists[me] = false;
		assert(holder == me + 1);
		locked = true;
		if
		:: raises && told[me] -> told[me] = false; given--; n = 1; goto tells /* pyext/condition.c wait_without_lock: pass_on(self); */
		:: !raises && told[me] -> told[me] = false; given--; goto done /* pyext/condition.c wait_without_lock: return golock_withdraw(&self->word, listening) != 0; */
		:: !told[me] -> goto done
		fi
	}

look:
	atomic {
		assert(!locked || mutex || stale || word == len(came));
		if
		:: word == 0 -> goto done
			/* golock/condition.go Notify: if n > 0 && atomic.LoadUint32(&c.word) != 0 { */
			/* pyext/condition.c waiting: return __atomic_load_n(&self->word, __ATOMIC_RELAXED); */
		:: word != 0 && n == 2 && word < 2 -> n = 1
		:: word != 0 && !(n == 2 && word < 2)
		fi
	}

#ifdef FORK
tells:
	atomic {
		if
		:: inherited && !told[0] -> told[0] = true; given++; n--
			/* pyext/listen.c golock_has_inherited: return __atomic_load_n(&inherited.first, __ATOMIC_RELAXED) != NULL; */
			/* pyext/listen.c notify_inherited: __atomic_store_n(&each->listener.told, what, __ATOMIC_RELEASE); */
		:: else
		fi
	}
	atomic {
		if
		:: loaded -> goto notify
		:: !loaded -> WRITE(0); goto done /* pyext/listen.c golock_notify: if (golock_core_forgets(word, 0)) { */
		fi
	}
#endif

notify: /* golock/listener.go Notify: func Notify(word *uint32, n, told uint32) uint32 { */
	atomic {
		!mutex -> mutex = true;
		first = NOBODY;
		count = 0;
		do /* golock/listener.go Notify: first := l.take(n) */
		:: count < n && len(list) > 0 ->
			list?most;
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
		old = 0
	}
	atomic { WRITE(len(list)) }

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
		if
		:: holder == me + 1 -> holder = 0
		:: else
		fi;
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
		word = 1;
		if
		:: inherited = true; exists[0] = true; busy = 1; run Thread(0, true); i = 1
		:: true
		fi;
#endif
		do
		:: i < THREADS -> run Thread(i, false); i++
		:: else -> break
		od
	}
}
