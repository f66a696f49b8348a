/* Notifications of tasks at a condition, described in pyext/native/waiting/notify.h. The list, and
 * what threads do with it, are those of condition.pml; here all work on the list is one step, under
 * the mutex of the tasks. The loop of a task stops while the task waits, for a while or for ever.
 *
 * Settings: TASKS and THREADS wait, ROUNDS times each; NOTIFIES notifications are sent, one at a
 * time; ONE_LOOP: all tasks are of one loop; CANCEL: a task is cancelled.
 *
 * Properties: a notification ends one wait, of a listener that had come before it was sent. When
 * nothing more can happen, none was lost, and no listener waits that could have it from a task
 * whose loop has stopped. */

/* The mutex of a list: that of the tasks, once a task has listened there. */
	/* pyext/native/waiting/notify.c lock_list: const bool tasks =
	   __atomic_load_n(&listeners->tasks, __ATOMIC_RELAXED); */
	/* pyext/native/waiting/notify.c lock_list: if (tasks == __atomic_load_n(&listeners->tasks,
	   __ATOMIC_RELAXED)) { */
	/* pyext/native/waiting/notify.c unlock_list: const bool tasks =
	   __atomic_load_n(&listeners->tasks, __ATOMIC_RELAXED); */
	/* pyext/native/waiting/notify.c lock_list_for_task: __atomic_store_n(&listeners->tasks,
	   true, __ATOMIC_RELAXED); */

#define ALL    (TASKS + THREADS)
#define NOBODY ALL

#ifdef ONE_LOOP
#define LOOP(i)    0
#define MAY_RUN(i) (!stopped[0] && !runs[0] && !runs[1])
#else
#define LOOP(i)    (i)
#define MAY_RUN(i) (!stopped[i])
#endif

byte arrivals;
byte arrival[ALL];        /* the listener's number, from 1 on */
byte before[ALL];         /* those with a number below may get its notification */
bool listens[ALL];        /* it is in the list */
bool notified[ALL];
bool lapsed[TASKS];       /* its loop does not respond, and nobody else could be notified */
bool given[TASKS];        /* its notification lapses */
bool runs[TASKS];         /* its loop runs it */
bool ready[TASKS];        /* its loop is to run it */
bool in_line[TASKS];      /* it waits for its lock */
bool claimant[TASKS];
bool stopped[TASKS];
bool unresponsive[TASKS];
byte holder;              /* 1 + who has the lock, or 0; ALL + 1: the notifier */
byte sent, returned;
bool cancelled;           /* one task has been */

#define IS_TASK(i)  ((i) < TASKS)
#define responds(i) (!IS_TASK(i) || !unresponsive[LOOP(i)])

inline respond(i) {
	atomic {
		if
		:: unresponsive[LOOP(i)] -> unresponsive[LOOP(i)] = false;
			n = 0;
			do
			:: n < TASKS ->
				if
				:: LOOP(n) == LOOP(i) && (listens[n] || notified[n] || in_line[n]) -> ready[n] = true;
					given[n] = notified[n] && !runs[n]
				:: else
				fi;
				n++
			:: n == TASKS -> n = 0; break
			od
		:: else
		fi
	}
}

/* Finds the first listener, by arrival, that responds and has a number below the limit. */
inline find_responsive(limit) {
	next = NOBODY;
	n = 0;
	do
	:: n < ALL ->
		if
		:: listens[n] && responds(n) && arrival[n] < limit ->
			if
			:: next == NOBODY -> next = n
			:: next != NOBODY && arrival[n] < arrival[next] -> next = n
			:: else
			fi
		:: else
		fi;
		n++
	:: n == ALL -> n = 0; break
	od
}

