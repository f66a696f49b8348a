/* The protocol of the words of locks and semaphores, described in internal/core/word.go. A lock is
 * a semaphore with one permit, which only those release that have taken it.
 *
 * A step is one access to the word or one system call. A thread's own computations in between are
 * no steps. A comment that begins with a file and a function quotes the line that a step stands
 * for. verify.py fails if a quoted line is missing from the code, and if a line that accesses a
 * word is not quoted.
 *
 * Where the code reads a clock or a setting, any result is possible at each read: a deadline may
 * have passed, the hand-off be due, the threshold be 0. That includes two runtimes with their own
 * settings on one word. The due bits are left out, so words that differ only in them are equal in
 * the model. To make up for that, the kernel may refuse a sleep for no reason.
 *
 *     THREADS  the number of threads, 2 to 4
 *     PERMITS  a semaphore with up to that many permits, 1 to 7, which any thread may release;
 *              without it, a lock
 *     ROUNDS   the number of calls of each thread; without it, they never end
 *     PATIENT  waiters have a patience, like goroutines, and Python threads while their
 *              interpreter ends
 *     DEATH    one thread may die in its sleep, or after a wake; the others are patient
 *     FORK     the word may begin as a copy made by fork, with the bits and names of another
 *              process
 *     PLAIN    no wake comes from a stranger, and a sleep is refused only if the word has changed
 *     LINE     the threads are goroutines. One may leave its claim to another that is in the line,
 *              and has not seen the word before: one that is idle here
 *     GIL      the threads run with a GIL, and the fast paths are plain loads and stores
 *     CORELESS pyext/native/waiting/plain.c may serve each call: it never requests the lock, never
 *              hands it over by the clock, and does not keep the order. If there is a core, a
 *              waiter that was woken and finds the lock taken may be passed on to it. Every call
 *              has these choices anyway, so the runs without CORELESS cover such calls too; with
 *              it, faults of plain.c can be seeded
 *     LIVE     see below
 */

/* Accesses without a step of their own. Cases of tryAcquire and release, for words with no other
 * bits than Held: */
	/* golock/lock.go Lock: if core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) { */
	/* golock/lock.go TryLock: return core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0,
	   core.Held) || l.tryLockSlow() */
	/* golock/lock.go LockContext: if core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0,
	   core.Held) { */
	/* golock/lock.go Unlock: if core.Fast() && atomic.CompareAndSwapUint32(&l.word, core.Held,
	   0) { */
	/* golock/python.go Release: if atomic.CompareAndSwapUint32(&l.word, core.Held, 0) ||
	   l.cell().Release(1, 1, true) { */
/* Reads that only select one of the steps below, or report a state to the user: */
	/* internal/core/wait.go takeClaimFromLine: word := atomic.LoadUint32(w.word) */
	/* internal/core/wait.go spin: if atomic.LoadUint32(c.word)&Held == 0 { */
	/* internal/core/waiter.go Locked: func (c Cell) Locked() bool { return
	   taken(c.load().word()) } */
	/* pyext/native/waiting/mutex.c acquire: if (golock_plain_path &&
	   __atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD) { */
	/* pyext/native/waiting/mutex.h golock_mutex_locked: uint32_t word =
	   __atomic_load_n(&mutex->word, __ATOMIC_RELAXED); */
	/* golock/semaphore.go Permits: func (s *Semaphore) Permits() uint32 { return
	   s.cell().Permits() } */
	/* pyext/native/primitives/semaphore.c permits: return
	   (uint32_t)(__atomic_load_n(&self->semaphore.both, __ATOMIC_RELAXED) >> 32); */
/* Writes to memory that nobody else knows: */
	/* golock/semaphore.go init: func (s *Semaphore) init(permits uint32) {
	   s.memory.Store(core.MemoryOf(permits)) } */
	/* pyext/native/primitives/semaphore.c fill: __atomic_store_n(&self->semaphore.both, both,
	   __ATOMIC_RELAXED); */
	/* pyext/native/primitives/semaphore.c make: __atomic_store_n(&self->semaphore.both, OPENED,
	   __ATOMIC_RELAXED); */
	/* pyext/native/waiting/mutex.c golock_mutex_reset: __atomic_store_n(&mutex->word, 0,
	   __ATOMIC_RELAXED); */
