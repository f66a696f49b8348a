/* The protocol of locks across processes, described in internal/process/page.go. Each process has a
 * slot, a thread that takes and releases the lock, and a sentinel. Any process may be killed at any
 * moment: the kernel marks its life words, its thread runs on for a while, then it stops, and at
 * last its byte is unlocked. A new process may move into the slot.
 *
 * What internal/core/word.go describes is in lock.pml as well; here it meets deaths. The clock is
 * left out: a hand-off may be due at any release, and a claimant may request it at any time.
 * Sentinels never look by the clock, so all that a death leaves must be seen by its wake. A slot
 * has one life word, and is watched by the nearest living slot above alone.
 *
 * Three processes that all call are too many states: with one death and PLAIN, more than 83 million
 * after ten minutes. COLLAPSE and HC4 take a third of the memory, not of the time. So with three
 * slots one process, or two, only watch.
 *
 *     PROCESSES  the number of slots, 2 or 3
 *     KILLS      how many processes are killed
 *     BIRTHS     how many processes move into slots of the dead
 *     ROUNDS     the number of acquires of each process
 *     CALLERS    how many processes acquire; the others watch
 *     LATE       the first sentinels begin to watch at any time, like those of BIRTHS
 *     PLAIN      no hand-off is due, and no claimant requests one
 *     TIMEOUTS   a sleep may end by itself; the acquire then ends without the lock
 */

/* Accesses without a step of their own. The clock is left out: */
	/* pyext/native/process/cell.c set_due: __atomic_store_n(&page->memory->due, golock_now()
	   + tenure, __ATOMIC_RELAXED); */
	/* pyext/native/process/cell.c due: int64_t left = __atomic_load_n(&page->memory->due,
	   __ATOMIC_RELAXED) - golock_now(); */
	/* internal/process/cell.go setDue: atomic.StoreInt64(&m.due,
	   core.Now()+min(int64(core.HandoffAfter()), longestTenure)) */
	/* internal/process/cell.go isDue: left := atomic.LoadInt64(&m.due) - core.Now() */
/* Looks by the clock, and wakes from strangers: */
	/* pyext/native/process/sentinel.c golock_sentinel_look: uint64_t cell =
	   golock_cell_load(page); */
	/* pyext/native/process/sentinel.c golock_sentinel_look: golock_cell_pass_on(page); */
	/* pyext/native/process/sentinel.c golock_sentinel_look: __atomic_store_n(&page->seen,
	   golock_cell_load(page), __ATOMIC_RELAXED); */
	/* internal/process/sentinel_linux.go look: cell := p.memory.load() */
	/* internal/process/sentinel_linux.go look: p.passOn() */
	/* internal/process/sentinel_linux.go look: p.seen.Store(uint64(p.memory.load())) */
/* Reports to the user: */
	/* internal/process/lock_linux.go Locked: cell := l.page.memory.load() */
	/* internal/process/lock_linux.go Abandoned: return l.page.memory.load().deaths() != 0 */
	/* internal/process/lock_linux.go Release: if l.page.memory.load().holder() !=
	   l.page.me.Load() { */
	/* internal/process/lock_linux.go Recover: if l.page.memory.load().holder() !=
	   l.page.me.Load() { */
/* A process that asks about its own slot: */
	/* pyext/native/process/slot.c golock_slot_survives_close: return page->me == 0 ||
	   golock_life_guarded(load(page, page->me, 0)); */
/* A process that ends without debts, and without the lock: */
	/* pyext/native/process/slot.c golock_slot_leave: __atomic_store_n(life, 0,
	   __ATOMIC_SEQ_CST); */
	/* pyext/native/process/slot.c golock_slot_leave: golock_shared_wake(life, INT_MAX,
	   FUTEX_BITSET_MATCH_ANY); */
	/* internal/process/slot_linux.go leave: atomic.StoreUint32(life, 0) */

#ifndef CALLERS
#define CALLERS PROCESSES
#endif
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

/* 1: the process in the slot took the lock, and nobody has released it. 2: it has died since. */
byte has[PROCESSES];
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
#define nobody_has  (!(has[0] == 1 && runs(0)) && !(has[1] == 1 && runs(1)))
#define some_on(channel) \
	:: asleep[0] == channel -> who = 0 :: asleep[1] == channel -> who = 1
