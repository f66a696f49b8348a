/* The claims of tasks of event loops, described in pyext/native/waiting/tasks.h. The word, and what
 * threads do with it, are those of lock.pml; here a thread does only the plain part, and a core
 * may serve a release. Each task has a loop of its own, which may stop while the task waits, for a
 * while or for ever. The line of tasks is a set: any of them may be the first.
 *
 * Settings: THREADS and TASKS; ROUNDS calls of each; STOP: loops stop; CORE: releases that know of
 * no tasks; ONE_LOOP: all tasks are of one loop; SHARED: code that knows of no tasks knows the
 * word, and an agent sleeps on it.
 *
 * Properties: a waiter takes the lock only when nobody has it. When nothing more can happen nobody
 * sleeps, and no task waits whose loop runs, while the lock is free; and it is not reserved. */

#define HELD     1
#define WAITERS  2
#define HANDOFF  4
#define NAMED    8

#define hasClaimant(w) (((w) & NAMED) != 0)
#define reserved(w)    (((w) & (HELD | HANDOFF)) == HANDOFF && hasClaimant(w))

#define ALL (THREADS + TASKS)

byte word;
byte holder;            /* 1 + who has the lock, or 0 */
bool asleep[THREADS];   /* in the kernel */
bool called[THREADS];   /* woken, and has not run since */
bool in_line[TASKS];
bool claimant[TASKS];
bool ready[TASKS];      /* the loop is to run it */
bool stopped[TASKS];    /* the loop does not run */
bool unresponsive[TASKS]; /* a claim of the loop has lapsed */
bool cancelled;         /* one task has been */
byte ended;             /* threads and tasks that have made all their calls */
#ifdef SHARED
bool agent_asleep, agent_called;
#define AGENT_SLEEPS agent_asleep
#define WAKE_AGENT   :: agent_asleep -> agent_asleep = false; agent_called = true; woken = true
#else
#define AGENT_SLEEPS false
#define WAKE_AGENT
#endif

#if THREADS == 1
#define SOME_SLEEPS asleep[0]
#define WAKE_SOME :: asleep[0] -> asleep[0] = false; called[0] = true; woken = true
#else
#define SOME_SLEEPS (asleep[0] || asleep[1])
#define WAKE_SOME :: asleep[0] -> asleep[0] = false; called[0] = true; woken = true \
	:: asleep[1] -> asleep[1] = false; called[1] = true; woken = true
#endif

#ifdef ONE_LOOP
#define LOOP(i) 0
#define RESPOND(i) \
	if \
	:: unresponsive[0] -> unresponsive[0] = false; ready[0] = ready[0] || in_line[0]; \
		ready[1] = ready[1] || in_line[1] \
	:: else \
	fi
#else
#define LOOP(i) (i)
#define RESPOND(i) \
	if \
	:: unresponsive[i] -> unresponsive[i] = false; ready[i] = ready[i] || in_line[i] \
	:: else \
	fi
#endif
#ifndef STOP
#undef RESPOND
#define RESPOND(i) skip
#endif
/* To a task of its loop that is on its way to this word, or to another. With STOP the second is
 * searched alone. */
#if TASKS == 1
#define MAY_GIVE_WAY(i) true
#elif defined(ONE_LOOP) && !defined(STOP)
#define MAY_GIVE_WAY(i) claimant[1 - (i)]
#else
#define MAY_GIVE_WAY(i) false
#endif
#define responds(i)   (in_line[i] && !unresponsive[LOOP(i)])
#define appoint_it(i) :: responds(i) -> in_line[i] = false; claimant[i] = true; ready[i] = true; \
	woken = true
#if TASKS == 1
#define SOME_RESPONDS responds(0)
#define APPOINT_SOME  appoint_it(0)
#else
#define SOME_RESPONDS (responds(0) || responds(1))
#define APPOINT_SOME  appoint_it(0) appoint_it(1)
#endif

/* The wake of the first waiter: a thread in the kernel, the agent, or a task. */
	/* pyext/native/waiting/plain.c wake_sleeper: return (any && wake(c.word, RETURNERS |
	   CLAIMANTS)) || wake(c.word, GOLOCK_ANY_CHANNEL); */
inline wake_sleeper() {
	if
	WAKE_SOME
	WAKE_AGENT
	:: !SOME_SLEEPS && !AGENT_SLEEPS -> woken = false
	fi
}
inline wake_first() {
	atomic {
		if
#ifndef SHARED
		APPOINT_SOME
#endif
		:: true -> wake_sleeper();
			if
			:: !woken ->
				if
				APPOINT_SOME
				:: !SOME_RESPONDS -> woken = false
				fi
			:: woken
			fi
		fi
	}
}
/* The same in a core. */
inline wake_first_in_core() { atomic { wake_sleeper() } }

#define CAS(next) word == old -> word = (next)