/* An opened semaphore is no longer used: its permits are taken out together, and its word says for
 * good that it is held. golock_wake_all wakes the waiters, which then wait elsewhere: */
	/* pyext/native/primitives/semaphore.c semaphore_open: uint64_t both =
	   __atomic_load_n(&self->semaphore.both, __ATOMIC_RELAXED); */
	/* pyext/native/primitives/semaphore.c semaphore_open: if
	   (__atomic_compare_exchange_n(&self->semaphore.both, &both, OPENED, false, */
/* The first use of a zero value makes it a semaphore without permits: */
	/* golock/semaphore.go cell: if s.memory.Load() == 0 { */
	/* golock/semaphore.go cell: s.memory.CompareAndSwap(0, core.MemoryOf(0)) */
/* The load and the change, of a lock and of a semaphore. With a GIL a semaphore is changed by
 * compare-and-swap as well, which the model treats as a load and a store: */
	/* internal/core/cell.go load: word := atomic.LoadUint32(c.word) */
	/* internal/core/cell.go compareAndSwap: return atomic.CompareAndSwapUint32(c.word,
	   old.word(), next.word()) */
	/* internal/core/cell.go load: return fromMemory(atomic.LoadUint64(c.both())) */
	/* internal/core/cell.go compareAndSwap: return atomic.CompareAndSwapUint64(c.both(), from,
	   to) */
	/* pyext/native/waiting/plain.c load: return __atomic_load_n((uint64_t *)c.word,
	   __ATOMIC_ACQUIRE); */
	/* pyext/native/waiting/plain.c load: uint32_t word = __atomic_load_n(c.word,
	   __ATOMIC_ACQUIRE); */
	/* pyext/native/waiting/plain.c compare_and_swap: return
	   __atomic_compare_exchange_n((uint64_t *)c.word, &old, new, false, __ATOMIC_ACQ_REL, */
	/* pyext/native/waiting/plain.c compare_and_swap: return __atomic_compare_exchange_n(c.word,
	   &word, (uint32_t)new, false, __ATOMIC_ACQ_REL, */

/* A wake of all: for others, wakes from strangers and a sleep refused for no reason. */
	/* pyext/native/waiting/plain.c golock_wake_all: uint32_t old = __atomic_load_n(word,
	   __ATOMIC_RELAXED); */
	/* pyext/native/waiting/plain.c golock_wake_all: !__atomic_compare_exchange_n(word, &old,
	   new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)); */
	/* pyext/native/waiting/plain.c golock_wake_all: golock_futex_wake(word, INT_MAX,
	   GOLOCK_ANY_CHANNEL); */

/* The wake of a thread that is to raise DeadlockError, and of others that sleep on its channel: a
 * wake from a stranger. The thread resigns, as if it had been interrupted. The wake is repeated
 * until the thread has noticed. */
	/* pyext/native/sight/raise.c golock_raise_wake: golock_futex_wake(wait->word, INT_MAX,
	   golock_raise_channel(wait->record)); */

/* The wake of an agent that is to end: a wake from a stranger. */
	/* pyext/native/waiting/tasks.c golock_tasks_word_gone: golock_futex_wake(word, 1, AGENTS); */

#define HELD     1
#define WAITERS  2
#define HANDOFF  4
#define NAMED    8 /* a claimant of this process */
#define FOREIGN 16 /* a claimant of the parent process */
#define NAME    24

#define BITS   31
#define PERMIT 32

#define permits(s)      (s >> 5)
#define marked(s, bits) ((s & ~BITS) | ((bits) & BITS & ~HELD) | (permits(s) == 0 -> HELD : 0))

#define hasClaimant(w) ((w & NAMED) != 0)
#define reserved(w)    ((w & (HELD | HANDOFF)) == HANDOFF && hasClaimant(w))
#define handoffRequested(w)       (hasClaimant(w) && \
	(w & (HANDOFF | WAITERS)) == (HANDOFF | WAITERS))
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

byte cell; /* the word, and the permits above it: internal/core/cell.go */
byte asleep[THREADS]; /* the channel, or 0 */
bool called[THREADS]; /* woken, and has not run since */
byte busy;            /* the number of threads that are not idle, asleep or dead */
#ifdef PERMITS
byte there;           /* the number of permits: those released without those taken */
#else
byte holder;          /* 1 + the thread that has the lock, or 0 */
#define PERMITS 1
#define LOCK
#endif
#if defined(LOCK) || defined(LIVE)
#define KEEPS /* whoever takes a permit releases it */
#endif