#define below(i)    (1 - i)
#define nearest_below(i) (noted(below(i)) -> below(i) : PROCESSES)
#define nearest_above(i) (living(below(i)) -> below(i) : PROCESSES)
#define all(expression) (expression(0) && expression(1))
#define some_alive  (phase[0] == ALIVE || phase[1] == ALIVE)
#else
#define nobody_has  (!(has[0] == 1 && runs(0)) && !(has[1] == 1 && runs(1)) && \
	!(has[2] == 1 && runs(2)))
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

#ifdef PLAIN
#define HANDS_OVER false
#else
#define HANDS_OVER true
#endif

#define NOBODY PROCESSES
#define WAKE \
	if \
	:: who != NOBODY -> asleep[who] = 0; woken[who] = true; found = true \
	:: else -> found = false \
	fi; \
	who = 0

	/* pyext/native/process/cell.c wake: return golock_shared_wake(golock_cell_word(page), 1,
	   channels) == 1; */
	/* pyext/native/process/cell.c wake_first: return wake(page, RETURNER | CLAIMANT) ||
	   wake(page, ANY_CHANNEL); */
	/* internal/process/cell.go wakeFirst: return m.wake(channelReturner|channelClaimant) ||
	   m.wake(channelAny) */
	/* internal/process/slot_linux.go wake: func (m *memory) wake(channels uint32) bool {
	   return wake(m.word(), 1, channels) == 1 } */
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
	/* pyext/native/process/cell.h golock_cell_load: return
	   __atomic_load_n(&page->memory->cell, __ATOMIC_ACQUIRE); */
	/* pyext/native/process/cell.h golock_cell_swap: return
	   __atomic_compare_exchange_n(&page->memory->cell, &old, next, false, __ATOMIC_ACQ_REL, */
	/* pyext/native/process/slot.c load: return __atomic_load_n(golock_life_of(page, slot,
	   which), __ATOMIC_ACQUIRE); */
	/* internal/process/cell.go load: func (m *memory) load() state { return
	   state(atomic.LoadUint64(&m.cell)) } */
	/* internal/process/cell.go compareAndSwap: return atomic.CompareAndSwapUint64(&m.cell,
	   uint64(old), uint64(next)) */
	/* internal/process/slot_linux.go loadLife: func (p *page) loadLife(slot uint32, which
	   int) uint32 { */
	/* internal/process/slot_linux.go loadLife: return atomic.LoadUint32(p.life(slot, which))
	   */
#define SWAP(note) \
	if \
	:: cell == old -> cell = next; note; swapped = true \
	:: else -> swapped = false \
	fi; \
	old = 0; next = 0

#define NOTHING skip

/* The same, and if it names a claimant, what follows: the claimant is woken, or its name is taken
 * back. Meanwhile the process has a debt, which is counted where old is read. */
	/* pyext/native/process/cell.h golock_cell_owes: __atomic_fetch_add(debts, owes ? 1 :
	   UINT32_MAX, __ATOMIC_SEQ_CST); */
	/* pyext/native/process/cell.c swap_and_appoint: bool swapped = golock_cell_swap(page,
	   old, next); */
	/* internal/process/cell.go owes: atomic.AddUint32(&p.memory.slots[p.me.Load()-1].debts,
	   uint32(change)) */
	/* internal/process/cell.go swapAndAppoint: if !p.memory.compareAndSwap(old, next) { */
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

	/* pyext/native/process/cell.c appoint: uint64_t old = golock_cell_load(page); */
	/* pyext/native/process/cell.c appoint: if (golock_cell_swap(page, old, with_flags(old,
	   flags))) { */
	/* internal/process/cell.go appoint: old := m.load() */
	/* internal/process/cell.go appoint: if m.compareAndSwap(old, old.withFlags(bits)) { */
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

	/* pyext/native/process/cell.c golock_cell_pass_on: uint64_t old = golock_cell_load(page);
	   */
	/* pyext/native/process/cell.c golock_cell_pass_on: if (golock_cell_swap(page, old,
	   with_flags(old, handoff | GOLOCK_PAGE_WAITERS))) { */
	/* pyext/native/process/cell.c golock_cell_pass_on: if (swap_and_appoint(page, old,
	   with_flags(old, handoff | GOLOCK_PAGE_CLAIMED))) { */
	/* internal/process/cell.go passOn: old := m.load() */
	/* internal/process/cell.go passOn: if m.compareAndSwap(old,
	   old.withFlags(old&Handoff|Waiters)) { */
	/* internal/process/cell.go passOn: if p.swapAndAppoint(old,
	   old.withFlags(old&Handoff|Claimed)) { */
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
	/* pyext/native/process/cell.c golock_cell_bury: return swap_and_appoint(page, old,
	   with_flags(next, flags)); */
	/* internal/process/cell.go bury: return p.swapAndAppoint(old,
	   next.withFlags(old&Handoff|Claimed)) */
