/* The protocol of the lock word: golock/word.go tells it, this model checks it.
 *
 * A step here is one access to the word or one call of the kernel. What a thread computes in between is
 * its own. A comment that begins with a file and a function quotes the line that a step stands for;
 * verify.py fails when a quoted line is no longer there, and when one that touches a word is not quoted.
 *
 * Where the code reads a clock or a setting, anything may come out: a deadline may have passed, the
 * hand-off be due, the threshold be 0, at each look. That covers two runtimes with settings of their own
 * on one word. The bits of the due time are left out. So the model takes for equal what may differ in
 * them; that the kernel may refuse a sleep for no reason makes up for it.
 *
 *     THREADS  how many threads, 2 to 4
 *     ROUNDS   how many calls each of them makes; without it, they never end
 *     PATIENT  waiters have a patience, as goroutines do, and Python threads while their interpreter ends
 *     DEATH    a thread may die in its sleep, or be woken and never come; the others are patient
 *     FORK     the word may begin as one that fork copied, with the bits and names of another process
 *     PLAIN    no wake comes from a stranger, and no sleep is refused but where the word has changed
 *     GIL      the threads run under a GIL, and the fast paths are plain loads and stores
 *     LIVE     see below
 */

/* Accesses without a step of their own. Cases of tryAcquire and release, from or to a word that says
 * nothing but Held: */
	/* golock/lock.go Lock: if atomic.CompareAndSwapUint32(&l.word, 0, Held) { */
	/* golock/lock.go TryLock: return atomic.CompareAndSwapUint32(&l.word, 0, Held) || l.cell().tryAcquire() */
	/* golock/lock.go LockContext: if atomic.CompareAndSwapUint32(&l.word, 0, Held) { */
	/* golock/lock.go Unlock: if atomic.CompareAndSwapUint32(&l.word, Held, 0) { */
	/* golock/lock.go Release: if atomic.CompareAndSwapUint32(&l.word, Held, 0) || l.cell().release(1, 1) { */
/* Reads that only choose the way to one of the steps below, or tell a user what was: */
	/* golock/wait.go spin: if atomic.LoadUint32(c.word)&Held == 0 { */
	/* golock/waiter.go locked: func (c cell) locked() bool { return taken(c.load().word()) } */
	/* pyext/mutex.c try_acquire: if (golock_fastpath && __atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD) { */
	/* pyext/mutex.c golock_mutex_release_slow: if (golock_fastpath && !(__atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD)) { */
	/* pyext/mutex.c golock_mutex_locked: uint32_t word = __atomic_load_n(&mutex->word, __ATOMIC_RELAXED); */
/* Writes in a child process, in which nobody has waited for the lock: */
	/* pyext/mutex.c forgot_the_parent: __atomic_and_fetch(&mutex->word, GOLOCK_HELD, __ATOMIC_RELAXED); */
	/* pyext/mutex.c golock_mutex_reset: __atomic_store_n(&mutex->word, 0, __ATOMIC_RELAXED); */
/* What load and change stand for, where the cell is a lock's: */
	/* golock/cell.go load: word := atomic.LoadUint32(c.word) */
	/* golock/cell.go change: return atomic.CompareAndSwapUint32(c.word, old.word(), next.word()) */
/* And a release where it is a semaphore's: */
	/* golock/waiter.go release: if c.change(old, next) { */

#define HELD     1
#define WAITERS  2
#define HANDOFF  4
#define NAMED    8 /* a claimant of this process */
#define FOREIGN 16 /* a claimant of the process that this one was forked from */
#define NAME    24

#define hasClaimant(w) ((w & NAMED) != 0)
#define reserved(w)    ((w & (HELD | HANDOFF)) == HANDOFF && hasClaimant(w))
#define asked(w)       (hasClaimant(w) && (w & (HANDOFF | WAITERS)) == (HANDOFF | WAITERS))
#define taken(w)       ((w & HELD) != 0 || reserved(w))

#define SLEEPER  1
#define RETURNER 2
#define CLAIMANT 3

#define ENTERED     0
#define WOKEN       1
#define CHANGED     2
#define EXPIRED     3
#define OVERDUE     4 /* Expired, at the deadline */
#define INTERRUPTED 5

byte word;
byte asleep[THREADS]; /* on which channel, or 0 */
bool called[THREADS]; /* woken by a wake, and has not run since */
byte busy;            /* threads that are neither idle nor asleep nor dead */
byte holder;          /* 1 + the thread that has the lock, or 0 */

#ifdef ROUNDS
byte begun = 1; /* all but thread 0 are alike, so they may as well begin in their order */
#endif