#ifdef ROUNDS
byte begun = 1; /* all but thread 0 are alike, so let them begin in order */
#define MAY_BEGIN (round < ROUNDS && (round > 0 || me == 0 || begun == me))
#else
#define MAY_BEGIN true
#endif

#ifdef LINE
bool idle[THREADS];     /* or in the line */
bool claimant[THREADS]; /* the claim was left to it */
#define BE_IDLE            idle[me] = true
#define leave_claim_to(i) :: idle[i] -> idle[i] = false; claimant[i] = true; busy++; \
	designated = false; goto resigned
#if THREADS == 2
#define some_idle        (idle[0] || idle[1])
#define leave_claim      leave_claim_to(0) leave_claim_to(1)
#elif THREADS == 3
#define some_idle        (idle[0] || idle[1] || idle[2])
#define leave_claim      leave_claim_to(0) leave_claim_to(1) leave_claim_to(2)
#else
#define some_idle        (idle[0] || idle[1] || idle[2] || idle[3])
#define leave_claim      leave_claim_to(0) leave_claim_to(1) leave_claim_to(2) leave_claim_to(3)
#endif
#define FORGET_HEIR      passesClaim = false
#else
#define BE_IDLE            skip
#define FORGET_HEIR      skip
#endif

#ifdef CORELESS
#define CHOOSE_WAY if :: coreless = true :: coreless = false fi
#define FORGET_WAY coreless = false
#define PASS_ON \
	if \
	:: coreless && designated && (old & HELD) != 0 && !handoffRequested(old) -> coreless = false \
		/* pyext/native/waiting/plain.c golock_plain_next: if (core != NULL && may_claim) { */ \
	:: true \
	fi
#else
#define coreless   false
#define CHOOSE_WAY skip
#define FORGET_WAY skip
#define PASS_ON    skip
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
#define some_on(channel) woken_on(channel, 0) woken_on(channel, 1) woken_on(channel, 2) \
	woken_on(channel, 3)
#endif

/* The properties. A thread takes the lock only when nobody has it, and does not have it when it
 * returns without it. As many permits are taken as there were. Held is set exactly when there are
 * none. A free word has Waiters only for a claimant that has requested the lock, unless it was
 * copied by fork. When nobody is on the way, nobody sleeps while there is a permit, and nothing is
 * reserved: no lost wake-up, and no reservation that outlives its claimants. */
#ifdef LOCK
#define TAKE      assert(holder == 0); holder = me + 1; assert(permits(cell) == 0); WAITS(false)
#define FREE      assert(holder == me + 1); holder = 0; assert(permits(cell) == 1)
#define HAS       (holder == me + 1)
#else
#define TAKE      assert(there > 0); there--; assert(permits(cell) == there); WAITS(false)
#define FREE      there = there + n; assert(permits(cell) == there)
#define HAS       false
#endif
#define REST      busy--; \
	assert(busy > 0 || died || ((!sleepers || (cell & HELD) != 0) && !reserved(cell)))
#define SET(next) \
	cell = next; \
	assert((cell & (HELD | WAITERS)) != WAITERS || handoffRequested(cell) || \
		(cell & FOREIGN) != 0); \
	assert(((cell & HELD) != 0) == (permits(cell) == 0))

/* With a GIL nobody changes the word between a load and the following store; that is checked. A
 * thread needs the GIL except while it sleeps. A lock shared with goroutines is modelled without
 * it: the GIL rules out some interleavings of threads, but none of goroutines. */
#ifdef GIL
bool gil; /* somebody has it */
#define ATTACHED(label)   attach_##label
#define ATTACH(label)     attach_##label: atomic { !gil -> gil = true; goto label }
#define DETACH            gil = false
#define CHANGED_MEANWHILE false
#define UNCHANGED         true
#define STORE(next)       assert(cell == old); SET(next)
#else
#define ATTACHED(label)   label
#define ATTACH(label)
#define DETACH            skip
#define CHANGED_MEANWHILE cell != old
#define UNCHANGED         cell == old
#define STORE(next)       SET(next)
#endif

