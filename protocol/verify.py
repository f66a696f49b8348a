"""Check the models of the protocol exhaustively, and that each seeded fault is found.

Usage: python3 protocol/verify.py [--all] [--totals FILE]

Without --all the largest searches are left out: a few minutes instead of a quarter of an hour.
Both find every seeded fault.

Needs spin (https://spinroot.com, Debian's package spin) and gcc, on PATH or as $SPIN and $CC.
Prints a line for each run. Exits with 1 if a property does not hold, a search is incomplete, a
fault is not found, a statement is unreached without a reason, or the models' quotations of the code
are out of date.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPIN = os.environ.get("SPIN", "spin")
CC = os.environ.get("CC", "gcc")

# The depth limit of a search. A search that reaches it has failed.
DEPTH = 20_000_000
MEMORY = 14_000  # MB


@dataclass(frozen=True)
class Run:
    """One search: a model, its settings, and what it shows."""

    model: str
    settings: str
    what: str
    large: bool = False
    """Searched only with --all: it takes more than 20 seconds."""

    @property
    def live(self) -> bool:
        return "LIVE" in self.settings or self.model == "line.pml"

    @property
    def inlines(self) -> bool:
        """Whether a statement of an inline counts as reached if it is at one of its places."""
        return self.model in {"process.pml", "process_event.pml", "notification.pml"}


PROOF = [
    Run("lock.pml", "THREADS=2 LIVE", "every blocked acquire of two threads ends"),
    Run("lock.pml", "THREADS=3 ROUNDS=1", "three threads, a call each"),
    Run("lock.pml", "THREADS=3 ROUNDS=1 GIL", "three threads under a GIL, a call each"),
    Run("lock.pml", "THREADS=2 PERMITS=2 GIL PLAIN", "two permits under a GIL, two threads"),
    Run("lock.pml", "THREADS=3 ROUNDS=1 PLAIN", "three threads without strangers, a call each"),
    Run("lock.pml", "THREADS=2 ROUNDS=2 FORK DEATH", "a word copied by fork; one of two dies"),
    Run("event.pml", "THREADS=3", "an event, three threads, for ever"),
    Run("event.pml", "THREADS=4 ROUNDS=1", "an event, four threads, a call each"),
    Run("lock.pml", "THREADS=3 LIVE", "every blocked acquire ends", large=True),
    Run("lock.pml", "THREADS=3", "three threads, for ever", large=True),
    Run("lock.pml", "THREADS=4 ROUNDS=1 GIL", "four threads under a GIL, a call each", large=True),
    Run(
        "lock.pml", "THREADS=3 PERMITS=2 GIL PLAIN", "two permits under a GIL, for ever", large=True
    ),
    Run(
        "lock.pml",
        "THREADS=4 PERMITS=2 ROUNDS=1 GIL PLAIN",
        "two permits, four threads, a call each",
        large=True,
    ),
    Run(
        "lock.pml",
        "THREADS=4 ROUNDS=1 PLAIN",
        "four threads without strangers, a call each",
        large=True,
    ),
    Run("lock.pml", "THREADS=3 GIL", "three threads under a GIL, for ever", large=True),
    Run("lock.pml", "THREADS=2 CORELESS", "calls without a core beside others, for ever"),
    Run("lock.pml", "THREADS=3 ROUNDS=1 CORELESS", "calls without a core, a call each"),
    Run("lock.pml", "THREADS=3 ROUNDS=1 CORELESS LIVE", "each ends when others come to an end"),
    Run("lock.pml", "THREADS=2 PERMITS=2 CORELESS FORK", "permits without a core, copied by fork"),
    Run(
        "lock.pml",
        "THREADS=3 ROUNDS=1 FORK DEATH",
        "a word copied by fork; a thread dies",
        large=True,
    ),
    Run("lock.pml", "THREADS=2 FORK", "a word copied by fork, for ever"),
    Run(
        "lock.pml",
        "THREADS=2 LINE PATIENT",
        "claims left to the next in line, for ever",
    ),
    Run("lock.pml", "THREADS=3 ROUNDS=1 LINE", "claims left to the next in line, a call each"),
    Run("lock.pml", "THREADS=2 PATIENT", "patient waiters, for ever"),
    Run("lock.pml", "THREADS=2 DEATH", "a thread dies, for ever"),
    Run("lock.pml", "THREADS=2 LIVE DEATH", "an acquire ends though a claimant has died"),
    Run("lock.pml", "THREADS=2 LIVE FORK", "an acquire ends on a word copied by fork"),
    Run("lock.pml", "THREADS=3 PERMITS=2 LIVE", "every blocked acquire of a permit ends"),
    Run("lock.pml", "THREADS=3 PERMITS=2 ROUNDS=1", "two permits, three threads, a call each"),
    Run("lock.pml", "THREADS=3 PERMITS=1 ROUNDS=1", "one permit, three threads, a call each"),
    Run("lock.pml", "THREADS=2 PERMITS=3", "three permits, for ever"),
    Run("lock.pml", "THREADS=2 PERMITS=2 FORK DEATH", "permits copied by fork; a thread dies"),
    Run("condition.pml", "THREADS=3", "a condition, for ever"),
    Run("condition.pml", "THREADS=3 ROUNDS=2 OPEN", "a condition that is opened"),
    Run("condition.pml", "THREADS=3 SPIN", "waiters that spin, for ever"),
    Run("condition.pml", "THREADS=3 ROUNDS=1 OPEN SPIN", "waiters that spin, condition is opened"),
    Run("condition.pml", "THREADS=2 MOVE SPIN", "waiters that spin, or are moved, for ever"),
    Run("condition.pml", "THREADS=2 MOVE", "waiters moved to the lock, for ever"),
    Run("condition.pml", "THREADS=3 ROUNDS=1 MOVE", "waiters moved to the lock, a call each"),
    Run("condition.pml", "THREADS=3 ROUNDS=2 MOVE ROLES", "one is moved, two notify"),
    Run("task.pml", "THREADS=1 TASKS=1 ROUNDS=2", "a task and a thread, two calls each"),
    Run("task.pml", "THREADS=2 TASKS=1 ROUNDS=1", "a task and two threads, a call each"),
    Run("task.pml", "THREADS=1 TASKS=2 ROUNDS=1", "two tasks of two loops, and a thread"),
    Run("task.pml", "THREADS=1 TASKS=2 ROUNDS=1 ONE_LOOP", "two tasks of one loop, and a thread"),
    Run("task.pml", "THREADS=1 TASKS=1 ROUNDS=2 CORE", "a core that knows of no tasks releases"),
    Run("task.pml", "THREADS=1 TASKS=1 ROUNDS=2 SHARED", "goroutines know a task's lock"),
    Run("task.pml", "THREADS=1 TASKS=1 ROUNDS=2 STOP", "a loop that stops"),
    Run(
        "task.pml",
        "THREADS=1 TASKS=2 ROUNDS=1 STOP ONE_LOOP",
        "a loop with two tasks that stops",
        large=True,
    ),
    Run("task.pml", "THREADS=1 TASKS=2 ROUNDS=1 STOP", "two loops, of which one stops", large=True),
    Run(
        "task.pml",
        "THREADS=1 TASKS=1 ROUNDS=1 SHARED STOP",
        "goroutines know the lock of a loop that stops",
        large=True,
    ),
    Run(
        "notification.pml",
        "TASKS=1 THREADS=1 ROUNDS=2 NOTIFIES=3 CANCEL",
        "notifications of a task whose loop stops",
    ),
    Run(
        "notification.pml",
        "TASKS=2 THREADS=0 ROUNDS=2 NOTIFIES=2",
        "two loops that stop, two waits each",
    ),
    Run(
        "notification.pml",
        "TASKS=2 THREADS=1 ROUNDS=1 NOTIFIES=2",
        "two loops that stop, and a thread",
    ),
    Run(
        "notification.pml",
        "TASKS=2 THREADS=1 ROUNDS=1 NOTIFIES=1 ONE_LOOP",
        "a loop with two tasks that stops, and a thread",
    ),
    Run(
        "notification.pml",
        "TASKS=2 THREADS=1 ROUNDS=1 NOTIFIES=2 ONE_LOOP CANCEL",
        "the same; a task is cancelled",
        large=True,
    ),
    Run(
        "notification.pml",
        "TASKS=2 THREADS=1 ROUNDS=1 NOTIFIES=2 CANCEL",
        "two loops, and a task is cancelled",
        large=True,
    ),
    Run("event.pml", "THREADS=4", "an event, four threads, for ever", large=True),
    Run("event.pml", "THREADS=3 LIVE", "every wait for an event that is set ends"),
    Run("line.pml", "GOROUTINES=4", "the line of goroutines"),
    Run("process.pml", "PROCESSES=2 KILLS=0 ROUNDS=2 TIMEOUTS", "two processes, two calls each"),
    Run("process.pml", "PROCESSES=2 KILLS=1 ROUNDS=1", "one of two processes is killed"),
    Run("process.pml", "PROCESSES=2 KILLS=1 ROUNDS=1 LATE", "the same before anybody watches"),
    Run("process.pml", "PROCESSES=2 KILLS=1 ROUNDS=1 TIMEOUTS", "the same, and calls time out"),
    Run(
        "process.pml",
        "PROCESSES=2 KILLS=2 BIRTHS=1 ROUNDS=1 CALLERS=1",
        "a slot used again, one process calls",
    ),
    Run(
        "process.pml",
        "PROCESSES=2 KILLS=1 ROUNDS=2",
        "one of two processes is killed, two calls each",
        large=True,
    ),
    Run(
        "process.pml",
        "PROCESSES=2 KILLS=1 BIRTHS=1 ROUNDS=1 PLAIN",
        "a slot used again, without hand-offs",
        large=True,
    ),
    Run(
        "process.pml",
        "PROCESSES=3 KILLS=2 ROUNDS=1 CALLERS=1",
        "two of three processes are killed, one calls",
    ),
    Run(
        "process.pml",
        "PROCESSES=3 KILLS=1 ROUNDS=1 CALLERS=2",
        "one of three processes is killed, two call",
        large=True,
    ),
    Run("process_event.pml", "THREADS=2 KILLS=1", "two threads at an event, one killed, for ever"),
    Run(
        "process_event.pml", "THREADS=3 KILLS=2 ROUNDS=1", "three threads, two killed, a call each"
    ),
]

# Why no run reaches a statement, by the statement or by a part of its line in the model.
UNREACHED = {
    "-end-": "threads, and the clock, never end",
    "WAKE(FIRST_BEFORE, resigned, or_any)": "a call is one step here: nobody falls asleep in it",
    "WAKE(FIRST_OF_ANY, resigned, resigned)": "the same",
    "WAKE(FIRST_OF_ANY, resigned, take_back)": "a returner or a claimant was found already",
    "(old & HELD) == 0 -> STORE(next); FREE; goto done": "a lock that is released is held",
    "some_on(CLAIMANT)": "only with --all: a holder dies while a claimant sleeps",
    "handoffRequested(old) -> old = 0; break": "only with a third process that calls",
    "who = 2": "only with --all: of three processes two call",
    "who = 3": "the same: nobody is found, of three",
    "((who!=3))": "the same",
    "who = nearest_above(me);": "the same: a second one moves in",
    "(3)": "only with a fourth thread, which finds a fault",
    "((phase[me]>=2))": "nobody is killed in the middle of a step",
    "((phase[me]!=0))": "the same",
    "WAKE_AGENT": "the agent does not sleep while it wakes another",
    "wake_moved": "all threads are alike: thread 0 is moved while a name is taken back",
}

# The lines of the code that access a word or a notification, change a list of listeners, or sleep
# or wake, as regular expressions by file.
ACCESS = {
    "internal/core/cell.go": r"atomic\.\w+Uint(32|64)\(",
    "internal/core/waiter.go": r"\.load\(\)|\.compareAndSwap\(|[^.\w]wake\(c?\.?word",
    "golock/python.go": r"atomic\.\w+Uint32\(",
    "golock/lock.go": r"atomic\.\w+Uint32\(",
    "golock/semaphore.go": r"\.load\(\)|memory\.\w+\(",
    "internal/core/wait.go": r"atomic\.\w+Uint32\(|[^.\w]wake\(|[^.\w]park\(",
    "internal/core/listener.go": (
        r"atomic\.\w+Uint32\(|l\.notification ==|close\(|list\.(push|remove|take)\("
    ),
    "golock/condition.go": r"atomic\.\w+Uint32\(",
    "internal/core/event.go": r"atomic\.\w+Uint32\(|[^.\w](wakeAll|park|enter|abandon|leave)\(",
    "golock/barrier.go": r"atomic\.\w+Uint32\(",
    "pyext/native/fastpath/fastpath.h": (
        r"__atomic_\w+\((word|&semaphore)|if \(golock_change_permits\("
    ),
    "pyext/native/core/loader.c": r"__atomic_\w+\(word",
    "pyext/native/waiting/plain.c": (
        r"__atomic_\w+\(|[ !(]load\(c\)|[ !(]compare_and_swap\(c, |[ (]wake\(c?\.?word"
        r"|golock_futex_\w+\("
    ),
    "pyext/native/waiting/tasks.c": r"__atomic_\w+\(l->word|golock_futex_\w+\(",
    "pyext/native/waiting/mutex.h": r"__atomic_\w+\(&mutex->word",
    "pyext/native/waiting/mutex.c": r"__atomic_\w+\((&mutex->)?word",
    "pyext/native/primitives/semaphore.c": r"__atomic_\w+\(&self->semaphore",
    "pyext/native/waiting/spin.c": r"__atomic_load_n\(word",
    "pyext/native/sight/raise.c": r"golock_futex_\w+\(",
    "pyext/native/waiting/acquire.c": r"golock_futex_\w+\(",
    "pyext/native/waiting/notify.c": r"__atomic_\w+\(|golock_futex_\w+\(",
    "pyext/native/primitives/event.c": (
        r"__atomic_\w+\(&self->word|golock_change\(|golock_futex_\w+\(|[^_]load\("
    ),
    "pyext/native/process/cell.h": r"__atomic_\w+\(|golock_cell_swap\(page",
    "pyext/native/process/cell.c": (
        r"__atomic_\w+\(&page->memory|golock_cell_(load|swap)\(|swap_and_appoint\(page"
        r"|golock_shared_\w+\(|[ (]wake\(page"
    ),
    "pyext/native/process/slot.c": (
        r"__atomic_\w+\(|golock_cell_(load|bury|pass_on)\(|golock_shared_\w+\(|[^_]load\(page"
    ),
    "pyext/native/process/sentinel.c": (
        r"__atomic_\w+\((life|debts|bell|&page->memory)|golock_cell_(load|pass_on)\("
        r"|golock_shared_\w+\(|golock_waitv\(words"
    ),
    "pyext/native/process/event.c": (
        r"__atomic_\w+\((?!&page->waiting)|compare_and_swap\(page|[^_]load\(page"
        r"|golock_shared_\w+\("
    ),
    "pyext/native/process/futex.h": r"FUTEX_WAKE_OP, ",
    "pyext/native/process/wait.c": r"golock_cell_(next|owes)\(|golock_shared_\w+\(",
    "internal/process/cell.go": (
        r"atomic\.\w+\(|:= \w\.load\(\)|memory\.load\(\)|if .*compareAndSwap\("
        r"|:= m\.compareAndSwap\(|[nf] p\.swapAndAppoint\(|m\.wake\("
    ),
    "internal/process/slot_linux.go": (
        r"atomic\.\w+\(|\.load\(\)|\.bury\(|\.passOn\(|[^.\w]wake\((m|life|door)|[^c] .*loadLife\("
    ),
    "internal/process/sentinel_linux.go": (
        r"atomic\.\w+\(&(p\.memory|slot|mine)|\.load\(\)|\.passOn\(|[^.\w]wake\("
        r"|loadLife\(|SYS_FUTEX_WAITV, uintptr\(unsafe"
    ),
    "internal/process/event_linux.go": (
        r"atomic\.\w+\(|e\.load\(\)|return setAndWakeAll\(|parkShared\(|close\(e|SYS_FUTEX"
    ),
    "internal/process/lock_linux.go": r"\.load\(\)|parkShared\(p|[^.\w]wake\(|\.owes\(|w\.next\(",
}

# A comment in a model that quotes a line of the code: the file, the function and the line.
QUOTATION = re.compile(r"/\* (\S+\.(?:go|c|h)) (\w+):\s(.*?) \*/", re.DOTALL)


@dataclass
class Outcome:
    run: Run
    errors: int
    states: int
    seconds: float
    truncated: bool
    reached: set[tuple[int, str]]
    unreached: set[tuple[int, str]]
    output: str


def search(run: Run, model: Path, every_statement: bool = False) -> Outcome:
    """Search all states of the model, and list its statements on request."""
    table = ""
    settings = [f"-D{setting}" for setting in run.settings.split()]
    with tempfile.TemporaryDirectory() as folder:

        def call(*command: str) -> str:
            return subprocess.run(
                command, cwd=folder, check=True, capture_output=True, text=True
            ).stdout

        if every_statement:
            call(SPIN, "-a", "-o3", *settings, str(model))
            call(CC, "-O0", "-w", "-o", "pan", "pan.c")
            table = call("./pan", "-d")
        call(SPIN, "-a", *settings, str(model))
        mode = "-DNFAIR=3" if run.live else "-DSAFETY"
        call(CC, "-O2", "-w", f"-DMEMLIM={MEMORY}", mode, "-o", "pan", "pan.c")
        began = time.monotonic()
        output = call("./pan", f"-m{DEPTH}", "-w26", *(["-a", "-f"] if run.live else []))
        seconds = time.monotonic() - began
    errors = re.search(r"errors: (\d+)", output)
    states = re.search(r"([\d.e+]+) states, stored", output)
    if errors is None or states is None:
        raise SystemExit(f"{run}: no result\n{output}")
    statements = Counter(
        (int(line), text) for line, text in re.findall(r"\.pml:(\d+) => (.*)", table)
    )
    unreached = Counter(
        (int(line), text) for line, text in re.findall(r"\.pml:(\d+), state \d+, \"(.*)\"", output)
    )
    if run.inlines:
        unreached = Counter(
            {each: count for each, count in unreached.items() if count >= statements[each]}
        )
    return Outcome(
        run,
        int(errors[1]),
        int(float(states[1])),
        seconds,
        "Search not completed" in output,
        set(statements) - set(unreached),
        set(unreached),
        output,
    )


def prove(run: Run) -> Outcome:
    outcome = search(run, HERE / run.model, every_statement=True)
    verdict = "truncated" if outcome.truncated else f"{outcome.errors} errors"
    print(
        f"{run.what:45} {run.model:13} {run.settings:38} {outcome.states:>12,} states"
        f" {outcome.seconds:6.1f} s  {verdict}",
        flush=True,
    )
    return outcome


def find(patch: Path) -> bool:
    """Return whether the fault that a patch seeds is found."""
    text = patch.read_text()
    described = re.match(r"(.*)\nRun: (.*)\n\n--- (\S+)", text)
    if described is None:
        raise SystemExit(f"{patch}: no 'Run:' line, or no patch")
    what, settings, model = described.groups()
    with tempfile.TemporaryDirectory() as folder:
        faulty = Path(folder) / model
        faulty.write_text((HERE / model).read_text())
        subprocess.run(
            ["patch", "--quiet", "--fuzz=0", str(faulty), str(patch)], check=True, cwd=folder
        )
        outcome = search(Run(model, settings, what), faulty)
    how = re.search(r"pan:\d+: (.*?) \(at depth", outcome.output)
    found = outcome.errors > 0 and how is not None
    name = f"fault {patch.stem}"
    print(
        f"{name:45} {model:13} {settings:38} {outcome.states:>12,} states"
        f" {outcome.seconds:6.1f} s  {'found: ' + how[1][:40] if found and how else 'NOT FOUND'}",
        flush=True,
    )
    return found


def by_function(path: str) -> list[tuple[int, str, str]]:
    """Return the lines of a source file with their numbers and functions."""
    lines = []
    function = ""
    for number, line in enumerate((HERE.parent / path).read_text().splitlines(), 1):
        header = re.match(r"func (?:\(.*?\) )?(\w+)|(?:static inline .*[ *])?(\w+)\(", line)
        if header is not None:
            function = header[1] or header[2]
        lines.append((number, function, " ".join(line.split())))
    return lines


def quotes() -> list[str]:
    """Return what is wrong with the models' quotations of the code."""
    wrong = []
    quoted = set()
    for model in sorted(HERE.glob("*.pml")):
        for path, function, text in QUOTATION.findall(model.read_text()):
            code = " ".join(text.split())
            if (function, code) not in {(inside, line) for _, inside, line in by_function(path)}:
                wrong.append(f"{model.name} quotes {path}, which has no such line: {code}")
            quoted.add((path, function, code))
    for path, pattern in ACCESS.items():
        for number, function, line in by_function(path):
            if re.search(pattern, line) and (path, function, line) not in quoted:
                wrong.append(f"{path}:{number} is quoted by no model: {function}: {line}")
    return wrong