/* Notifies a listener, which is to be woken. */
inline mark(i, limit) {
	assert(listens[i] && !notified[i]);
	listens[i] = false;
	notified[i] = true;
	before[i] = limit;
		/* pyext/native/waiting/notify.c notify_task: __atomic_store_n(&listener->notification,
		   notification, __ATOMIC_RELEASE); */
		/* pyext/native/waiting/notify.c golock_let_notification_lapse:
		   __atomic_exchange_n(word, GOLOCK_NOTIFIED, __ATOMIC_ACQ_REL) == GOLOCK_SPINNING; */
		/* pyext/native/waiting/notify.c golock_let_notification_lapse:
		   golock_futex_wake(word, 1, GOLOCK_ANY_CHANNEL); */
}

inline notify(i, limit) {
	mark(i, limit);
	if
	:: IS_TASK(i) && !runs[i] -> ready[i] = true; given[i] = responds(i); lapsed[i] = !responds(i)
	:: IS_TASK(i) && runs[i] -> ready[i] = true
	:: else
	fi
}

/* Makes a task that was notified listen again. */
inline take_back(i) {
	notified[i] = false;
	listens[i] = true;
		/* pyext/native/waiting/notify.c take_notification_back:
		   __atomic_store_n(&listener->notification, 0, __ATOMIC_RELEASE); */
}

/* A listener that responds again takes over the notification of a task that does not. */
inline take_over(i) {
	n = 0;
	do
	:: n < TASKS && lapsed[n] && before[n] > arrival[i] ->
		lapsed[n] = false;
		take_back(n);
		mark(i, before[n]);
		break
	:: n < TASKS && !(lapsed[n] && before[n] > arrival[i]) -> n++
	:: n == TASKS -> break
	od;
	n = 0
}

/* Sends a notification, or passes one on. */
inline send() {
	find_responsive(255);
	if
	:: next == NOBODY -> /* the first of those that do not respond */
		n = 0;
		do
		:: n < TASKS ->
			if
			:: listens[n] && (next == NOBODY || arrival[n] < arrival[next]) -> next = n
			:: else
			fi;
			n++
		:: n == TASKS -> n = 0; break
		od
	:: else
	fi;
	if
	:: next != NOBODY -> notify(next, arrivals + 1); sent++
	:: else
	fi
}

#if TASKS == 1
#define SOME_RESPONDS (in_line[0] && responds(0))
#else
#define SOME_RESPONDS (in_line[0] && responds(0) || in_line[1] && responds(1))
#endif

/* Releases the lock. A task in the line whose loop responds becomes the claimant. */
inline release() {
	holder = 0;
	if
	:: in_line[0] && responds(0) -> in_line[0] = false; claimant[0] = true; ready[0] = true
#if TASKS > 1
	:: in_line[1] && responds(1) -> in_line[1] = false; claimant[1] = true; ready[1] = true
#endif
	:: !SOME_RESPONDS /* threads take turns without this */
	fi
}

/* Passes on the claim of a task that has one. */
inline pass_claim(i) {
	if
	:: claimant[i] && holder == 0 -> claimant[i] = false; release()
	:: claimant[i] && holder != 0 -> claimant[i] = false
	:: else
	fi
}