/* Takes the claimant's name back, because nobody was woken. */
inline take_back() {
	do
	:: atomic { old = word };
		if
		:: atomic { CAS((old & HELD) != 0 -> ((old & ~NAMED) | WAITERS) : 0) }; break
		:: atomic { word != old }
		fi
	od
}
inline appoint() {
	wake_first();
	if
	:: !woken -> take_back(); wake_first()
	:: woken
	fi
}

/* Ends a wait. A claimant pays its debt. */
inline resign() {
	do
	:: !designated -> break
	:: designated -> atomic { old = word };
		if
		:: atomic { (old & HELD) != 0 && CAS((old & ~NAMED) | WAITERS) }; designated = false; break
		:: atomic { (old & HELD) == 0 && CAS((old & HANDOFF) | NAMED) }; designated = false;
			appoint(); break
		:: atomic { word != old }
		fi
	od
}

/* The same of a task that has the lock, and has become the claimant once more. */
inline resign_with_the_lock() {
	do
	:: !again -> break
	:: again -> atomic { old = word };
		if
		:: atomic { CAS((old & ~NAMED) | WAITERS) }; again = false; break
		:: atomic { word != old }
		fi
	od
}

#define announced(w) \
	((((w) & HELD) == 0 || (hasClaimant(w) && !designated)) -> (w) : (((w) & ~NAMED) | WAITERS))

/* Announces a waiter that sleeps already, or is about to. */
inline announce_another() {
	do
	:: atomic { old = word };
		/* pyext/native/waiting/plain.c announce_another: uint64_t old = load(c); */
		if
		:: atomic { ((old & HELD) != 0 || hasClaimant(old)) && CAS(announced(old)) }; break
			/* pyext/native/waiting/plain.c announce_another: if (next == word ||
			   compare_and_swap(c, old, with_flags(old, next))) { */
		:: atomic { (old & HELD) == 0 && !hasClaimant(old) && CAS((old & HANDOFF) | NAMED) };
			/* pyext/native/waiting/plain.c announce_another: if (compare_and_swap(c, old,
			   named)) { */
			appoint(); break
		:: atomic { word != old }
		fi
	od
}

inline release() {
	do
	:: atomic { old = word };
		if
		:: atomic { hasClaimant(old) && CAS((old | HANDOFF) & ~(HELD | WAITERS)) -> holder = 0 };
			break /* the hand-off is due */
		:: atomic { hasClaimant(old) && (old & HANDOFF) == 0 && CAS(old & NAMED) -> holder = 0 };
			break
		:: atomic { !hasClaimant(old) && (old & (WAITERS | HANDOFF)) != 0 &&
			CAS((old & HANDOFF) | NAMED) -> holder = 0 };
			if
			:: appoint()
#if defined(CORE) || defined(SHARED)
			:: wake_first_in_core();
				if
				:: !woken -> take_back(); wake_first_in_core()
				:: woken
				fi;
#ifdef CORE
				/* A core that serves Python is followed by golock_plain_remind. */
				designated = false;
				announce_another()
#endif
#endif
			fi;
			break
		:: atomic { (old & (NAMED | WAITERS | HANDOFF)) == 0 && CAS(0) -> holder = 0 }; break
		:: atomic { word != old }
		fi
	od
}

proctype thread(byte me) {
	byte old, round;
	bool designated, woken;
	do
	:: round == ROUNDS -> break
	:: round < ROUNDS ->
		do
		:: atomic { old = word };
			if
			:: atomic { (old & HELD) == 0 && (designated || !reserved(old)) &&
				CAS(designated -> HELD | WAITERS : (old & NAMED) | HELD) ->
				assert(holder == 0); holder = me + 1 };
				designated = false; release(); break
			:: atomic { ((old & HELD) != 0 || (reserved(old) && !designated)) &&
				CAS(announced(old)) -> old = announced(old) };
				designated = false;
				if
				:: atomic { word == old -> asleep[me] = true };
end_asleep:				atomic { called[me] -> called[me] = false; designated = true }
				:: atomic { word != old }
				fi
			:: atomic { word != old }
			fi
		od;
		round++
	od;
	ended++
}