#ifdef LIVE
/* Liveness. These are fair: every thread runs; the clock advances; the kernel wakes those on a
 * channel in order. A call of the core is one step, as it is with a GIL, so no thread is overtaken
 * for ever during a call. Eventually it is calm: time-outs, interruptions, wakes from strangers,
 * sleeps refused to thread 0, and patience that ends while a claimant is on its way no longer
 * occur. Whatever came before, thread 0 then gets the lock, even if others take and release it for
 * ever. */
ltl served { [] (calm && waits -> <> !waits) }
bool waits;                                /* thread 0 waits */
bool calm;
bool fcfs, coarse;
	/* the threshold is 0; it is beyond what the word can express */
bool overdue;                              /* the due time in the word has come */
bool aged[THREADS];                        /* the thread has waited for the threshold */
chan sleeping = [THREADS] of { byte };
	/* the kernel's queue of those on the channel of sleepers */
chan before = [THREADS] of { byte, byte }; /* and of those on the others */
#define FALL_ASLEEP(channel) \
	asleep[me] = channel; \
	if \
	:: asleep[me] == SLEEPER -> sleeping!me \
	:: else -> before!me,asleep[me] \
	fi
#define WAKE_UP \
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
/* The kernel may wake anybody, and others may change the word between a load and a
 * compare-and-swap. */
#define FALL_ASLEEP(channel) asleep[me] = channel
#define WAKE_UP            asleep[me] = 0; busy++
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

/* The channel on which a waiter sleeps: internal/core/waiter.go. requested equals designated
 * then. */
#define CHANNEL (designated -> CLAIMANT : (returns -> RETURNER : SLEEPER))

/* FUTEX_WAKE_BITSET. Goes to `then` if somebody was woken, otherwise to `no`. */
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

/* internal/core/waiter.go announced: func (w *Waiter) announced(old uint32, at int64) (next,
   channel uint32) { */
/* pyext/native/waiting/plain.c announced: (has_claimant(c, word) && !waiter->designated); */
inline announced()
{
	PASS_ON;
	next = old & BITS;
	offered = (returns -> RETURNER : SLEEPER);
	if
	:: designated && (old & HELD) != 0 && !coreless &&
		(requested || AGED && !handoffRequested(old)) ->
		next = HELD | WAITERS | HANDOFF | NAMED; offered = CLAIMANT
	:: !designated || (old & HELD) == 0 || coreless ||
		(!requested && (YOUNG || handoffRequested(old))) ->
		if
		:: (old & HELD) != 0 && !handoffRequested(old) && (designated || !hasClaimant(old)) ->
			next = (old & BITS & ~NAME) | WAITERS
		:: else
		fi;
		if
		:: ZERO && !designated && !coreless -> next = next | HANDOFF
		:: POSITIVE || designated || coreless
		fi
	fi
}

