/* The protocol of an event's word, on which its waiters sleep, described in internal/core/event.go.
 *
 * A step is one access to the word, one system call, or one change of the line of goroutines, which
 * is made with its mutex locked. Each thread sets, clears and waits repeatedly, as a goroutine in
 * the line or as a thread outside it. Its waits time out, are interrupted, are refused their sleep,
 * or end for no reason, at any point.
 *
 * Only whether the numbers of sets in two words differ matters. So the word's own number stays 0,
 * and a set changes that of all copies of the word. The model's number never wraps; the code's does
 * after 2^30 sets. A waiter would confuse two words only if it did not run for so many sets and
 * clears, several seconds at some 10 ns each, and then ran exactly after the last. The next set
 * wakes it.
 *
 * With a GIL a thread changes a word that no goroutine knows by a load and a store. All writers
 * have the GIL, so the two are one step, like those of clear here.
 *
 * All agree on one order of the steps, as they do on the code's accesses. A set of an event that is
 * already set writes nevertheless, where earlier stores might not be visible otherwise.
 * TestEventSetAgainIsSeenByWhoClears shows that it must.
 *
 * A task of an event loop stands in its line before it looks at the word, so its sleep need not be
 * refused when the word changes; a set wakes the line after those in the kernel. The agent of a
 * line looks, announces and sleeps as a thread does.
 *
 *     THREADS  the number of threads, 2 to 4
 *     ROUNDS   the number of calls of each thread; without it, they never end
 *     LIVE     thread 0 waits without a limit, and each of its waits ends if the event is set
 *              meanwhile
 */

/* Reads that only report a state to the user: */
	/* internal/core/event.go IsSet: func (e *Event) IsSet() bool { return
	   atomic.LoadUint32(&e.word)&Set != 0 } */
	/* pyext/native/primitives/event.c load: return __atomic_load_n(&self->word,
	   __ATOMIC_ACQUIRE); */
	/* pyext/native/primitives/event.c event_is_set: uint32_t word = load((EventObject *)self); */
	/* pyext/native/primitives/event.c event_repr: return golock_object_repr(self,
	   load((EventObject *)self) & GOLOCK_SET ? "set" : "unset"); */
	/* pyext/native/primitives/event.c native_flag: return PyBool_FromLong(load((EventObject
	   *)self) & GOLOCK_SET); */
/* Writes to a word that nobody else knows: */
	/* pyext/native/primitives/event.c event_new: __atomic_store_n(&self->word, OPENED,
	   __ATOMIC_RELAXED); */
	/* pyext/native/primitives/event.c event_init: __atomic_store_n(&self->word, 0,
	   __ATOMIC_RELAXED); */
/* Opening, after which the word never changes. It wakes all, like a set; the waiters then wait
 * elsewhere: */
	/* pyext/native/primitives/event.c event_open: uint32_t word = __atomic_load_n(&self->word,
	   __ATOMIC_ACQUIRE); */
	/* pyext/native/primitives/event.c event_open: if (__atomic_compare_exchange_n(&self->word,
	   &word, OPENED, false, __ATOMIC_SEQ_CST, */

#define SET      1
#define SLEEPERS 2
#define OTHER    4 /* the number of sets differs from the word's */

#define over(initial, word) ((word & SET) != 0 || ((word ^ initial) & ~(SET | SLEEPERS)) != 0)

byte word;
byte initial[4];                         /* the word when the thread's wait began */
byte old[4];                          /* the word when the thread last looked */
bool asleep[4];                       /* on the word */
bool exists;                          /* the line has a first */
chan line = [THREADS] of { byte };    /* those behind the first: internal/core/line.go */
bool promoted[4];                         /* the channel of a place in the line is closed */
bool looked[4];                       /* and may still compare with that */
byte busy;
	/* the number of threads that are not idle, asleep or in the line */

/* State for the properties. */
bool is_set;
	/* somebody has set the event, and nobody has cleared it since */
bool waits[4];
bool was_set[4];                      /* since the thread's wait began */
bool stands[4];                       /* in the line, and not on the way */

/* The properties. A wait returns true only if the event was set since it began, and false only if
 * its time has run out and it was not. When nobody is on the way, nobody is asleep or in the line
 * for whom the event is or was set: no lost wake-up. */
#define TRUE     assert(was_set[me])
#define FALSE    assert(expired && !was_set[me])
#define LOST(i)  ((asleep[i] || stands[i]) && (is_set || was_set[i]))
#define REST     busy--; assert(busy < THREADS); \
	assert(busy > 0 || (!LOST(0) && !LOST(1) && !LOST(2) && !LOST(3)))

#define COUNT(i) \
	initial[i] = initial[i] | OTHER * waits[i]; \
	old[i] = old[i] | OTHER * looked[i]; \
	was_set[i] = waits[i]
#define RIGHT    assert(((word & SET) != 0) == is_set)

