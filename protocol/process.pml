/* The protocol of locks across processes, described in internal/process/page.go. Each process has a
 * slot, a thread that takes and releases the lock, and a sentinel. Any process may be killed at any
 * moment: the kernel marks its life words, its thread runs on for a while, then it stops, and at
 * last its byte is unlocked. A new process may move into the slot.
 *
 * What internal/core/word.go describes is in lock.pml as well; here it meets deaths. The clock is
 * left out: a hand-off may be due at any release, and a claimant may request it at any time.
 * Sentinels never look by the clock, so all that a death leaves must be seen by its wake. A slot has
 * one life word, and is watched by the nearest living slot below alone.
 *
 *     PROCESSES  the number of slots, 2 or 3
 *     KILLS      how many processes are killed
 *     BIRTHS     how many processes move into slots of the dead
 *     ROUNDS     the number of acquires of each process
 *     LATE       the first sentinels begin to watch at any time, like those of BIRTHS
 *     TIMEOUTS   a sleep may end by itself; the acquire then ends without the lock
 */

#ifndef BIRTHS
#define BIRTHS 0
#endif

/* The cell: flags, holder (1 + its slot), deaths, and the count modulo 4. */
#define WAITERS 1
#define CLAIMED 2
#define HANDOFF 4
#define FLAGS   7
#define holder(c)       ((c >> 3) & 3)
#define deaths(c)       ((c >> 5) & 3)
#define flagged(c, f)   (((c) & ~FLAGS) | (f))
#define without_holder(c) ((c) & ~24)
#define held_by(c, i)   (((c) & ~24) | ((i + 1) << 3))
#define counted(c)      (((c) & 127) | (((c) + 128) & 384))
#define with_death(c)   ((c) + 32)
#define recovered(c)    ((c) & ~96)
#define handoffRequested(c) (((c) & FLAGS) == FLAGS)
#define reserved(c)     (holder(c) == 0 && ((c) & (CLAIMED | HANDOFF)) == (CLAIMED | HANDOFF))

#define SLEEPER  1
#define RETURNER 2
#define CLAIMANT 3

/* The life word. A living slot has the id of its sentinel, another one for each process. */
#define NONE 0
#define DIED 3

/* What has become of the process in a slot. */
#define ALIVE   0
#define MARKED  1 /* the life word says DIED, and the sentinel has gone; the thread still runs */
#define STOPPED 2 /* the thread never runs again, but may still be in the queue of the word */
#define GONE    3 /* the byte is unlocked */

short cell;
byte life[PROCESSES];
byte bell[PROCESSES]; /* modulo 4 */
byte debts[PROCESSES];
byte phase[PROCESSES];
byte asleep[PROCESSES]; /* the channel, or 0 */
bool woken[PROCESSES];

bool has[PROCESSES];      /* the process in the slot took the lock, and nobody has released it */
bool watching[PROCESSES]; /* its sentinel runs */
byte owner[PROCESSES];   /* the number of the process that has the slot */
byte mourned[PROCESSES]; /* the number of the last whose death has been handled */
byte births = BIRTHS;
byte lost;                /* holders that have died */
byte told;                /* deaths that were recovered from */

#define runs(i)     (phase[i] < STOPPED)
#define living(i)   (life[i] != NONE && life[i] != DIED)
#define noted(i)    (life[i] != NONE && (life[i] != DIED || owner[i] != mourned[i]))

#if PROCESSES == 2
#define nobody_has  (!(has[0] && runs(0)) && !(has[1] && runs(1)))
#define some_on(channel) \
	:: asleep[0] == channel -> who = 0 :: asleep[1] == channel -> who = 1
#define below(i)    (1 - i)
#define nearest_below(i) (noted(below(i)) -> below(i) : PROCESSES)
#define nearest_above(i) (living(below(i)) -> below(i) : PROCESSES)
#define all(expression) (expression(0) && expression(1))
#define some_alive  (phase[0] == ALIVE || phase[1] == ALIVE)
#else
#define nobody_has  (!(has[0] && runs(0)) && !(has[1] && runs(1)) && !(has[2] && runs(2)))
#define some_on(channel) \
	:: asleep[0] == channel -> who = 0 :: asleep[1] == channel -> who = 1 \
	:: asleep[2] == channel -> who = 2