proctype Thread(byte me; bool has)
{
	byte old, next, offered, reason, who, n;
	bool tries, timed, designated, requested, returns, outlived;
#ifdef CORELESS
	bool coreless;
#endif
#ifdef LINE
	bool passesClaim;
#endif
#ifdef ROUNDS
	byte round;
#endif

	if
	:: has -> goto released
	:: else
	fi;

	BE_IDLE;

end_idle:
	atomic {
#ifdef LINE
		if
		:: claimant[me] -> claimant[me] = false; designated = true; goto ATTACHED(acquire)
			/* internal/core/wait.go takeClaimFromLine: w.designated, w.claimFromLine, w.since =
			   true, true, now() */
		:: claimant[me] -> claimant[me] = false; designated = true; reason = INTERRUPTED;
			goto ATTACHED(acquire)
			/* internal/core/wait.go Wait: w.designated = p.designated */
		:: !claimant[me] && MAY_BEGIN -> idle[me] = false
		fi;
#endif
#ifdef ROUNDS
		MAY_BEGIN -> begun = begun + (round == 0 && me != 0); round++;
#endif
		busy++;
		CHOOSE_WAY;
		if
		:: OTHER -> tries = true
		:: WAITS(true)
		:: OTHER -> timed = true
#ifndef KEEPS
		:: n = 1; goto ATTACHED(release)
		:: PERMITS > 1 -> n = 2; goto ATTACHED(release)
#endif
		fi;
		goto ATTACHED(acquire)
	}
ATTACH(acquire)

load: /* internal/core/waiter.go decide: func (w *Waiter) decide(reason Reason) Action { */
	atomic {
		skip;
acquire:
		if
		:: reason == WOKEN -> designated = true; returns = true
		:: reason == EXPIRED -> returns = true; outlived = reserved(next)
		:: reason == OVERDUE -> returns = true
		:: reason == INTERRUPTED -> returns = true; next = 0; goto resign
		:: else
		fi;
		old = cell;
			/* internal/core/waiter.go decide: old := c.load() */
			/* internal/core/waiter.go TryAcquire: old := c.load() */
			/* pyext/native/waiting/plain.c golock_plain_next: uint64_t old = load(c); */
			/* pyext/native/waiting/plain.c golock_plain_try_acquire: uint64_t old = load(c); */
			/* pyext/native/fastpath/fastpath.h golock_fast_acquire: uint32_t old =
			   __atomic_load_n(word, __ATOMIC_RELAXED); */
			/* pyext/native/fastpath/fastpath.h golock_fast_acquire_permit: uint64_t old =
			   __atomic_load_n(&semaphore->both, __ATOMIC_RELAXED); */
		if
		:: (old & HELD) == 0 &&
			((designated && (requested || !handoffRequested(old))) || outlived || !reserved(old)) ->
			reason = ENTERED;
			designated = designated || reserved(old);
			if
			:: designated && ZERO && !coreless ->
				next = marked(old - PERMIT, (permits(old) > 1 -> NAMED : WAITERS) | HANDOFF)
			:: designated && (POSITIVE || coreless) ->
				next = marked(old - PERMIT, (permits(old) > 1 -> NAMED : WAITERS))
#ifdef LINE
			:: designated && POSITIVE && permits(old) == 1 && some_idle ->
				next = marked(old - PERMIT, NAMED); passesClaim = true
				/* internal/core/waiter.go claimed: if w.passesClaim || next.permits() > 0 { */
#endif
			:: !designated && hasClaimant(old) -> next = marked(old - PERMIT, old & NAME)
			:: !designated && !hasClaimant(old) -> next = marked(old - PERMIT, 0)
			:: !designated && (old & HANDOFF) == 0 -> next = marked(old - PERMIT, old)
				/* by the fast path */
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
			:: next == (old & BITS) -> goto announces
			:: else
			fi
		fi;
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; next = 0; offered = 0; FORGET_HEIR; goto load
		:: UNCHANGED && offered == 0 -> STORE(next); TAKE; has = true; goto took
			/* internal/core/waiter.go decide: if !c.compareAndSwap(old, next) { */
			/* internal/core/waiter.go TryAcquire: if c.compareAndSwap(old, barged(old)) { */
			/* pyext/native/waiting/plain.c golock_plain_next: if (!compare_and_swap(c, old,
			   new)) { */
			/* pyext/native/waiting/plain.c golock_plain_try_acquire: if (compare_and_swap(c,
			   old, barged(c, old))) { */
			/* pyext/native/fastpath/fastpath.h golock_fast_acquire_permit: if
			   (golock_change_permits(semaphore, shared, &old, new, __ATOMIC_ACQUIRE)) { */
			/* pyext/native/fastpath/fastpath.h golock_change_permits: return
			   __atomic_compare_exchange_n(&semaphore->both, old, new, false, order,
			   __ATOMIC_RELAXED); */
			/* pyext/native/fastpath/fastpath.h golock_change_permits:
			   __atomic_store_n(&semaphore->both, new, __ATOMIC_RELAXED); */
			/* pyext/native/fastpath/fastpath.h golock_change: return
			   __atomic_compare_exchange_n(word, old, new, false, order, __ATOMIC_RELAXED); */
			/* pyext/native/fastpath/fastpath.h golock_change: __atomic_store_n(word, new,
			   __ATOMIC_RELAXED); */
		:: UNCHANGED && offered != 0 -> STORE(marked(old, next))
			/* internal/core/waiter.go decide: if announced == word || c.compareAndSwap(old,
			   old.withFlags(announced)) { */
			/* pyext/native/waiting/plain.c golock_plain_next: if (next == word ||
			   compare_and_swap(c, old, with_flags(old, next))) { */
		fi;
announces:
		designated = (offered == CLAIMANT); requested = designated; outlived = false; offered = 0;
			old = 0;
		DETACH;
		AND_SLEEP
	}

sleep:
	atomic {
		skip;
sleep_at_once:
		if
		:: (cell & BITS) == next -> FALL_ASLEEP(CHANNEL); REST; goto end_sleeps
			/* internal/core/wait.go wait: reason = park(w.word, w.value, w.channel|channels,
			   w.until) */
			/* pyext/native/waiting/acquire.c park: if (golock_futex_wait(waiter->word,
			   waiter->value, until, channels) == 0) { */
		:: (cell & BITS) != next || STORMY ->
			if
			:: next = 0; goto ATTACHED(load)
			:: goto stay
			fi
		:: SELDOM -> reason = INTERRUPTED; goto ATTACHED(load)
			/* internal/core/wait.go wait: w.Next(Interrupted) */
		fi
	}

stay:
	atomic {
		old = cell;
			/* internal/core/waiter.go Stay: word := w.cell().load().word() */
			/* pyext/native/waiting/plain.c golock_plain_stay: uint32_t word = (uint32_t)load(c); */
		if
		:: (old & HELD) == 0 &&
			((designated && (requested || !handoffRequested(old))) || !hasClaimant(old))
		:: else ->
			announced();
			if
			:: next == (old & BITS) && offered == CHANNEL ->
				old = 0; offered = 0; AND_SLEEP; goto sleep
			:: else
			fi
		fi;
		old = 0; next = 0; offered = 0; goto ATTACHED(load)
	}

end_sleeps: /* possibly for ever, if nobody releases the semaphore */
	atomic {
		if
		:: called[me] -> called[me] = false; reason = WOKEN; goto ATTACHED(acquire)
		:: asleep[me] != 0 && timed && LATE -> WAKE_UP; reason = OVERDUE
#ifdef PATIENT
		:: asleep[me] != 0 && (STORMY || (reserved(cell) && !on_their_way)) ->
			WAKE_UP; reason = EXPIRED
#endif
		:: asleep[me] != 0 && SELDOM -> WAKE_UP; reason = INTERRUPTED
		:: asleep[me] != 0 && STORMY -> WAKE_UP; reason = WOKEN
			/* by a wake for another lock with this address, or internal/core/wait.go: cancel:
			 * wake(w.word, channelCancel), or golock_raise_wake, above */
#ifdef DEATH
		:: asleep[me] != 0 && !died && SELDOM -> WAKE_UP; died = true; goto dies
		:: called[me] && !died && SELDOM -> called[me] = false; died = true; goto dies
#endif
		fi;
		goto ATTACHED(load)
	}
ATTACH(load)

take:
	atomic {
		skip;
took:
#ifdef LINE
		requested = false;
		if
		:: passesClaim -> passesClaim = false;
			if
			leave_claim /* internal/core/line.go leave: p.designated = claim */
			:: goto resign /* internal/core/wait.go Wait: w.resign() */
			fi
		:: else
		fi;
#endif
		if
		:: designated && permits(next) > 0 -> designated = false; APPOINT; goto appoints
			/* internal/core/waiter.go decide: c.appoint() */
			/* pyext/native/waiting/plain.c golock_plain_next: appoint(c); */
		:: else -> designated = false; goto resigned
		fi
	}

give_up:
	atomic {
		skip;
resign:
		old = 0; outlived = false;
		if
		:: !designated -> goto resigned
		:: designated -> designated = false
		fi;
		AND_AT(owed)
		old = cell;
			/* internal/core/waiter.go resign: old := c.load() */
			/* pyext/native/waiting/plain.c resign: uint64_t old = load(c); */
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; goto owed
		:: UNCHANGED && handoffRequested(old) && !requested -> goto resigned
		:: UNCHANGED && !(handoffRequested(old) && !requested) && (old & HELD) != 0 ->
			STORE(marked(old, (old & ~NAME) | WAITERS)); goto resigned
			/* internal/core/waiter.go resign: if c.compareAndSwap(old,
			   old.withFlags(word&^nameMask|Waiters)) { */
			/* pyext/native/waiting/plain.c resign: if (compare_and_swap(c, old, with_flags(old,
			   (word & ~NAME_MASK) | GOLOCK_WAITERS))) { */
		:: UNCHANGED && !(handoffRequested(old) && !requested) && (old & HELD) == 0 ->
			STORE(marked(old, (old & HANDOFF) | NAMED)); APPOINT; goto appoints
			/* internal/core/waiter.go resign: if c.compareAndSwap(old,
			   old.withFlags(word&Handoff|self)) { */
			/* pyext/native/waiting/plain.c resign: } else if (compare_and_swap(c, old,
			   with_flags(old, (word & GOLOCK_HANDOFF) | c.self))) { */
		fi
	}

released:
	atomic {
		skip;
holds:
		old = 0; next = 0; has = false; designated = false; requested = false; returns = false;
			outlived = false; timed = false; tries = false;
		n = 1;
		CHOOSE_WAY;
		DETACH;
		goto ATTACHED(release)
	}
ATTACH(release)

release:
	atomic {
		old = cell;
			/* internal/core/waiter.go Release: old := c.load() */
			/* pyext/native/waiting/plain.c release: uint64_t old = load(c); */
			/* pyext/native/fastpath/fastpath.h golock_fast_release: uint32_t old =
			   __atomic_load_n(word, __ATOMIC_RELAXED); */
			/* pyext/native/fastpath/fastpath.h golock_fast_release_permits: uint64_t old =
			   __atomic_load_n(&semaphore->both, __ATOMIC_RELAXED); */
		if
		:: permits(old) + n > PERMITS -> goto done
		:: else
		fi;
		if
		:: (old & (WAITERS | HANDOFF)) == 0 -> next = marked(old + n * PERMIT, old)
			/* by the fast path */
		:: (old & HELD) == 0 -> next = old + n * PERMIT
		:: (old & HELD) != 0 && hasClaimant(old) && ((old & HANDOFF) != 0 || (DUE && !coreless)) ->
			next = marked(old + n * PERMIT, old | HANDOFF)
		:: (old & HELD) != 0 && hasClaimant(old) && (old & HANDOFF) == 0 && (NOT_DUE || coreless) ->
			next = marked(old + n * PERMIT, old & NAME)
		:: (old & HELD) != 0 && !hasClaimant(old) && (old & (HANDOFF | WAITERS)) != 0 ->
			next = marked(old + n * PERMIT, (old & HANDOFF) | NAMED)
		:: (old & HELD) != 0 && !hasClaimant(old) && (old & (HANDOFF | WAITERS)) == 0 ->
			next = marked(old + n * PERMIT, 0)
		fi;
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; next = 0; goto release
		:: UNCHANGED && (old & HELD) == 0 -> STORE(next); FREE; goto done
			/* internal/core/waiter.go Release: if c.compareAndSwap(old, next) { */
			/* pyext/native/waiting/plain.c release: if (compare_and_swap(c, old, new)) { */
		:: UNCHANGED && (old & HELD) != 0 && !hasClaimant(old) && (next & NAMED) == 0 ->
			STORE(next); FREE; goto done
			/* internal/core/waiter.go Release: if c.compareAndSwap(old, next.withFlags(0)) { */
			/* pyext/native/waiting/plain.c release: } else if (compare_and_swap(c, old,
			   with_flags(new, 0))) { */
			/* pyext/native/fastpath/fastpath.h golock_fast_release_permits: if
			   (golock_change_permits(semaphore, shared, &old, new, __ATOMIC_RELEASE)) { */
		:: UNCHANGED && (old & HELD) != 0 && !hasClaimant(old) && (next & NAMED) != 0 ->
			STORE(next); FREE; APPOINT; goto appoints
			/* internal/core/waiter.go Release: if c.compareAndSwap(old,
			   next.withFlags(word&Handoff|claimantBits(c.word))) { */
			/* pyext/native/waiting/plain.c release: if (compare_and_swap(c, old, next)) { */
		:: UNCHANGED && (old & HELD) != 0 && hasClaimant(old) && (next & HANDOFF) == 0 ->
			STORE(next); FREE; goto done
			/* internal/core/waiter.go Release: if c.compareAndSwap(old,
			   next.withFlags(word&nameMask)) { */
			/* pyext/native/waiting/plain.c release: if (compare_and_swap(c, old, with_flags(new,
			   word & NAME_MASK))) { */
		:: UNCHANGED && (old & HELD) != 0 && hasClaimant(old) && (next & HANDOFF) != 0 ->
			STORE(next); FREE; old = 0; next = 0
			/* internal/core/waiter.go Release: if c.compareAndSwap(old,
			   next.withFlags(word|Handoff)) { */
			/* pyext/native/waiting/plain.c release: if (compare_and_swap(c, old, with_flags(new,
			   word))) { */
		fi;
		AND_THEN
		WAKE(FIRST_CLAIMANT, done, done)
			/* internal/core/waiter.go Release: wake(c.word, channelClaimant) */
			/* pyext/native/waiting/plain.c release: wake(c.word, CLAIMANTS); */
	}

appoint:
	atomic {
		skip;
appoints:
		old = 0; next = 0;
		/* internal/core/waiter.go wakeFirst: return wake(word, channelReturner|channelClaimant)
		   || wake(word, channelAny) */
		/* pyext/native/waiting/plain.c wake_sleeper: return (any && wake(c.word, RETURNERS |
		   CLAIMANTS)) || wake(c.word, GOLOCK_ANY_CHANNEL); */
		/* pyext/native/waiting/plain.c wake: return golock_futex_wake(word, 1, channels) == 1; */
		AND_THEN
		WAKE(FIRST_BEFORE, resigned, else_any);
		AND_AT(else_any)
		WAKE(FIRST_OF_ANY, resigned, take_back);
		AND_AT(take_back)
		old = cell;
			/* internal/core/waiter.go appoint: old := c.load() */
			/* pyext/native/waiting/plain.c take_back: uint64_t old = load(c); */
		AND_THEN
		if
		:: CHANGED_MEANWHILE -> old = 0; goto take_back
		:: UNCHANGED && handoffRequested(old) -> goto resigned
		:: UNCHANGED && !handoffRequested(old) && (old & HELD) != 0 ->
			STORE(marked(old, (old & ~NAME) | WAITERS)); old = 0
			/* internal/core/waiter.go appoint: if c.compareAndSwap(old, old.withFlags(bits)) { */
			/* pyext/native/waiting/plain.c take_back: if (compare_and_swap(c, old,
			   with_flags(old, bits))) { */
		:: UNCHANGED && !handoffRequested(old) && (old & HELD) == 0 ->
			STORE(marked(old, 0)); old = 0
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
#ifdef KEEPS
		if
		:: has -> goto holds
		:: else
		fi;
#endif
		if
		:: reason == INTERRUPTED ->
			/* a handler runs; then the wait goes on, or the handler raised */
			reason = ENTERED;
			if
			:: CHOOSE_WAY; DETACH; goto ATTACHED(load) /* it may have forked */
			:: OTHER
			fi
		:: else
		fi;
done:
		assert(!HAS);
		old = 0; next = 0; has = false; n = 0; reason = ENTERED; requested = false; returns = false;
			timed = false; tries = false; outlived = false;
		FORGET_WAY;
		REST;
		BE_IDLE;
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
	:: atomic { !overdue || !aged[0] || !aged[1] || !aged[2 % THREADS] ->
		overdue = true; aged[0] = true; aged[1] = true; aged[2 % THREADS] = true }
	:: atomic { !calm -> calm = true }
	od
}
#endif

init
{
	byte i;
	atomic {
		cell = PERMITS * PERMIT;
#if defined(LOCK) && defined(FORK) || !defined(KEEPS)
		if
		:: cell = HELD
		:: PERMITS > 1 -> cell = PERMIT
		:: true
		fi;
#endif
#ifdef FORK
		if
		:: (cell & HELD) != 0 -> cell = cell | WAITERS
		:: (cell & HELD) != 0 -> cell = cell | WAITERS | HANDOFF
		:: cell = cell | FOREIGN
		:: cell = cell | FOREIGN | HANDOFF
		:: cell = cell | FOREIGN | HANDOFF | WAITERS
		:: true
		fi;
#endif
#ifdef LOCK
		busy = cell & HELD;
		holder = cell & HELD;
#else
		there = permits(cell);
#endif
#ifdef LIVE
		if
		:: fcfs = true
		:: coarse = true
		:: true
		fi;
#endif
		do
		:: i < THREADS -> run Thread(i, i == 0 && busy > 0); i++
		:: else -> break
		od
	}
}
