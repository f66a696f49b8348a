/* The protocol of listeners at a condition or a barrier, described in internal/core/listener.go.
 * pyext/native/waiting/notify.c has it for Python, with the GIL as the mutex of the list. This
 * model is that of a condition.
 *
 * A step is one access to the word or to a notification, one system call, or one locking of a
 * mutex. Work with the list locked is one step. Each thread waits and notifies repeatedly. Its
 * waits time out, are interrupted, or end for no reason at any point, and the memory of a listener
 * is reused, at the same address, as soon as its wait has returned. A goroutine's channel is closed
 * where a thread is woken.
 *
 *     THREADS  the number of threads, 2 to 4
 *     ROUNDS   the number of calls of each thread; without it, they never end
 *     OPEN     once, at any point, a thread opens the condition: each listener gets a lock, which
 *              represents it among the interpreter's _waiters, and waits for that; notify releases
 *              such locks
 *     MOVE     notify moves a sleeping thread to the word of the condition's lock, whose release
 *              wakes it. Of that word only the part that concerns moved threads is modelled;
 *              lock.pml has the rest
 *     ROLES    thread 0 waits and the others notify, which makes fewer states
 *     SPIN     a thread may spin before it sleeps; its notifier then wakes nobody
 */

/* Reads that only select one of the steps below, or report a state to the user: */
	/* golock/condition.go Waiting: func (c *Condition) Waiting() int { return
	   int(atomic.LoadUint32(&c.word)) } */
	/* golock/barrier.go Waiting: func (b *Barrier) Waiting() int { return
	   int(atomic.LoadUint32(&b.word)) } */
	/* internal/core/listener.go Notification: func (l *Listener) Notification() uint32 { return
	   atomic.LoadUint32(&l.notification) } */
	/* pyext/native/waiting/spin.c golock_spin_while: } while (((__atomic_load_n(word,
	   __ATOMIC_ACQUIRE) ^ was) & mask) == 0); */
	/* pyext/native/waiting/notify.c golock_count_listeners: return is_own ?
	   __atomic_load_n(&listeners->length, __ATOMIC_RELAXED) : 0; */
	/* pyext/native/waiting/notify.c golock_count_listeners: const bool is_own =
	   __atomic_load_n(&listeners->process, __ATOMIC_RELAXED) == process; */
/* A child process begins with an empty list: */
	/* pyext/native/waiting/notify.c forget_the_parents: if
	   (__atomic_load_n(&listeners->process, __ATOMIC_RELAXED) != process) { */
	/* pyext/native/waiting/notify.c forget_the_parents:
	   __atomic_store_n(&listeners->process, process, __ATOMIC_RELAXED); */
	/* pyext/native/waiting/notify.c forget_the_parents: __atomic_store_n(&listeners->length, 0,
	   __ATOMIC_RELAXED); */
/* The mutex of a list in C without a GIL, and the pointer from a listener to its list, which a
 * withdrawing listener checks: */
	/* pyext/native/waiting/notify.c end_record: (listeners =
	   __atomic_load_n(&listener->listeners, __ATOMIC_ACQUIRE)) != NULL) { */
	/* pyext/native/waiting/notify.c lock_threads: while (__atomic_exchange_n(&listeners->locked,
	   true, __ATOMIC_ACQUIRE)) { */
	/* pyext/native/waiting/notify.c unlock_threads: __atomic_store_n(&listeners->locked, false,
	   __ATOMIC_RELEASE); */
	/* pyext/native/waiting/notify.c unlink_listener: __atomic_store_n(&listener->listeners,
	   NULL, __ATOMIC_RELEASE); */
	/* pyext/native/waiting/notify.c link_listener: __atomic_store_n(&listener->listeners,
	   listeners, __ATOMIC_RELAXED); */
	/* pyext/native/waiting/notify.c golock_move_listeners: __atomic_store_n(&each->listeners,
	   to, __ATOMIC_RELEASE); */

#ifdef ROLES
#define WAITS     (me == 0)
#define NOTIFIES  (me != 0)
#else
#define WAITS     true
#define NOTIFIES  true
#endif

#define NOBODY    THREADS
#define EVERYONE  THREADS