#ifdef DEATH
#define PATIENT
bool died; /* one thread may */
#else
#define died false
#endif

#define woken_on(channel, i) :: asleep[i] == channel -> who = i
#if THREADS == 2
#define sleepers         (asleep[0] || asleep[1])
#define on_their_way     (called[0] || called[1])
#define some_on(channel) woken_on(channel, 0) woken_on(channel, 1)
#elif THREADS == 3
#define sleepers         (asleep[0] || asleep[1] || asleep[2])
#define on_their_way     (called[0] || called[1] || called[2])
#define some_on(channel) woken_on(channel, 0) woken_on(channel, 1) woken_on(channel, 2)
#else
#define sleepers         (asleep[0] || asleep[1] || asleep[2] || asleep[3])
#define on_their_way     (called[0] || called[1] || called[2] || called[3])
#define some_on(channel) woken_on(channel, 0) woken_on(channel, 1) woken_on(channel, 2) woken_on(channel, 3)
#endif

/* The properties. A thread takes the lock when nobody has it; one that returns without it does not have
 * it. A free word has Waiters only for one that has asked. When nobody is under way, nobody is asleep
 * and the lock is not reserved: no lost wake-up, no reservation that outlives its claimants. */
#define TAKE      assert(holder == 0 && (word & HELD) != 0); holder = me + 1; WAITS(false)
#define FREE      assert(holder == me + 1 && (word & HELD) == 0); holder = 0
#define REST      busy--; assert(busy > 0 || died || (!sleepers && !reserved(word)))
#define SET(next) word = next; assert((word & (HELD | WAITERS)) != WAITERS || asked(word))

/* Under a GIL nobody changes the word between a load and the store that follows: that is a property, and
 * a thread needs the GIL for all but its sleep. */
#ifdef GIL
bool gil; /* somebody has it */
#define ATTACHED(label)   attach_##label
#define ATTACH(label)     attach_##label: atomic { !gil -> gil = true; goto label }
#define DETACH            gil = false
#define CHANGED_MEANWHILE false
#define UNCHANGED         true
#define STORE(next)       assert(word == old); SET(next)
#else
#define ATTACHED(label)   label
#define ATTACH(label)
#define DETACH            skip
#define CHANGED_MEANWHILE word != old
#define UNCHANGED         word == old
#define STORE(next)       SET(next)
#endif

#ifdef LIVE
/* What is fair. Every thread runs; the clock advances; the kernel wakes those on a channel in their order.
 * A call of the core is one step, as it is under a GIL: nobody is overtaken for ever in the middle of one,
 * by others that call again and again. And some time there is calm: no more time-outs, interruptions,
 * strangers' wakes, sleeps refused to thread 0, or patience that ends while a claimant is on its way.
 * Whatever came before, thread 0 then gets the lock, even if others take and free it for ever. */
ltl served { [] (calm && waits -> <> !waits) }
bool waits;                                /* thread 0 does */
bool calm;
bool fcfs, coarse;                         /* the threshold is 0; it is more than the word can say */
bool overdue;                              /* the due time in the word has come */
bool aged[THREADS];                        /* the thread has waited for the threshold */
chan sleeping = [THREADS] of { byte };     /* the kernel's queue, of those on the channel of sleepers */
chan before = [THREADS] of { byte, byte }; /* and of those on the others */
#define LIE_DOWN(channel) \
	asleep[me] = channel; \
	if \
	:: asleep[me] == SLEEPER -> sleeping!me \
	:: else -> before!me,asleep[me] \
	fi
#define GET_UP \
	if \
	:: asleep[me] == SLEEPER -> sleeping??eval(me) \
	:: else -> before??eval(me),_ \
	fi; \
	asleep[me] = 0; busy++