#define BURY next = flagged(with_death(without_holder(old)), (old & HANDOFF) | CLAIMED); NAMES
#define BURIED assert(has[victim] == 2); has[victim] = 0

/* An expedited barrier returns when the dead no longer run. */
	/* pyext/native/process/slot.c has_stopped: return
	   __atomic_load_n(&page->memory->slots[slot - 1].barrier, __ATOMIC_ACQUIRE) != 0 && */
	/* pyext/native/process/slot.c golock_slot_life: uint32_t first = load(page, slot, 0),
	   second = load(page, slot, 1); */
	/* internal/process/slot_linux.go stopped: if
	   atomic.LoadUint32(&p.memory.slots[slot-1].barrier) == 0 { */
	/* internal/process/slot_linux.go lifeOf: first, second := p.loadLife(slot, 0),
	   p.loadLife(slot, 1) */
#define BARRIER(i) (phase[i] != MARKED)

	/* pyext/native/process/slot.c golock_slot_settle: uint64_t cell = golock_cell_load(page);
	   */
	/* pyext/native/process/slot.c golock_slot_settle: if (golock_cell_bury(page, cell)) { */
	/* internal/process/slot_linux.go settle: cell := p.memory.load() */
	/* internal/process/slot_linux.go settle: if p.bury(cell) { */
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

	/* pyext/native/process/cell.h golock_cell_fast_release: golock_cell_swap(page, old, old &
	   ~(uint64_t)UINT32_MAX); */
	/* pyext/native/process/cell.c golock_cell_release: uint64_t old = golock_cell_load(page);
	   */
	/* pyext/native/process/cell.c golock_cell_release: bool released = golock_cell_swap(page,
	   old, next | GOLOCK_PAGE_HANDOFF); */
	/* pyext/native/process/cell.c golock_cell_release: if (golock_cell_swap(page, old,
	   with_flags(next, GOLOCK_PAGE_CLAIMED))) { */
	/* pyext/native/process/cell.c golock_cell_release: if (swap_and_appoint(page, old,
	   with_flags(next, flags))) { */
	/* pyext/native/process/cell.c golock_cell_release: } else if (golock_cell_swap(page, old,
	   next)) { */
	/* internal/process/cell.go release: old := m.load() */
	/* internal/process/cell.go release: released := m.compareAndSwap(old, next|Handoff) */
	/* internal/process/cell.go release: m.wake(channelClaimant) */
	/* internal/process/cell.go release: if m.compareAndSwap(old, next.withFlags(Claimed)) {
	   */
	/* internal/process/cell.go release: if p.swapAndAppoint(old,
	   next.withFlags(old&Handoff|Claimed)) { */
	/* internal/process/cell.go release: if m.compareAndSwap(old, next) { */
