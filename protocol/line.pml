/* The line in which goroutines wait before the word: internal/core/line.go. enter, leave and
 * abandon each run with one mutex locked, so each is one step.
 *
 *     GOROUTINESthe number of goroutines, 2 to 5; each waits repeatedly
 */

bool exists;                            /* the line has a first */
chan waiting = [GOROUTINES] of { byte }; 
bool promoted[GOROUTINES];                  /* the channel is closed */
byte firsts;
bool waits;                             /* goroutine 0 waits; its context does not end */

ltl served { [] (waits -> <> !waits) }

inline enter()
{
	atomic {
		if
		:: me == 0 -> waits = true
		:: else
		fi;
		if
		:: !exists -> exists = true; goto first
			/* internal/core/line.go enter: s.of[word] = &line{} */
		:: exists -> waiting!me /* internal/core/line.go enter: p.element = l.behind.PushBack(p) */
		fi
	}
}

inline leave()
{
	atomic {
		if
		:: empty(waiting) -> exists = false /* internal/core/line.go leave: delete(s.of, word) */
		:: nempty(waiting) -> waiting?next; promoted[next] = true; next = 0
			/* internal/core/line.go leave: close(p.promoted) */
		fi
	}
}

proctype Goroutine(byte me)
{
	byte next;

end_idle:
	enter();
	if
	:: promoted[me] /* internal/core/line.go wait: case <-p.promoted: */
	:: me != 0 -> goto abandon /* internal/core/wait.go Wait: if !abandon(c.word, p) { */
	fi;
	promoted[me] = false;

first:
	atomic {
		firsts++;
		assert(firsts == 1);
		if
		:: me == 0 -> waits = false
		:: else
		fi
	}
	firsts--; /* it has waited on the word, and got the lock or not */
	leave();
	goto end_idle;

abandon:
	atomic {
		if
		:: waiting??[eval(me)] -> waiting??eval(me); goto end_idle
			/* internal/core/line.go abandon: s.of[word].behind.Remove(p.element) */
		:: else -> assert(promoted[me]); promoted[me] = false
		fi
	}
	leave();
	goto end_idle
}

init
{
	byte i;
	atomic {
		do
		:: i < GOROUTINES -> run Goroutine(i); i++
		:: else -> break
		od
	}
}