#define FIRST_CLAIMANT :: before??[_, CLAIMANT] -> before??who,CLAIMANT
#define FIRST_BEFORE   :: len(before) > 0 -> before?who,_
#define FIRST_OF_ANY   FIRST_BEFORE :: len(sleeping) > 0 -> sleeping?who
#define STORMY         (!calm)
#define LATE           (!calm)
#define SELDOM         (!calm && me != 0)
#define OTHER          (me != 0)
#define ZERO           fcfs
#define POSITIVE       !fcfs
#define AGED           (fcfs || aged[me])
#define YOUNG          (!fcfs && !aged[me])
#define DUE            (overdue && !coarse)
#define NOT_DUE        (!overdue || coarse)
#define APPOINT        overdue = false
#define WAITS(b)       aged[me] = false; if :: me == 0 -> waits = b :: else fi
#define AND_THEN
#define AND_AT(label)  label:
#define AND_SLEEP      if :: calm && me == 0 -> goto sleep_at_once :: else fi
#else
/* The kernel may wake anybody, and others may change the word between a load and a compare-and-swap. */
#define LIE_DOWN(channel) asleep[me] = channel
#define GET_UP            asleep[me] = 0; busy++
#define FIRST_CLAIMANT    some_on(CLAIMANT)
#define FIRST_BEFORE      some_on(RETURNER) some_on(CLAIMANT)
#define FIRST_OF_ANY      FIRST_BEFORE some_on(SLEEPER)
#ifdef PLAIN
#define STORMY            false
#else
#define STORMY            true
#endif
#define LATE              true
#define SELDOM            true
#define OTHER             true
#define ZERO              true
#define POSITIVE          true
#define AGED              true
#define YOUNG             true
#define DUE               true
#define NOT_DUE           true
#define APPOINT           skip
#define WAITS(b)          skip
#define AND_THEN          } atomic {
#define AND_AT(label)     } label: atomic {
#define AND_SLEEP         skip
#endif

/* The channel of golock/waiter.go on which a waiter sleeps: asks is owes then. */
#define CHANNEL (owes -> CLAIMANT : (returns -> RETURNER : SLEEPER))

/* FUTEX_WAKE_BITSET. Goes to then when somebody was woken, otherwise to no. */
#define WAKE(first, then, no) atomic { \
	who = THREADS; \
	if \
	first \
	:: else \
	fi; \
	if \
	:: who < THREADS -> asleep[who] = 0; called[who] = true; busy++; who = 0; goto then \
	:: who == THREADS -> who = 0; goto no \
	fi }

/* golock/waiter.go announced: func (w *Waiter) announced(old uint32, at int64) (next, channel uint32) { */
inline announced()
{
	next = old;
	offered = (returns -> RETURNER : SLEEPER);
	if
	:: owes && (old & HELD) != 0 && (asks || AGED && !asked(old)) -> next = HELD | WAITERS | HANDOFF | NAMED; offered = CLAIMANT
	:: !owes || (old & HELD) == 0 || (!asks && (YOUNG || asked(old))) ->
		if
		:: (old & HELD) != 0 && !asked(old) && (owes || !hasClaimant(old)) -> next = (old & ~NAME) | WAITERS
		:: else
		fi;
		if
		:: ZERO && !owes -> next = next | HANDOFF
		:: POSITIVE || owes
		fi
	fi
}