#define LOOK     old[me] = word; looked[me] = true
#define FORGET   old[me] = 0; looked[me] = false

/* FUTEX_WAKE, of all. */
#define WAKE(i) \
	if \
	:: asleep[i] -> asleep[i] = false; busy++ \
	:: else \
	fi

#ifdef LIVE
#define LIMITED (me != 0)
ltl let_go { [] ((waits[0] && was_set[0]) -> <> !waits[0]) }
#else
#define LIMITED true
#endif

inline leave()
{
	atomic {
		if
		:: empty(line) -> exists = false /* internal/core/line.go leave: delete(s.of, word) */
		:: nempty(line) -> line?next; promoted[next] = true; busy = busy + stands[next];
			stands[next] = false; next = 0
			/* internal/core/line.go leave: close(p.promoted) */
		fi
	}
}

proctype Thread(byte me)
{
	byte next;
	bool expired; /* its time has run out, or its context has ended */
	bool first;   /* it is a goroutine, the first of the line */
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
		:: goto set
		:: goto clear
		:: goto wait
		fi
	}

set:
	atomic {
		LOOK; /* internal/core/event.go Set: old := atomic.OrUint32(&e.word, 0) */
			/* pyext/native/primitives/event.c load_to_set: return __atomic_load_n(&self->word,
			   __ATOMIC_RELAXED); */
			/* pyext/native/primitives/event.c load_to_set: return __atomic_fetch_or(&self->word,
			   0, __ATOMIC_SEQ_CST); */
		if
		:: (old[me] & SET) != 0 -> FORGET; goto done
		:: else
		fi
	}
	atomic {
		if
		:: word != old[me] -> FORGET; goto set
		:: word == old[me] ->
			word = (old[me] & ~SLEEPERS) | SET;
			COUNT(0); COUNT(1); COUNT(2); COUNT(3);
				/* internal/core/event.go Set: if atomic.CompareAndSwapUint32(&e.word, old,
				   (old&^Sleepers+SetOnce)|Set) { */
				/* pyext/native/primitives/event.c event_set: if (golock_change(&self->word,
				   shared, &old, new, __ATOMIC_SEQ_CST)) { */
			is_set = true;
			RIGHT
		fi;
		if
		:: (old[me] & SLEEPERS) == 0 -> FORGET; goto done
		:: else -> FORGET
		fi
	}
	atomic {
		WAKE(0); WAKE(1); WAKE(2); WAKE(3); /* internal/core/event.go Set: wakeAll(&e.word) */
			/* pyext/native/primitives/event.c wake_all: golock_futex_wake(&self->word, INT_MAX,
			   GOLOCK_ANY_CHANNEL); */
		goto done
	}

clear:
	atomic {
		word = word & ~SET;
			/* internal/core/event.go Clear: func (e *Event) Clear() { atomic.AndUint32(&e.word,
			   ^uint32(Set)) } */
			/* pyext/native/primitives/event.c event_clear: uint32_t old =
			   __atomic_load_n(&self->word, __ATOMIC_RELAXED); */
			/* pyext/native/primitives/event.c event_clear: if (golock_change(&self->word,
			   shared, &old, old & ~GOLOCK_SET, __ATOMIC_SEQ_CST)) { */
			/* pyext/native/primitives/event.c event_init: __atomic_and_fetch(&self->word,
			   ~GOLOCK_SET, __ATOMIC_SEQ_CST); */
		is_set = false;
		RIGHT;
		goto done
	}

wait:
	atomic {
		initial[me] = word & ~SLEEPERS;
			/* internal/core/event.go Wait: initial := atomic.LoadUint32(&e.word) */
			/* pyext/native/primitives/event.c golock_event_wait_for: uint32_t initial =
			   load((EventObject *)self); */
		if
		:: (initial[me] & SET) != 0 -> assert(is_set); goto done
		:: else -> waits[me] = true
		fi;
		if
		:: goto look
		:: goto enter
		:: LIMITED -> expired = true; goto look /* a timeout of 0 */
		fi
	}

enter: /* internal/core/event.go Wait: if p := enter(&e.word); p != nil { */
	atomic {
		if
		:: !exists -> exists = true; first = true; goto look
			/* internal/core/line.go enter: s.of[word] = &line{} */
		:: exists -> line!me /* internal/core/line.go enter: p.element = l.behind.PushBack(p) */
		fi
	}
	atomic {
		if
		:: !over(initial[me], word) ->
			/* internal/core/event.go Wait: if over(initial, atomic.LoadUint32(&e.word)) ||
			   p.wait(ctx, Forever) != nil { */
			if
			:: promoted[me]
			:: !promoted[me] -> stands[me] = true; REST
			fi
		:: over(initial[me], word) -> TRUE; goto abandon
			/* internal/core/event.go Wait: if !abandon(&e.word, p) { */
		fi
	}