/* A task. What it does between two waits for its loop is interrupted by nobody of its loop. */
proctype task(byte me) {
	byte old, round;
	bool designated, woken, again, gave_way;
	do
	:: round == ROUNDS -> break
	:: round < ROUNDS ->
		gave_way = false;
		do
		:: atomic { designated -> old = word };
			/* pyext/native/waiting/plain.c claim_at_once: uint64_t old = load(c); */
			/* pyext/native/waiting/plain.c claim_at_once: old = load(c); */
			if
			:: atomic { (old & HELD) == 0 && CAS(HELD | WAITERS) ->
				assert(holder == 0); holder = THREADS + me + 1 };
				/* pyext/native/waiting/plain.c claim_at_once: if (compare_and_swap(c, old,
				   new)) { */
				designated = false;
				goto has_it
			:: atomic { word != old }
			:: atomic { (old & HELD) != 0 && word == old }
			fi
		:: atomic { true -> RESPOND(me); in_line[me] = true; ready[me] = false };
			/* golock_task_enter, before it looks at the word */
			do
			:: atomic { old = word };
				/* pyext/native/waiting/plain.c golock_plain_claim: uint64_t old = load(c); */
				if
				:: atomic { (old & HELD) == 0 && (designated || !reserved(old)) &&
					CAS(designated -> HELD | WAITERS : (old & NAMED) | HELD) ->
					assert(holder == 0); holder = THREADS + me + 1 };
					/* pyext/native/waiting/plain.c golock_plain_claim: if
					   (!compare_and_swap(c, old, new)) { */
					atomic { again = claimant[me]; claimant[me] = false; in_line[me] = false;
						ready[me] = false; RESPOND(me) };
					resign_with_the_lock();
has_it:				release();
					goto next_round
				:: atomic { ((old & HELD) != 0 || (reserved(old) && !designated)) &&
					CAS(announced(old)) };
					/* pyext/native/waiting/plain.c golock_plain_claim: if (next == word ||
					   compare_and_swap(c, old, with_flags(old, next))) { */
					break
				:: atomic { (old & HELD) != 0 && CAS(announced(old) | HANDOFF) }; break
					/* it asks for the lock */
				:: atomic { (old & HELD) == 0 && !designated && !gave_way &&
					MAY_GIVE_WAY(me) -> gave_way = true; ready[me] = true }; break
					/* those of its loop look first */
					/* pyext/native/waiting/plain.c golock_plain_may_barge: return
					   may_barge(c, __atomic_load_n(word, __ATOMIC_RELAXED)); */
				:: atomic { word != old }
				fi
			od;
			designated = false;
end_waits:		if
			:: atomic { ready[me] && !stopped[LOOP(me)] -> designated = claimant[me];
				claimant[me] = false; in_line[me] = false; ready[me] = false }
			:: atomic { !stopped[LOOP(me)] && !cancelled -> cancelled = true; /* or at its deadline */
				designated = claimant[me]; claimant[me] = false; in_line[me] = false;
				ready[me] = false; RESPOND(me) };
				resign();
				goto next_round
			fi
		od;
next_round:
		round++
	od;
	ended++
}

/* Loops stop, and go on or do not. One that goes on lets its tasks look. */
#ifdef STOP
proctype loop(byte me) {
end_runs: atomic { in_line[me] || claimant[me] -> stopped[LOOP(me)] = true };
	if
	:: atomic { stopped[me] = false; RESPOND(me) }
	:: true
	fi
}

/* The keeper: passes on a claim when its patience ends. The loop may only be slow. */
proctype keeper() {
	byte old, i;
	bool designated, woken;
end_idle: do
	:: atomic { claimant[0] -> i = 0; claimant[i] = false; unresponsive[LOOP(i)] = true };
		designated = true; resign()
#if TASKS > 1
	:: atomic { claimant[1] -> i = 1; claimant[i] = false; unresponsive[LOOP(i)] = true };
		designated = true; resign()
#endif
	od
}
#endif

/* The agent: sleeps on the word on behalf of the line. */
#ifdef SHARED
proctype agent() {
	byte old;
	bool designated, woken;
end_idle: do
	:: SOME_RESPONDS -> designated = false; announce_another();
		atomic { old = announced(word) };
		if
		:: atomic { SOME_RESPONDS && word == old && ((old & HELD) != 0 || hasClaimant(old)) ->
			agent_asleep = true };
end_asleep:		agent_called;
			atomic {
				agent_called = false;
				if
				APPOINT_SOME
				:: !SOME_RESPONDS -> designated = true
				fi
			};
			resign()
		:: atomic { !SOME_RESPONDS || word != old || ((old & HELD) == 0 && !hasClaimant(old)) }
		fi
	od
}
#endif

#if TASKS == 1
#define SOME_TASK_WAITS (in_line[0] && !stopped[0])
#define SOME_CLAIM      claimant[0]
#else
#define SOME_TASK_WAITS ((in_line[0] && !stopped[0]) || (in_line[1] && !stopped[LOOP(1)]))
#define SOME_CLAIM      (claimant[0] || claimant[1])
#endif

init {
	byte i;
	atomic {
		if
		:: cancelled = true /* none will be */
		:: cancelled = false
		fi;
		do
		:: i < THREADS -> run thread(i); i++
		:: i >= THREADS && i < ALL -> run task(i - THREADS); i++
		:: i == ALL -> break
		od;
#ifdef STOP
		run loop(0);
		run keeper();
#endif
#ifdef SHARED
		run agent();
#endif
	};
	timeout -> assert(holder == 0 && !SOME_SLEEPS && !SOME_TASK_WAITS && !SOME_CLAIM &&
		!reserved(word))
}