proctype task(byte me) {
	byte n, next, round;
	bool ends, raises;
	do
	:: round == ROUNDS -> break
	:: round < ROUNDS ->
end_begins:	atomic {
			holder == 0 && MAY_RUN(me) -> respond(me);
			arrivals++;
			arrival[me] = arrivals;
			listens[me] = true
		};
end_waits:	if
		:: atomic { ready[me] && MAY_RUN(me) -> ready[me] = false; runs[me] = true }
#ifdef CANCEL
		:: atomic { !cancelled && MAY_RUN(me) -> cancelled = true; ends = true;
			raises = true; runs[me] = true }
#endif
		fi;
		atomic { /* golock_listener_resumes */
			given[me] = false;
			respond(me);
			if
			:: lapsed[me] -> lapsed[me] = false
			:: !lapsed[me] && listens[me] -> take_over(me)
			:: else
			fi
		};
		if
		:: atomic { (ends || notified[me]) && holder == 0 -> holder = me + 1;
			in_line[me] = false; claimant[me] = false }; goto has_it
		:: atomic { (ends || notified[me]) && holder != 0 -> claimant[me] = false;
			in_line[me] = true }
		:: atomic { !ends && !notified[me] -> in_line[me] = false; pass_claim(me) }
		fi;
		atomic { /* golock_listener_suspends */
			runs[me] = false;
			respond(me);
			if
			:: notified[me] && !in_line[me] -> ready[me] = true; given[me] = true
			:: else
			fi
		};
		goto end_waits;
has_it:	atomic { /* golock_withdraw */
			listens[me] = false;
			lapsed[me] = false;
			runs[me] = false;
			ready[me] = false;
			assert(notified[me] || ends);
			if
			:: notified[me] ->
				assert(arrival[me] < before[me]);
				notified[me] = false;
				returned++;
				if
				:: raises -> send() /* passes it on */
				:: else
				fi
			:: else
			fi;
			ends = false;
			raises = false;
			release()
		};
		round++
	od
}

proctype thread(byte me) {
	byte round;
	do
	:: round == ROUNDS -> break
	:: round < ROUNDS ->
		atomic {
			holder == 0 -> arrivals++;
			arrival[me] = arrivals;
			listens[me] = true
		};
end_sleeps:	atomic {
			notified[me] && holder == 0 -> assert(arrival[me] < before[me]);
			notified[me] = false;
			returned++
		};
		round++
	od
}

/* Has the lock for a while. */
proctype notifier() {
	byte n, next, round;
	do
	:: round == NOTIFIES -> break
	:: round < NOTIFIES ->
		atomic { holder == 0 -> holder = ALL + 1 };
		atomic { send() };
		atomic { release() };
		round++
	od
}

/* A loop stops, and goes on or does not. */
proctype loop(byte me) {
end_runs:
	atomic { !runs[me] && (listens[me] || notified[me]) -> stopped[LOOP(me)] = true };
	if
	:: atomic { stopped[LOOP(me)] = false }
	:: true
	fi
}

/* The keeper: its patience with a notification or a claim ends. The loop may only be slow. */
proctype keeper() {
	byte n, next, each, me;
end_idle:
	do
	:: atomic {
			if
			:: given[0] || claimant[0] -> me = 0
#if TASKS > 1
			:: given[1] || claimant[1] -> me = 1
#endif
			fi;
			if
			:: !unresponsive[LOOP(me)] ->
				unresponsive[LOOP(me)] = true;
				each = 0;
				do
				:: each < TASKS ->
					if
					:: LOOP(each) == LOOP(me) && notified[each] && !lapsed[each] && !runs[each] ->
						given[each] = false;
						find_responsive(before[each]);
						if
						:: next == NOBODY -> lapsed[each] = true
						:: next != NOBODY -> take_back(each); notify(next, before[each])
						fi
					:: else
					fi;
					each++
				:: each == TASKS -> each = 0; break
				od
			:: else
			fi;
			pass_claim(me);
			me = 0
		}
	od
}

#define MISSES(i, j) (listens[i] && (!IS_TASK(i) || !stopped[LOOP(i)]) && \
	notified[j] && arrival[i] < before[j])

init {
	byte i, j;
	atomic {
		if
		:: cancelled = true /* none will be */
		:: cancelled = false
		fi;
		do
		:: i < TASKS -> run task(i); run loop(i); i++
		:: i >= TASKS && i < ALL -> run thread(i); i++
		:: i == ALL -> break
		od;
		run notifier();
		run keeper()
	};
	atomic {
		timeout -> i = 0;
		do
		:: i < ALL ->
			sent = sent - notified[i];
			j = 0;
			do
			:: j < TASKS -> assert(!MISSES(i, j)); j++
			:: j == TASKS -> break
			od;
			i++
		:: i == ALL -> break
		od;
		assert(sent == returned && holder == 0)
	}
}