end_stands: /* possibly for ever, if nobody sets the event */
	atomic {
		if
		:: promoted[me] -> promoted[me] = false; first = true; goto look
			/* internal/core/line.go wait: case <-p.promoted: */
		:: LIMITED -> /* internal/core/line.go wait: case <-ctx.Done(): */
			busy = busy + stands[me];
			stands[me] = false;
			expired = true;
			goto abandon
		fi
	}

abandon:
	atomic {
		if
		:: line??[eval(me)] -> line??eval(me); goto ends
			/* internal/core/line.go abandon: s.of[word].behind.Remove(p.element) */
		:: else -> assert(promoted[me]); promoted[me] = false
		fi
	}
	leave();

ends:
	atomic {
		if
		:: over(initial[me], word) -> TRUE
			/* internal/core/event.go result: if over(initial, atomic.LoadUint32(&e.word)) { */
		:: !over(initial[me], word) -> FALSE
		fi;
		goto returns
	}

look:
	atomic {
		LOOK; /* internal/core/event.go Wait: word := atomic.LoadUint32(&e.word) */
			/* pyext/native/primitives/event.c wait_native: uint32_t word = load(self); */
			/* pyext/native/primitives/event.c task_try: return (load((EventObject *)self) &
			   OPENED) == GOLOCK_SET; */
			/* pyext/native/primitives/event.c task_claim: uint32_t word = load(self); */
			/* pyext/native/primitives/event.c task_claim: word = load(self); */
			/* pyext/native/waiting/tasks.c announce_for_event: uint32_t word =
			   __atomic_load_n(l->word, __ATOMIC_SEQ_CST); */
		if
		:: first && (expired || over(initial[me], old[me])) -> FORGET; goto ends
		:: !first && over(initial[me], old[me]) -> TRUE; FORGET; goto returns
		:: !first && expired && !over(initial[me], old[me]) -> FALSE; FORGET; goto returns
		:: !expired && !over(initial[me], old[me])
		fi
	}

announce:
	atomic {
		if
		:: (old[me] & SLEEPERS) != 0
		:: (old[me] & SLEEPERS) == 0 && word == old[me] -> word = old[me] | SLEEPERS; RIGHT
			/* internal/core/event.go Wait: if word&Sleepers != 0 ||
			   atomic.CompareAndSwapUint32(&e.word, word, word|Sleepers) { */
			/* pyext/native/primitives/event.c wait_native:
			   __atomic_compare_exchange_n(&self->word, &word, word | GOLOCK_SLEEPERS, false, */
			/* pyext/native/primitives/event.c task_claim:
			   !__atomic_compare_exchange_n(&self->word, &word, word | GOLOCK_SLEEPERS, false, */
			/* pyext/native/waiting/tasks.c announce_for_event: if
			   (__atomic_compare_exchange_n(l->word, &word, word | GOLOCK_SLEEPERS, false, */
		:: (old[me] & SLEEPERS) == 0 && word != old[me] -> FORGET; goto look
		fi
	}

sleep:
	atomic {
		if
		:: word == (old[me] | SLEEPERS) -> FORGET; asleep[me] = true; REST
			/* internal/core/event.go Wait: park(&e.word, word|Sleepers,
			   EventChannel|channelCancel, Forever) */
			/* pyext/native/primitives/event.c sleep_detached: result =
			   golock_futex_wait(&self->word, word, deadline, GOLOCK_EVENT_CHANNEL); */
			/* pyext/native/waiting/tasks.c represent: long slept = golock_futex_wait(l->word,
			   value, GOLOCK_NO_LIMIT, GOLOCK_SLEEPER | AGENTS); */
		:: FORGET; goto look
		:: LIMITED -> FORGET; expired = true; goto look
		fi
	}

end_sleeps: /* possibly for ever, if nobody sets the event */
	atomic {
		if
		:: !asleep[me] -> goto look
		:: asleep[me] -> asleep[me] = false; busy++; goto look
			/* a signal, or a wake for another word with this address */
		:: asleep[me] && LIMITED -> asleep[me] = false; busy++; expired = true; goto look
		:: asleep[me] && LIMITED && !first -> asleep[me] = false; busy++; goto returns
			/* pyext/native/primitives/event.c wait_native: if (in_time &&
			   golock_make_pending_calls(*record) < 0) { */
		fi
	}

returns:
	atomic {
		waits[me] = false; was_set[me] = false; initial[me] = 0; expired = false;
		if
		:: first -> first = false; goto leaves
		:: else -> goto done
		fi
	}

leaves: /* internal/core/event.go Wait: defer leave(&e.word, false) */
	leave();

done:
	atomic {
		initial[me] = 0;
		REST
	}
	goto end_idle
}

init
{
	byte i;
	atomic {
		if
		:: true
		:: word = SLEEPERS /* of another process, and copied by fork */
		fi;
		do
		:: i < THREADS -> run Thread(i); i++
		:: else -> break
		od
	}
}