byte word;
chan list = [THREADS] of { byte }; /* the listeners, in the core */
bool mutex;                        /* of the list: it is locked */
byte behind[4];              /* links the listeners that were removed together */
bool notified[4];
#ifdef SPIN
bool spins[4];               /* instead of a notification */
#define NOT_SPINNING(i) spins[i] = false
#else
#define NOT_SPINNING(i) skip
#endif
#ifdef OPEN
bool opened;
chan waiters = [THREADS] of { byte }; /* the interpreter's, of listeners whose locks are held */
bool given_lock[4];                   /* the listener waits for its lock */
bool on_lock[4];                      /* and sleeps on it */
bool free[4];                         /* which notify has released */
#endif
#ifdef MOVE
bool moved[4];                     /* the thread sleeps on the lock's word */
bool designated[4];                      /* and was woken there */
bool waiters, named;               /* bits of the lock's word */
#define BACK_TO_WAIT 0
#define BACK_TO_REST 1
#define BACK_TO_NOTIFY 2
#define FORGET_MOVE      moved[me] = false;
#define moved_one(i) :: asleep[i] && moved[i] -> asleep[i] = false; moved[i] = false; \
	designated[i] = true; busy++
#if THREADS == 2
#define some_moved   (asleep[0] && moved[0] || asleep[1] && moved[1])
#define wake_moved   moved_one(0) moved_one(1)
#else
#define some_moved   (asleep[0] && moved[0] || asleep[1] && moved[1] || asleep[2] && moved[2])
#define wake_moved   moved_one(0) moved_one(1) moved_one(2)
#endif
#else
#define FORGET_MOVE
#endif
bool asleep[4];
byte holder;                       /* 1 + the thread that has the condition's lock, or 0 */
byte busy;                         /* the number of threads that are not idle or asleep */


/* State for the properties. */
bool exists[4];                    /* the memory of the thread's listener */
chan arrivals = [THREADS] of { byte };
	/* the waiters without a notification, in the order of arrival */
byte pending;
	/* the number of notifications whose waiters have not returned */
/* The properties. While the mutex is free, the word is the length of the list. The first to arrive
 * is the first to be notified, and no listener is notified whose memory is reused. A notification
 * is returned or passed on. A notifier that holds the lock notifies as many as it was asked to, of
 * all that have begun to wait. When nobody is on the way, nobody is asleep that was notified or
 * never will be. */
#define WRITE(next) word = next; assert(mutex || NUMBER)
#define NOTIFIED_IN_ORDER       assert(arrivals?[eval(first)]); arrivals?eval(first)
#define NUMBER      (word == len(list))
#define UNLOCK      assert(NUMBER); mutex = false
#ifdef OPEN
#define LOST(i)     (asleep[i] && \
	(given_lock[i] -> !on_lock[i] || free[i] || !waiters??[i] : opened || notified[i]))
#else
#define LOST(i)     (asleep[i] && (!list??[i] || notified[i]))
#endif
#define REST \
	busy--; \
	assert(busy > 0 || (!mutex && holder == 0 && pending == 0 && \
		!LOST(0) && !LOST(1) && !LOST(2) && !LOST(3)))

/* FUTEX_WAKE, on the notification of i. It wakes whoever sleeps at that address. */
#define WAKE(i) \
	if \
	:: asleep[i] -> asleep[i] = false; busy++ \
	:: else \
	fi