proctype Thread(byte me; bool has)
{
	byte old, next, offered, reason, who;
	bool tries, timed, owes, asks, returns, outlived;
#ifdef ROUNDS
	byte round;
#endif

	if
	:: has -> has = false; goto released
	:: else
	fi;

end_idle:
	atomic {
#ifdef ROUNDS
		round < ROUNDS && (round > 0 || me == 0 || begun == me) -> begun = begun + (round == 0 && me != 0); round++;
#endif
		busy++;
		if
		:: OTHER -> tries = true
		:: WAITS(true)
		:: OTHER -> timed = true
		fi;
		goto ATTACHED(acquire)
	}
ATTACH(acquire)

load: /* golock/waiter.go decide: func (w *Waiter) decide(reason Reason) Action { */
	atomic {
		skip;
acquire:
		if
		:: reason == WOKEN -> owes = true; returns = true
		:: reason == EXPIRED -> returns = true; outlived = reserved(next)
		:: reason == OVERDUE -> returns = true
		:: reason == INTERRUPTED -> returns = true; next = 0; goto resign
		:: else
		fi;
		old = word;
			/* golock/waiter.go decide: old := c.load() */
			/* golock/waiter.go tryAcquire: old := c.load() */
			/* pyext/fastpath.h golock_fast_acquire: uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED); */
		if
		:: (old & HELD) == 0 && ((owes && (asks || !asked(old))) || outlived || !reserved(old)) ->
			reason = ENTERED;
			owes = owes || reserved(old);
			if
			:: owes && ZERO -> next = HELD | WAITERS | HANDOFF
			:: owes && POSITIVE -> next = HELD | WAITERS
			:: !owes && hasClaimant(old) -> next = (old & NAME) | HELD
			:: !owes && !hasClaimant(old) -> next = HELD
			:: !owes && (old & HANDOFF) == 0 -> next = old | HELD /* by the fast path */
			fi
		:: else ->
			if
			:: tries -> goto done
			:: else
			fi;
			if
			:: reason == OVERDUE || (timed && LATE) -> reason = ENTERED; goto resign
			:: reason != OVERDUE
			fi;
			reason = ENTERED;
			announced();
			if
			:: next == old -> goto announces
			:: else
			fi
		fi;
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; next = 0; offered = 0; goto load
		:: UNCHANGED && offered == 0 -> STORE(next); TAKE; goto holds
			/* golock/waiter.go decide: if !c.change(old, next) { */
			/* golock/waiter.go tryAcquire: if c.change(old, barged(old)) { */
			/* pyext/fastpath.h golock_change: return __atomic_compare_exchange_n(word, old, new, false, order, __ATOMIC_RELAXED); */
			/* pyext/fastpath.h golock_change: __atomic_store_n(word, new, __ATOMIC_RELAXED); */
		:: UNCHANGED && offered != 0 -> STORE(next)
			/* golock/waiter.go decide: if announced == word || c.change(old, old.marked(announced)) { */
		fi;
announces:
		owes = (offered == CLAIMANT); asks = owes; outlived = false; offered = 0; old = 0;
		DETACH;
		AND_SLEEP
	}

sleep:
	atomic {
		skip;
sleep_at_once:
		if
		:: word == next -> LIE_DOWN(CHANNEL); REST; goto sleeps
			/* golock/wait.go wait: reason = park(w.word, w.value, w.channel|channels, w.until) */
			/* pyext/wait.c park: long result = syscall(SYS_futex, waiter->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, waiter->value, */
		:: word != next || STORMY ->
			if
			:: next = 0; goto ATTACHED(load)
			:: goto stay
			fi
		:: SELDOM -> reason = INTERRUPTED; goto ATTACHED(load) /* golock/wait.go wait: w.Next(Interrupted) */
		fi
	}

stay:
	atomic {
		old = word; /* golock/waiter.go Stay: word := w.cell().load().word() */
		if
		:: (old & HELD) == 0 && ((owes && (asks || !asked(old))) || !hasClaimant(old))
		:: else ->
			announced();
			if
			:: next == old && offered == CHANNEL -> old = 0; offered = 0; AND_SLEEP; goto sleep
			:: else
			fi
		fi;
		old = 0; next = 0; offered = 0; goto ATTACHED(load)
	}

sleeps:
	atomic {
		if
		:: called[me] -> called[me] = false; reason = WOKEN; goto ATTACHED(acquire)
		:: asleep[me] != 0 && timed && LATE -> GET_UP; reason = OVERDUE
#ifdef PATIENT
		:: asleep[me] != 0 && (STORMY || (reserved(word) && !on_their_way)) -> GET_UP; reason = EXPIRED
#endif
		:: asleep[me] != 0 && SELDOM -> GET_UP; reason = INTERRUPTED
		:: asleep[me] != 0 && STORMY -> GET_UP; reason = WOKEN
			/* by a wake for another lock that lived here, or golock/wait.go: cancel: wake(w.word, channelCancel) */
#ifdef DEATH
		:: asleep[me] != 0 && !died && SELDOM -> GET_UP; died = true; goto dies
		:: called[me] && !died && SELDOM -> called[me] = false; died = true; goto dies
#endif
		fi;
		goto ATTACHED(load)
	}
ATTACH(load)

give_up:
	atomic {
		skip;
resign:
		old = 0; outlived = false;
		if
		:: !owes -> goto resigned
		:: owes -> owes = false
		fi;
		AND_AT(owed)
		old = word; /* golock/waiter.go resign: old := c.load() */
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; goto owed
		:: UNCHANGED && asked(old) && !asks -> goto resigned
		:: UNCHANGED && !(asked(old) && !asks) && (old & HELD) != 0 -> STORE((old & ~NAME) | WAITERS); goto resigned
			/* golock/waiter.go resign: if c.change(old, old.marked(word&^nameMask|Waiters)) { */
		:: UNCHANGED && !(asked(old) && !asks) && (old & HELD) == 0 -> STORE((old & HANDOFF) | NAMED); APPOINT; goto appoints
			/* golock/waiter.go resign: if c.change(old, old.marked(word&Handoff|self)) { */
		fi
	}

released:
	atomic {
		skip;
holds:
		old = 0; next = 0; owes = false; asks = false; returns = false; outlived = false; timed = false; tries = false;
		DETACH;
		goto ATTACHED(release)
	}
ATTACH(release)

release:
	atomic {
		old = word;
			/* golock/waiter.go release: old := c.load() */
			/* pyext/fastpath.h golock_fast_release: uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED); */
		assert((old & HELD) != 0);
		if
		:: (old & (HELD | WAITERS | HANDOFF)) == HELD -> next = old & ~HELD /* by the fast path */
		:: hasClaimant(old) && ((old & HANDOFF) != 0 || DUE) -> next = old & ~HELD | HANDOFF
		:: hasClaimant(old) && (old & HANDOFF) == 0 && NOT_DUE -> next = old & NAME
		:: !hasClaimant(old) && (old & (HANDOFF | WAITERS)) != 0 -> next = (old & HANDOFF) | NAMED
		:: !hasClaimant(old) && (old & (HANDOFF | WAITERS)) == 0 -> next = 0
		fi;
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; next = 0; goto release
		:: UNCHANGED && !hasClaimant(old) && (next & NAMED) == 0 -> STORE(next); FREE; goto done
			/* golock/waiter.go release: if c.change(old, next.marked(0)) { */
		:: UNCHANGED && !hasClaimant(old) && (next & NAMED) != 0 -> STORE(next); FREE; APPOINT; goto appoints
			/* golock/waiter.go release: if c.change(old, next.marked(word&Handoff|name(c.word))) { */
		:: UNCHANGED && hasClaimant(old) && (next & HANDOFF) == 0 -> STORE(next); FREE; goto done
			/* golock/waiter.go release: if c.change(old, next.marked(word&nameMask)) { */
		:: UNCHANGED && hasClaimant(old) && (next & HANDOFF) != 0 -> STORE(next); FREE; old = 0; next = 0
			/* golock/waiter.go release: if c.change(old, next.marked(word|Handoff)) { */
		fi;
		AND_THEN
		WAKE(FIRST_CLAIMANT, done, done) /* golock/waiter.go release: wake(c.word, channelClaimant) */
	}

appoint:
	atomic {
		skip;
appoints:
		old = 0; next = 0;
		/* golock/waiter.go wakeFirst: return wake(word, channelReturner|channelClaimant) || wake(word, channelAny) */
		AND_THEN
		WAKE(FIRST_BEFORE, resigned, else_any);
		AND_AT(else_any)
		WAKE(FIRST_OF_ANY, resigned, take_back);
		AND_AT(take_back)
		old = word; /* golock/waiter.go appoint: old := c.load() */
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; goto take_back
		:: UNCHANGED && asked(old) -> goto resigned
		:: UNCHANGED && !asked(old) && (old & HELD) != 0 -> STORE((old & ~NAME) | WAITERS); old = 0
			/* golock/waiter.go appoint: if c.change(old, old.marked(bits)) { */
		:: UNCHANGED && !asked(old) && (old & HELD) == 0 -> STORE(0); old = 0
		fi;
		AND_THEN
		WAKE(FIRST_BEFORE, resigned, or_any);
		AND_AT(or_any)
		WAKE(FIRST_OF_ANY, resigned, resigned)
	}

finish:
	atomic {
		skip;
resigned:
		old = 0;
		if
		:: reason == INTERRUPTED -> /* a handler runs; then the wait goes on, or the handler raised */
			reason = ENTERED;
			if
			:: DETACH; goto ATTACHED(load)
			:: OTHER
			fi
		:: else
		fi;
done:
		assert(holder != me + 1);
		old = 0; next = 0; reason = ENTERED; asks = false; returns = false; timed = false; tries = false; outlived = false;
		REST;
		DETACH
	}
	goto end_idle;

#ifdef DEATH
dead:
	atomic { skip; dies: REST }
#endif
}

#ifdef LIVE
active proctype Clock()
{
end:
	do
	:: atomic { !overdue || !aged[0] || !aged[1] || !aged[2 % THREADS] -> overdue = true; aged[0] = true; aged[1] = true; aged[2 % THREADS] = true }
	:: atomic { !calm -> calm = true }
	od
}
#endif

init
{
	byte i;
	atomic {
#ifdef FORK
		if
		:: word = FOREIGN
		:: word = FOREIGN | HANDOFF
		:: word = HELD
		:: word = HELD | WAITERS
		:: word = HELD | WAITERS | HANDOFF
		:: word = HELD | FOREIGN
		:: word = HELD | FOREIGN | HANDOFF
		fi;
		busy = word & HELD;
		holder = word & HELD;
#endif
#ifdef LIVE
		if
		:: fcfs = true
		:: coarse = true
		:: true
		fi;
#endif
		do
		:: i < THREADS -> run Thread(i, i == 0 && (word & HELD) != 0); i++
		:: else -> break
		od
	}
}