def without_reason(outcomes: list[Outcome]) -> list[str]:
    """Return the statements that no run reaches and that have no entry in UNREACHED."""
    wrong = []
    for model in sorted({outcome.run.model for outcome in outcomes}):
        of_model = [outcome for outcome in outcomes if outcome.run.model == model]
        nowhere = set().union(*(outcome.unreached for outcome in of_model)) - set().union(
            *(outcome.reached for outcome in of_model)
        )
        lines = (HERE / model).read_text().splitlines()
        for number, statement in sorted(nowhere):
            line = lines[number - 1].strip()
            reason = next(
                (why for part, why in UNREACHED.items() if part == statement or part in line), None
            )
            print(f"unreached: {model}:{number}: {statement[:60]}: {reason or 'NO REASON'}")
            if reason is None:
                wrong.append(f"{model}:{number} is unreached: {statement}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="the largest searches too")
    parser.add_argument("--totals", type=Path, help="where to write the totals, as JSON")
    options = parser.parse_args()
    wrong = quotes()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        proofs = [pool.submit(prove, run) for run in PROOF if options.all or not run.large]
        faults = [pool.submit(find, patch) for patch in sorted((HERE / "faults").glob("*.patch"))]
        outcomes = [proof.result() for proof in proofs]
        found = [fault.result() for fault in faults]
    for outcome in outcomes:
        if outcome.errors or outcome.truncated:
            wrong.append(f"{outcome.run}:\n{outcome.output}")
    wrong += without_reason(outcomes)
    wrong += ["a seeded fault was not found"] * found.count(False)
    totals = {
        "states explored": sum(outcome.states for outcome in outcomes),
        "seeded faults found": sum(found),
    }
    print(", ".join(f"{number:,} {what}" for what, number in totals.items()))
    if options.totals:
        options.totals.write_text(json.dumps(totals))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