inline release() {
	do
	:: atomic { old = cell;
		assert(holder(old) == me + 1);
		if
		:: (old & CLAIMED) != 0 && (old & HANDOFF) == 0 ->
			next = flagged(without_holder(old), CLAIMED)
		:: (old & CLAIMED) != 0 && HANDS_OVER -> /* the hand-off is due, or requested */
			next = without_holder(old) | HANDOFF;
			debts[me]++;
			hands = true
		:: (old & CLAIMED) == 0 && (old & (HANDOFF | WAITERS)) != 0 ->
			next = flagged(without_holder(old), (old & HANDOFF) | CLAIMED);
			NAMES
		:: (old & FLAGS) == 0 -> next = without_holder(old)
		fi };
		SWAP_AND_APPOINT(has[me] = 0);
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
#define TAKE assert(nobody_has); has[me] = 1

	/* pyext/native/process/cell.c resign: if (!handoff_requested(golock_cell_load(page)) ||
	   asked) { */
	/* internal/process/cell.go resign: if requested ||
	   !w.page.memory.load().handoffRequested() { */
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

	/* pyext/native/process/cell.h golock_cell_fast_acquire: return me != 0 && (uint32_t)old
	   == 0 && golock_cell_swap(page, old, next); */
	/* pyext/native/process/cell.c golock_cell_next: uint64_t old = golock_cell_load(page); */
	/* pyext/native/process/cell.c golock_cell_next: if (golock_cell_swap(page, old,
	   taken(page, waiter, old))) { */
	/* pyext/native/process/cell.c golock_cell_next: if (next == old || golock_cell_swap(page,
	   old, next)) { */
	/* pyext/native/process/wait.c park: long result =
	   golock_shared_wait(golock_cell_word(page), waiter->value, early ? look : until, */
	/* pyext/native/process/wait.c acquire: enum golock_cell_action action =
	   golock_cell_next(page, &waiter, reason); */
	/* pyext/native/process/wait.c acquire: golock_cell_next(page, &waiter,
	   GOLOCK_CELL_INTERRUPTED); */
	/* pyext/native/process/wait.c acquire: golock_cell_owes(page, true); */
	/* pyext/native/process/wait.c golock_page_acquire: golock_cell_owes(page, true); */
	/* pyext/native/process/wait.c golock_page_acquire: golock_cell_owes(page, false); */
	/* internal/process/cell.go next: old := m.load() */
	/* internal/process/cell.go next: if m.compareAndSwap(old, w.taken(old)) { */
	/* internal/process/cell.go next: if next == old || m.compareAndSwap(old, next) { */
	/* internal/process/lock_linux.go TryAcquire: l.page.owes(1) */
	/* internal/process/lock_linux.go TryAcquire: defer l.page.owes(-1) */
	/* internal/process/lock_linux.go TryAcquire: return w.next(core.Entered) == acquired */
	/* internal/process/lock_linux.go Acquire: l.page.owes(1) */
	/* internal/process/lock_linux.go Acquire: defer l.page.owes(-1) */
	/* internal/process/lock_linux.go Acquire: switch w.next(core.Entered) { */
	/* internal/process/lock_linux.go wait: switch w.next(reason) { */
	/* internal/process/lock_linux.go wait: w.next(core.Interrupted) */
	/* internal/process/lock_linux.go sleep: return parkShared(p.memory.word(), w.value,
	   w.channel|channels, w.until) */
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
			:: HANDS_OVER && holder(old) != 0 &&
				(requested || (designated && !handoffRequested(old))) ->
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
	/* pyext/native/process/slot.c ring: if (golock_life_guarded(load(page, other, 0))) { */
	/* pyext/native/process/slot.c ring: __atomic_fetch_add(doorbell, 1, __ATOMIC_SEQ_CST); */
	/* pyext/native/process/slot.c ring: golock_shared_wake(doorbell, INT_MAX,
	   FUTEX_BITSET_MATCH_ANY); */
	/* pyext/native/process/slot.c may_be_free: return !golock_life_guarded(load(page, slot,
	   0)) || !golock_life_guarded(load(page, slot, 1)); */
	/* pyext/native/process/slot.c move_in: const uint32_t debts =
	   __atomic_load_n(&mine->debts, __ATOMIC_ACQUIRE); */
	/* pyext/native/process/slot.c move_in: __atomic_fetch_add(&mine->lives[0].number, 1,
	   __ATOMIC_SEQ_CST); */
	/* pyext/native/process/slot.c move_in: __atomic_store_n(&page->me, slot,
	   __ATOMIC_RELEASE); */
	/* pyext/native/process/slot.c move_in: __atomic_store_n(&mine->barrier, 0,
	   __ATOMIC_RELAXED); */
	/* pyext/native/process/slot.c move_in: __atomic_store_n(&mine->lives[i].life, life,
	   __ATOMIC_SEQ_CST); */
	/* pyext/native/process/slot.c move_in: const uint64_t left = golock_cell_load(page); */
	/* pyext/native/process/slot.c move_in: for (uint64_t cell = left; golock_cell_holder(left)
	   == slot; cell = golock_cell_load(page)) { */
	/* pyext/native/process/slot.c move_in: if (!golock_cell_same_hold(cell, left) ||
	   golock_cell_bury(page, cell)) { */
	/* pyext/native/process/slot.c move_in: golock_cell_pass_on(page); */
	/* pyext/native/process/slot.c move_in: __atomic_fetch_sub(&mine->debts, debts,
	   __ATOMIC_SEQ_CST); */
	/* internal/process/slot_linux.go ring: if guarded(p.loadLife(other, 0)) { */
	/* internal/process/slot_linux.go ring: atomic.AddUint32(doorbell, 1) */
	/* internal/process/slot_linux.go mayBeFree: return !guarded(p.loadLife(slot, 0)) ||
	   !guarded(p.loadLife(slot, 1)) */
	/* internal/process/slot_linux.go moveIn: debts := atomic.LoadUint32(&mine.debts) */
	/* internal/process/slot_linux.go moveIn: atomic.AddUint32(&mine.lives[0].number, 1) */
	/* internal/process/slot_linux.go moveIn: atomic.StoreUint32(&mine.barrier, 0) */
	/* internal/process/slot_linux.go moveIn: atomic.StoreUint32(&mine.lives[i].life, life) */
	/* internal/process/slot_linux.go moveIn: cell := p.memory.load() */
	/* internal/process/slot_linux.go moveIn: if cell.holder() != slot || p.bury(cell) { */
	/* internal/process/slot_linux.go moveIn: p.passOn() */
	/* internal/process/slot_linux.go moveIn: atomic.AddUint32(&mine.debts, -debts) */
inline move_in() {
	born = false;
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

	/* pyext/native/process/cell.c golock_cell_recover: uint64_t old = golock_cell_load(page);
	   */
	/* pyext/native/process/cell.c golock_cell_recover: if (golock_cell_swap(page, old, old &
	   ~(uint64_t)GOLOCK_PAGE_DEATHS_MASK)) { */
	/* internal/process/cell.go recover: old := m.load() */
	/* internal/process/cell.go recover: if m.compareAndSwap(old, old&^deathsMask) { */
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
			:: rounds < ROUNDS && me < CALLERS ->
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
			owed = debts[me];
			owner[me]++;
			life[me] = 1 + owner[me] % 2;
			phase[me] = ALIVE; /* only now it has a part in anything */
			watching[me] = true;
			born = true
		}
	od
}

	/* pyext/native/process/slot.c golock_slot_number: return
	   __atomic_load_n(&page->memory->slots[slot - 1].lives[0].number, __ATOMIC_ACQUIRE); */
	/* pyext/native/process/slot.c golock_slot_mourned:
	   __atomic_store_n(&page->memory->slots[slot - 1].lives[1].number, number,
	   __ATOMIC_RELEASE); */
	/* pyext/native/process/slot.c golock_slot_aim: uint32_t first = load(page, other, 0),
	   life = load(page, other, found); */
	/* pyext/native/process/slot.c golock_slot_aim: __atomic_load_n(&slot->lives[1].number,
	   __ATOMIC_ACQUIRE) != */
	/* pyext/native/process/sentinel.c attend: if (__atomic_load_n(life, __ATOMIC_ACQUIRE) ==
	   aim->life) { */
	/* pyext/native/process/sentinel.c attend: golock_shared_wake(life, INT_MAX,
	   FUTEX_BITSET_MATCH_ANY); */
	/* pyext/native/process/sentinel.c attend: bool indebted = __atomic_load_n(debts,
	   __ATOMIC_ACQUIRE) != 0; */
	/* pyext/native/process/sentinel.c attend: golock_cell_pass_on(page); */
	/* pyext/native/process/sentinel.c serve: uint32_t doorbell = __atomic_load_n(bell,
	   __ATOMIC_SEQ_CST); */
	/* pyext/native/process/sentinel.c serve: __atomic_store_n(&page->memory->slots[page->me -
	   1].barrier, */
	/* pyext/native/process/sentinel.c sleep_on: result = golock_waitv(words, count, until); */
	/* internal/process/slot_linux.go aim: first, life := p.loadLife(other, 0),
	   p.loadLife(other, found) */
	/* internal/process/slot_linux.go aim: atomic.LoadUint32(&lives[1].number) !=
	   atomic.LoadUint32(&lives[0].number): */
	/* internal/process/sentinel_linux.go attend: if a.slot == 0 || p.loadLife(a.slot, i) ==
	   a.life { */
	/* internal/process/sentinel_linux.go attend: number :=
	   atomic.LoadUint32(&slot.lives[0].number) */
	/* internal/process/sentinel_linux.go attend: indebted := atomic.LoadUint32(&slot.debts)
	   != 0 */
	/* internal/process/sentinel_linux.go attend: p.passOn() */
	/* internal/process/sentinel_linux.go attend:
	   atomic.StoreUint32(&p.memory.slots[h.slot-1].lives[1].number, h.number) */
	/* internal/process/sentinel_linux.go serve: doorbell := atomic.LoadUint32(&mine.doorbell)
	   */
	/* internal/process/sentinel_linux.go serve: atomic.StoreUint32(&mine.barrier,
	   registered.Load()) */
	/* internal/process/sentinel_linux.go sleep: _, _, errno =
	   unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&words[0])), */
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
			if
			:: has[i] == 1 -> lost++; has[i] = 2
			:: else
			fi
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