proctype Thread(byte me)
{
	byte old, n, most, first, count;
	bool timed, raises, locked;
#ifdef MOVE
	byte back;
#endif
#ifdef ROUNDS
	byte round;
#endif


end_idle:
	atomic {
#ifdef ROUNDS
		round < ROUNDS -> round++;
#endif
		busy++;
		if
		:: WAITS -> goto lock
		:: WAITS -> timed = true; goto lock
		:: NOTIFIES -> n = 1; goto look
		:: NOTIFIES -> n = 1; locked = true; goto lock
		:: NOTIFIES -> n = 2; locked = true; goto lock
		:: NOTIFIES -> n = EVERYONE; locked = true; goto lock
#ifdef OPEN
		:: !opened -> goto open
#endif
		fi
	}

lock:
	atomic {
		holder == 0 -> holder = me + 1;
		if
		:: locked -> goto look
		:: !locked -> exists[me] = true; arrivals!me; goto listen
		fi
	}

#ifdef OPEN
open:
	atomic { /* with the GIL */
		!mutex -> opened = true;
		do
		:: len(list) > 0 ->
			list?most;
			waiters!most;
			given_lock[most] = true;
				/* pyext/native/primitives/condition.c commit: each->lock =
				   Py_NewRef(PyList_GET_ITEM(locks, i++)); */
			notified[most] = true;
				/* pyext/native/primitives/condition.c commit: golock_notify(&self->listeners,
				   GOLOCK_EVERYONE, GOLOCK_OPENED, NULL); */
			NOT_SPINNING(most);
			WAKE(most)
		:: else -> break
		od;
		most = 0;
		word = 0;
		goto done
	}
#endif

listen: /* internal/core/listener.go Listen: func Listen(word *uint32, l *Listener) { */
	atomic {
		!mutex -> mutex = true; /* internal/core/listener.go listOf: s.Lock() */
#ifdef OPEN
		if
		:: opened -> waiters!me; given_lock[me] = true; notified[me] = true; UNLOCK; goto unlock
		:: else
		fi;
#endif
		list!me /* internal/core/listener.go Listen: list.push(l) */
	}
	atomic { WRITE(len(list)); UNLOCK }
		/* internal/core/listener.go write: atomic.StoreUint32(word, l.length) */
		/* pyext/native/waiting/notify.c link_listener: __atomic_store_n(&listeners->length,
		   listeners->length + 1, __ATOMIC_RELAXED); */

unlock:
	atomic {
		assert(holder == me + 1);
		holder = 0; /* golock/condition.go Wait: c.L.Unlock() */
#ifdef MOVE
		back = BACK_TO_WAIT;
		if
		:: waiters -> waiters = false; named = true; goto wakes
		:: !waiters
		fi
#endif
	}

awaits:
	/* pyext/native/waiting/notify.c sleep_until_notified: while (in_time &&
	   (notification_of(listener) == 0 || unwoken.word != NULL)) { */
	if
#ifdef OPEN
	:: notified[me] && given_lock[me] -> goto waits_on_lock
		/* pyext/native/waiting/notify.c golock_await: return result == GOLOCK_OPENED ?
		   await_lock(listener, deadline) : result; */
	:: notified[me] && !given_lock[me] -> goto reacquire
#else
	:: notified[me] -> goto reacquire
		/* pyext/native/waiting/notify.c notification_of: return
		   __atomic_load_n(&listener->notification, __ATOMIC_ACQUIRE); */
#endif
	:: !notified[me]
#ifdef SPIN
	:: atomic { !notified[me] -> spins[me] = true }
		/* pyext/native/waiting/notify.c begin_to_spin: return
		   __atomic_compare_exchange_n(&listener->notification, &none, GOLOCK_SPINNING, false, */
		atomic {
			NOT_SPINNING(me);
				/* pyext/native/waiting/notify.c end_spin: bool none_came =
				   __atomic_compare_exchange_n(&listener->notification, &spins, 0, false, */
			goto awaits
		}
#endif
	fi;

sleep:
	atomic {
		if
		:: !notified[me] -> asleep[me] = true; REST
			/* pyext/native/waiting/notify.c sleep_detached: long result =
			   golock_futex_wait(&listener->notification, 0, deadline, GOLOCK_SLEEPER); */
		:: notified[me] -> goto awaits
		:: raises = true; goto reacquire
			/* pyext/native/waiting/notify.c sleep_until_notified: if (unwoken.word == NULL &&
			   golock_make_pending_calls(listener->record) < 0) { */
		fi
	}

end_sleeps: /* possibly for ever, if nobody notifies */
	atomic {
		if
		:: !asleep[me] -> goto awaits
		:: asleep[me] && timed -> asleep[me] = false; FORGET_MOVE busy++; goto reacquire
		:: asleep[me] -> asleep[me] = false; FORGET_MOVE busy++; goto awaits
			/* a signal, or a wake for another listener with this address */
#ifdef MOVE
		:: asleep[me] && moved[me] ->
			asleep[me] = false; FORGET_MOVE designated[me] = true; busy++; goto awaits
			/* by a wake for another lock with this address */
#endif
		fi
	}

#ifdef OPEN
waits_on_lock: /* the word of its own lock: see lock.pml */
	atomic {
		if
		:: free[me] -> goto reacquire
		:: !free[me] -> on_lock[me] = true; asleep[me] = true; REST
		fi
	}
end_sleeps_on_lock:
	atomic {
		if
		:: !asleep[me] -> on_lock[me] = false; goto waits_on_lock
		:: asleep[me] && timed -> on_lock[me] = false; asleep[me] = false; busy++; goto reacquire
		fi
	}
#endif

reacquire:
	atomic {
		holder == 0 -> holder = me + 1; /* golock/condition.go Wait: c.L.Lock() */
#ifdef MOVE
		if
		:: designated[me] -> designated[me] = false; named = false; waiters = true
		:: !designated[me]
		fi
#endif
	}

withdraw:
	/* internal/core/listener.go Withdraw: func Withdraw(word *uint32, l *Listener) uint32 { */
	if
#ifdef OPEN
	:: given_lock[me] ->
		/* pyext/native/primitives/condition.c finish_wait: opened = listener->lock != NULL; */
		atomic {
			if
			:: free[me] -> pending--
			:: !free[me] -> assert(waiters??[eval(me)]); waiters??eval(me); arrivals??eval(me)
				/* pyext/native/primitives/condition.c leave_waiters: PyObject *left =
				   golock_opened_call(self, "stop_waiting", "(O)", listener->lock); */
			fi;
			given_lock[me] = false;
			free[me] = false;
			notified[me] = false;
			exists[me] = false;
			goto done
		}
	:: notified[me] && !given_lock[me] -> goto returns
#else
	:: notified[me] -> goto returns
		/* pyext/native/waiting/notify.c golock_withdraw: while ((listeners =
		   __atomic_load_n(&listener->listeners, __ATOMIC_ACQUIRE)) != NULL) { */
#endif
	:: !notified[me]
	fi;
	atomic {
		!mutex -> mutex = true;
		if
#ifdef OPEN
		:: given_lock[me] -> UNLOCK; goto withdraw
		:: notified[me] && !given_lock[me] -> UNLOCK; goto returns
#else
		:: notified[me] -> UNLOCK; goto returns
			/* internal/core/listener.go Withdraw: if l.notification == 0 { */
#endif
		:: else -> assert(list??[eval(me)]); list??eval(me); arrivals??eval(me)
			/* internal/core/listener.go Withdraw: list.remove(l) */
		fi
	}
	atomic { WRITE(len(list)); UNLOCK }
		/* pyext/native/waiting/notify.c unlink_listener: __atomic_store_n(&listeners->length,
		   listeners->length - 1, __ATOMIC_RELAXED); */

returns:
	atomic {
		exists[me] = false;
		assert(holder == me + 1);
		locked = true;
		if
		:: raises && notified[me] -> notified[me] = false; pending--; n = 1; goto look
			/* pyext/native/primitives/condition.c finish_wait: pass_on(self); */
		:: !raises && notified[me] -> notified[me] = false; pending--; goto done
			/* pyext/native/primitives/condition.c finish_wait: return notified; */
		:: !notified[me] -> goto done
		fi
	}

look:
	atomic {
		#ifdef OPEN
		assert(!locked || mutex || word + len(waiters) == len(arrivals));
#else
		assert(!locked || mutex || word == len(arrivals));
#endif
		if
#ifdef OPEN
		:: opened && !locked -> goto done /* the interpreter's method refuses */
		:: opened && locked ->
			do
			:: n > 0 && len(waiters) > 0 ->
				waiters?most;
				assert(arrivals?[eval(most)]);
				arrivals??eval(most);
				free[most] = true;
				pending++;
				if
				:: on_lock[most] -> WAKE(most)
				:: else
				fi;
				n = (n == EVERYONE -> n : n - 1)
			:: else -> break
			od;
			most = 0;
			goto done
		:: !opened && word == 0 -> goto done
#else
		:: word == 0 -> goto done
#endif
			/* golock/condition.go Notify: if n > 0 && atomic.LoadUint32(&c.word) != 0 { */
		:: word != 0 && n == 2 && word < 2 -> n = 1
		:: word != 0 && !(n == 2 && word < 2)
		fi
	}

notify:
	/* internal/core/listener.go Notify: func Notify(word *uint32, n, notification uint32) uint32
	   { */
	atomic {
		!mutex -> mutex = true;
#ifdef OPEN
		if
		:: opened -> UNLOCK; goto look
		:: else
		fi;
#endif
		first = NOBODY;
		count = 0;
		do /* internal/core/listener.go Notify: first := list.take(n) */
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

notify_each: /* internal/core/listener.go Notify: for l := first; l != nil; { */
	do
	:: first != NOBODY ->
		atomic {
			assert(exists[first] && !notified[first]);
			old = behind[first]; /* internal/core/listener.go Notify: next := l.next */
			notified[first] = true;
				/* internal/core/listener.go Notify: atomic.StoreUint32(&l.notification,
				   notification) */
				/* pyext/native/waiting/notify.c notify_first: bool spins =
				   __atomic_exchange_n(word, notification, __ATOMIC_ACQ_REL) == GOLOCK_SPINNING; */
			pending++;
			NOTIFIED_IN_ORDER;
#ifdef SPIN
			if
			:: spins[first] -> NOT_SPINNING(first); goto notified_one
			:: !spins[first]
			fi
#endif
		}
#ifdef MOVE
		atomic {
			if
			:: asleep[first] -> moved[first] = true
				/* pyext/native/waiting/notify.c notify_first: golock_plain_move(core, word,
				   notification, &lock->word, */
				/* pyext/native/waiting/plain.c golock_plain_move: long moved =
				   golock_futex_move(from, value, 1, word); */
			:: !asleep[first] -> goto notified_one
			fi
		}
		atomic {
			back = BACK_TO_NOTIFY;
			if
			:: named
			:: !named && holder != 0 -> waiters = true
				/* pyext/native/waiting/plain.c announce_another: uint64_t old = load(c); */
				/* pyext/native/waiting/plain.c announce_another: if (next == word ||
				   compare_and_swap(c, old, with_flags(old, next))) { */
			:: !named && holder == 0 -> named = true; goto wakes
				/* pyext/native/waiting/plain.c announce_another: if (compare_and_swap(c, old,
				   named)) { */
			fi
		}
#else
		atomic {
			WAKE(first)
				/* internal/core/listener.go Notify: close(l.notified) */
				/* pyext/native/waiting/notify.c golock_notify: golock_futex_wake(word, 1,
				   GOLOCK_ANY_CHANNEL); */
		}
#endif
notified_one:
		atomic { first = old; old = 0 }
	:: first == NOBODY -> break
	od;
	atomic {
		first = 0;
		UNLOCK;
		assert(!locked || count >= n || len(arrivals) == 0);
		goto done
	}

done:
#ifdef MOVE
	atomic {
		back = BACK_TO_REST;
		if
		:: holder == me + 1 && waiters -> holder = 0; waiters = false; named = true; goto wakes
		:: holder == me + 1 && !waiters -> holder = 0
		:: holder != me + 1
		fi
	}
rests:
#endif
	atomic {
		if
		:: holder == me + 1 -> holder = 0
		:: else
		fi;
		old = 0; n = 0; count = 0; timed = false; raises = false; locked = false;
		REST
	}
	goto end_idle;

#ifdef MOVE
wakes: /* wakes the claimant that the word names: see appoint in lock.pml */
	atomic {
		if
		:: some_moved ->
			if
			wake_moved
			fi;
			goto awake
		:: !some_moved
		fi
	}
	atomic {
		named = false;
		if
		:: holder != 0 -> waiters = true
		:: holder == 0
		fi
	}
	atomic {
		if
		wake_moved
		:: !some_moved
		fi
	}
awake:
	if
	:: back == BACK_TO_WAIT -> goto awaits
	:: back == BACK_TO_REST -> goto rests
	:: back == BACK_TO_NOTIFY -> goto notified_one
	fi
#endif
}

init
{
	byte i;
	atomic {
		do
		:: i < THREADS -> run Thread(i); i++
		:: else -> break
		od
	}
}