#define below(i)    ((i + 2) % 3)
#define above(i)    ((i + 1) % 3)
#define nearest_below(i) (noted(below(i)) -> below(i) : (noted(above(i)) -> above(i) : PROCESSES))
#define nearest_above(i) (living(above(i)) -> above(i) : (living(below(i)) -> below(i) : PROCESSES))
#define all(expression) (expression(0) && expression(1) && expression(2))
#define some_alive  (phase[0] == ALIVE || phase[1] == ALIVE || phase[2] == ALIVE)
#endif

#define NOBODY PROCESSES
#define WAKE \
	if \
	:: who != NOBODY -> asleep[who] = 0; woken[who] = true; found = true \
	:: else -> found = false \
	fi; \
	who = 0

inline wake_claimant() {
	atomic {
		if
		some_on(CLAIMANT)
		:: else -> who = NOBODY
		fi;
		WAKE;
		found = false
	}
}

/* Sets found. */
inline wake_first() {
	atomic {
		if
		some_on(RETURNER)
		some_on(CLAIMANT)
		:: else ->
			if
			some_on(SLEEPER)
			:: else -> who = NOBODY
			fi
		fi;
		WAKE
	}
}

/* A compare-and-swap of old to next, with what the proof notes about it. Sets swapped. */
#define SWAP(note) \
	if \
	:: cell == old -> cell = next; note; swapped = true \
	:: else -> swapped = false \
	fi; \
	old = 0; next = 0

#define NOTHING skip

/* The same, and if it names a claimant, what follows: the claimant is woken, or its name is taken
 * back. Meanwhile the process has a debt, which is counted where old is read. */
#define NAMES names = true; debts[me]++
#define SWAP_AND_APPOINT(note) \
	atomic { \
		SWAP(note); \
		if \
		:: names && !swapped -> debts[me]--; names = false \
		:: else \
		fi \
	}; \
	if \
	:: names -> \
		appoint(); \
		atomic { debts[me]--; names = false; swapped = true } \
	:: else \
	fi

inline appoint() {
	wake_first();
	do
	:: atomic { found -> found = false; break }
	:: else ->
		atomic { old = cell;
			if
			:: handoffRequested(old) -> old = 0; break
			:: !handoffRequested(old) && holder(old) != 0 ->
				next = flagged(old, (old & HANDOFF) | WAITERS)
			:: !handoffRequested(old) && holder(old) == 0 -> next = flagged(old, 0)
			fi };
		atomic { SWAP(NOTHING) };
		if
		:: swapped -> wake_first(); atomic { found = false; break }
		:: else
		fi
	od
}

inline pass_on() {
	do
	:: atomic { old = cell;
		if
		:: holder(old) != 0 -> next = flagged(old, (old & HANDOFF) | WAITERS)
		:: else -> next = flagged(old, (old & HANDOFF) | CLAIMED); NAMES
		fi };
		SWAP_AND_APPOINT(NOTHING);
		atomic {
			if
			:: swapped -> swapped = false; break
			:: else
			fi
		}
	od
}

/* A dead holder's lock is freed: that of a process that runs no more. */
#define BURY next = flagged(with_death(without_holder(old)), (old & HANDOFF) | CLAIMED); NAMES
#define BURIED assert(has[victim]); has[victim] = false

/* An expedited barrier returns when the dead no longer run. */
#define BARRIER(i) (phase[i] != MARKED)

inline settle() {
	do
	:: atomic {
		if
		:: holder(cell) == 0 -> break
		:: else
		fi;
		victim = holder(cell) - 1;
		if
		:: life[victim] != DIED -> victim = 0; break
		:: else -> old = cell
		fi };
		atomic { BARRIER(victim) -> BURY };
		SWAP_AND_APPOINT(BURIED);
		atomic {
			victim = 0;
			if
			:: swapped -> swapped = false; break
			:: else
			fi
		}
	od
}

