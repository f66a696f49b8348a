/* The line in which goroutines wait before the word: golock/wait.go. Each of enter, leave and abandon
 * runs under one mutex, so each is one step.
 *
 *     GOROUTINES  how many, 2 to 5; each of them waits again and again
 */

bool exists;                            /* somebody is the first */
chan waiting = [GOROUTINES] of { byte }; 
bool turn[GOROUTINES];                  /* the channel is closed */
byte firsts;
bool waits;                             /* goroutine 0 does, whose context does not end */

ltl served { [] (waits -> <> !waits) }

inline enter()
{
	atomic {
		if
		:: me == 0 -> waits = true
		:: else
		fi;
		if
		:: !exists -> exists = true; goto first /* golock/wait.go enter: lines.of[word] = &line{} */
		:: exists -> waiting!me /* golock/wait.go enter: l.waiting = append(l.waiting, turn) */
		fi
	}
}

inline leave()
{
	atomic {
		if
		:: empty(waiting) -> exists = false /* golock/wait.go leave: delete(lines.of, word) */
		:: nempty(waiting) -> waiting?next; turn[next] = true; next = 0 /* golock/wait.go leave: close(l.waiting[0]) */
		fi
	}
}

proctype Goroutine(byte me)
{
	byte next;

end_idle:
	enter();
	if
	:: turn[me] /* golock/wait.go wait: case <-turn: */
	:: me != 0 -> goto abandon /* golock/wait.go wait: abandon(c.word, turn) */
	fi;
	turn[me] = false;

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
		:: waiting??[eval(me)] -> waiting??eval(me); goto end_idle /* golock/wait.go abandon: l.waiting = append(l.waiting[:i], l.waiting[i+1:]...) */
		:: else -> assert(turn[me]); turn[me] = false
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