inline release() {
	do
	:: atomic { old = cell;
		assert(holder(old) == me + 1);
		if
		:: (old & CLAIMED) != 0 && (old & HANDOFF) == 0 ->
			next = flagged(without_holder(old), CLAIMED)
		:: (old & CLAIMED) != 0 -> /* the hand-off is due, or requested */
			next = without_holder(old) | HANDOFF;
			debts[me]++;
			hands = true
		:: (old & CLAIMED) == 0 && (old & (HANDOFF | WAITERS)) != 0 ->
			next = flagged(without_holder(old), (old & HANDOFF) | CLAIMED);
			NAMES
		:: (old & FLAGS) == 0 -> next = without_holder(old)
		fi };
		SWAP_AND_APPOINT(has[me] = false);
		if
		:: hands ->
			if
			:: swapped -> wake_claimant()
			:: else
			fi;
			atomic { debts[me]--; hands = false }
		:: else
		fi;
		atomic {
			if
			:: swapped -> swapped = false; break
			:: else
			fi
		}
	od
}

/* Nobody else has the lock, and nobody who had it and was killed still runs. */
#define TAKE assert(nobody_has); has[me] = true

inline resign() {
	atomic {
		if
		:: designated && (channel == CLAIMANT || !handoffRequested(cell)) -> resigns = true
		:: else
		fi;
		designated = false
	};
	if
	:: resigns -> pass_on(); resigns = false
	:: else
	fi
}

#define requested (designated && channel == CLAIMANT)
#define may_claim (designated && (channel == CLAIMANT || !handoffRequested(old)))

inline acquire() {
	debts[me]++;
	settle();
	do
	:: atomic { old = cell;
		if
		:: holder(old) == 0 && (may_claim || !reserved(old)) ->
			takes = true;
			if
			:: designated -> next = counted(held_by(flagged(old, WAITERS), me))
			:: else -> next = counted(held_by(flagged(old, old & CLAIMED), me))
			fi
		:: else ->
			next = old;
			wish = (returns -> RETURNER : SLEEPER);
			if
			:: holder(old) != 0 && (requested || (designated && !handoffRequested(old))) ->
				next = old | FLAGS; wish = CLAIMANT
			:: holder(old) != 0 && !requested && !handoffRequested(old) &&
				(designated || (old & CLAIMED) == 0) ->
				next = (old & ~CLAIMED) | WAITERS
			:: holder(old) == 0 || (!requested && handoffRequested(old)) ||
				(!designated && (old & CLAIMED) != 0)
			fi;
			wants = next & 31
		fi };
		if
		:: takes ->
			atomic {
				SWAP(TAKE);
				takes = false;
				if
				:: swapped -> swapped = false; taken = true; break
				:: else
				fi
			}
		:: else ->
			atomic { SWAP(NOTHING) };
			if
			:: swapped ->
				atomic { swapped = false; channel = wish; designated = (channel == CLAIMANT) };
				settle();
				atomic {
					if
					:: (cell & 31) == wants -> asleep[me] = channel
					:: else
					fi
				};
				if
				:: atomic { asleep[me] == 0 && woken[me] ->
					woken[me] = false; designated = true; returns = true }
				:: atomic { asleep[me] == 0 && !woken[me] } /* the word had changed */
#ifdef TIMEOUTS
				:: atomic { asleep[me] != 0 -> asleep[me] = 0; returns = true };
					resign();
					break
#endif
				fi
			:: else
			fi
		fi
	od;
	atomic { channel = 0; wish = 0; wants = 0; designated = false; returns = false; debts[me]-- }
}

/* A process moves into a slot whose byte it has locked. */
inline move_in() {
	atomic { /* before that it has no part in anything, and its death changes nothing */
		owed = debts[me];
		owner[me]++;
		life[me] = 1 + owner[me] % 2;
		phase[me] = ALIVE;
		watching[me] = true
	};
	atomic {
		who = nearest_above(me);
		if
		:: who < PROCESSES -> bell[who] = (bell[who] + 1) % 4
		:: else
		fi;
		who = 0
	};
	do
	:: atomic {
		if
		:: holder(cell) != me + 1 -> break
		:: else -> old = cell; victim = me; BURY
		fi };
		SWAP_AND_APPOINT(BURIED);
		atomic {
			victim = 0;
			if
			:: swapped -> swapped = false; break
			:: else
			fi
		}
	od;
	if
	:: owed > 0 -> pass_on(); atomic { debts[me] = debts[me] - owed; owed = 0 }
	:: else
	fi
}

proctype user(byte me) {
	short old, next;
	byte channel, wish, wants, who, owed, rounds, victim;
	bool designated, returns, found, swapped, taken, born, names, hands, takes, resigns;
	do
	:: {
			if
			:: born -> move_in()
			:: else
			fi;
			do
			:: rounds < ROUNDS ->
				rounds++;
				acquire();
				if
				:: taken ->
					taken = false;
					if
					:: deaths(cell) > 0 ->
						atomic { /* one step of the holder's; others change the flags meanwhile */
							told = told + deaths(cell);
							cell = recovered(cell)
						}
					:: else
					fi;
					release()
				:: else
				fi
			:: else -> break
			od;
end_idle:		false
		} unless { phase[me] >= STOPPED };
end_dead:
		atomic {
			phase[me] == GONE && births > 0 ->
			births--;
			old = 0; next = 0; channel = 0; wish = 0; wants = 0; who = 0; owed = 0; rounds = 0;
			victim = 0; designated = false; returns = false; found = false; swapped = false;
			taken = false; names = false; hands = false; takes = false; resigns = false;
			born = true
		}
	od
}

proctype sentinel(byte me) {
	short old, next;
	byte who, heard, aim = NOBODY, aimed, number, victim;
	bool found, swapped, names;
#ifndef LATE
	bool started;
#endif
end_off:
	do
	:: watching[me] && phase[me] == ALIVE ->
		{
#ifndef LATE
			atomic {
				if
				:: !started -> started = true; heard = bell[me]; goto aims
				:: else
				fi
			};
#endif
			do
			:: atomic { heard = bell[me];
				if
				:: aim < PROCESSES && life[aim] != aimed -> number = owner[aim]
				:: else -> goto watched
				fi };
				atomic { BARRIER(aim) ->
					if
					:: life[aim] != DIED -> goto watched
					:: else
					fi };
				settle();
				if
				:: debts[aim] > 0 ->
					pass_on();
					atomic { phase[aim] != STOPPED ->
						if
						:: life[aim] != DIED -> goto watched
						:: else
						fi };
					pass_on()
				:: else
				fi;
				mourned[aim] = number;
watched:			settle();
aims:				atomic {
					aim = nearest_below(me);
					aimed = (aim < PROCESSES -> (life[aim] == DIED -> NONE : life[aim]) : NONE);
					number = 0
				};
end_watching:			bell[me] != heard || (aim < PROCESSES && life[aim] != aimed)
			od
		} unless { phase[me] != ALIVE }
	:: atomic { watching[me] && phase[me] != ALIVE ->
		watching[me] = false;
		old = 0; next = 0; who = 0; heard = 0; aim = NOBODY; aimed = 0; number = 0; victim = 0;
		found = false; swapped = false; names = false }
	od
}

proctype killer() {
	byte kills, i; /* all are alike, so let the first victim be in slot 0 */
	do
	:: kills < KILLS ->
		kills++;
		if
		:: phase[0] == ALIVE && living(0) -> i = 0
		:: kills > 1 && phase[1] == ALIVE && living(1) -> i = 1
#if PROCESSES == 3
		:: kills > 1 && phase[2] == ALIVE && living(2) -> i = 2
#endif
		fi;
		atomic { life[i] = DIED; phase[i] = MARKED };
		atomic {
			!watching[i] -> /* the sentinel has gone; the thread has not */
			phase[i] = STOPPED;
			lost = lost + has[i]
		};
		atomic { asleep[i] = 0; woken[i] = false; phase[i] = GONE }
	:: break
	od
}

#define unowned(i) (!has[i] || !some_alive)
#define at_rest(i) (asleep[i] == 0)

/* When nothing moves any more, nobody sleeps, no dead process has the lock, and every death of a
 * holder was told, or will be. */
proctype end() {
	timeout ->
	if
	:: some_alive ->
		assert(all(unowned));
		assert(all(at_rest));
		assert(holder(cell) == 0);
		assert(told + deaths(cell) == lost)
	:: else
	fi
}

init {
	atomic {
		owner[0] = 1; owner[1] = 1;
		life[0] = 1; watching[0] = true; run user(0); run sentinel(0);
		life[1] = 1; watching[1] = true; run user(1); run sentinel(1);
#if PROCESSES == 3
		owner[2] = 1; life[2] = 1; watching[2] = true; run user(2); run sentinel(2);
#endif
		run killer();
		run end()
	}
}
