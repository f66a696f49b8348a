"""Has jobs done in processes of their own, and goes on in another when one dies or hangs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ._subject import Named, UnusableError
from ._worker import Job

TIMEOUT = 10.0
"""Seconds after which a case, a test or a check hangs, for the first time."""

IMPORT_TIMEOUT = 60.0
"""Seconds after which the import of the subject's module hangs, if a case may not take longer."""

HANGS_ALLOWED = 12
"""How often one kind may hang before the rest of its jobs are given up."""

GROUPS_HANGS_ALLOWED = 3
"""How often it may hang in one group of jobs before the rest of the group is given up."""

CRASHES_ALLOWED = 25
"""How often one kind may end the process before the rest of its jobs are given up."""

_SHORTEST = {"traits": 5.0, "cases": 1.0, "lock_tests": 15.0, "contention": 30.0}
_GRACE = 2.0


class Death(NamedTuple):
    """How a process ended in a job: ``SIGSEGV``, ``exit status 3``, ``hangs``; its last words."""

    how: str
    words: str


class Done(NamedTuple):
    """A job with what both sides gave; ``None`` where nothing came, and then why."""

    job: Job
    interpreter: Any
    subject: Any
    death: Death | None
    given_up: bool = False


class Children:
    """Does jobs one after the other, and remembers which kinds are not worth another."""

    def __init__(self, subject: Named, timeout: float = TIMEOUT) -> None:
        self._subject = subject
        self.timeout = timeout
        self._hangs: Counter[tuple[str, str, str]] = Counter()
        self._crashes: Counter[str] = Counter()

    def do(self, jobs: list[Job], begin: Callable[[Job], None] = lambda job: None) -> list[Done]:
        """Return what came of each job; ``begin`` is called as each begins."""
        done: dict[int, Done] = {}
        left = list(enumerate(jobs))
        while left:
            left = [(number, job) for number, job in left if not self._give_up(number, job, done)]
            if left:
                _Child(self, left, done, begin).run()
                left = [(number, job) for number, job in left if number not in done]
        return [done[number] for number in range(len(jobs))]

    def _give_up(self, number: int, job: Job, done: dict[int, Done]) -> bool:
        part, kind, group, _ = job
        hangs = sum(count for key, count in self._hangs.items() if key[1] == kind)
        if (
            hangs < HANGS_ALLOWED
            and self._hangs[part, kind, group] < GROUPS_HANGS_ALLOWED
            and self._crashes[kind] < CRASHES_ALLOWED
        ):
            return False
        done[number] = Done(job, None, None, None, given_up=True)
        return True

    def limit(self, part: str) -> float:
        """Return how long a job may take, in seconds: less after each hang, of whichever kind."""
        return max(_SHORTEST[part], self.timeout / 4.0 ** sum(self._hangs.values()))

    def hung(self, job: Job) -> None:
        """Note that a job has hung."""
        self._hangs[job[:3]] += 1

    def crashed(self, job: Job) -> None:
        """Note that a job has ended its process."""
        self._crashes[job[1]] += 1

    def orders(self, jobs: list[tuple[int, Job]]) -> bytes:
        """Return what the process is told."""
        limit = self.limit(jobs[0][1][0])
        return json.dumps({"subject": self._subject, "limit": limit, "jobs": jobs}).encode()


# The search path is the parent's, as -I and the like would give the child another.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from golock.conformance._worker import main; main()"


class _Child:
    """One process, which does jobs until it dies or has done them all."""

    def __init__(
        self,
        children: Children,
        jobs: list[tuple[int, Job]],
        done: dict[int, Done],
        begin: Callable[[Job], None],
    ) -> None:
        self._children = children
        self._jobs = dict(jobs)
        self._done = done
        self._begin = begin
        self._running: int | None = None
        self._theirs: Any = None
        self._size = len(done)

    def run(self) -> None:
        reading, writing = os.pipe()
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        program = _PROGRAM.format(path=sys.path)
        with tempfile.TemporaryFile() as said, os.fdopen(reading, "rb", buffering=0) as lines:
            process = subprocess.Popen(
                [sys.executable, *flags, "-X", "faulthandler", "-c", program, str(writing)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                pass_fds=[writing],
                start_new_session=True,
            )
            os.close(writing)
            try:
                assert process.stdin
                with suppress(BrokenPipeError):
                    process.stdin.write(self._children.orders(list(self._jobs.items())))
                    process.stdin.close()
                hung = self._listen(lines.fileno())
                status = _end(process, hung)
            except BaseException:
                _end(process, hung=True)
                raise
            said.seek(0)
            words = said.read().decode(errors="replace")[-4000:]
        self._bury(Death("hangs" if hung else _how(status), words))

    def _listen(self, lines: int) -> bool:
        """Read until the process closes its end, or, and then return true, says no more."""
        text = b""
        while True:
            if not select.select([lines], [], [], self._patience())[0]:
                return True
            more = os.read(lines, 65536)
            if not more:
                return False
            *whole, text = (text + more).split(b"\n")
            for line in whole:
                self._hear(*json.loads(line))

    def _patience(self) -> float:
        if self._running is None:
            return max(IMPORT_TIMEOUT, self._children.timeout)
        limit = self._children.limit(self._jobs[self._running][0])
        return limit + _GRACE

    def _hear(self, word: str, *rest: Any) -> None:
        if word == "unusable":
            raise UnusableError(rest[0])
        if word == "begin":
            self._running, self._theirs = rest[0], None
            self._begin(self._jobs[rest[0]])
        elif word == "interpreter":
            self._theirs = rest[1]
        else:
            number, mine = rest
            job = self._jobs[number]
            self._done[number] = Done(job, self._theirs, mine, None)
            if job[0] == "cases" and ["hangs", None, ""] in mine[0]:
                self._children.hung(job)
            self._running = None

    def _bury(self, death: Death) -> None:
        """Note in which job the process died; a process that did nothing has died in the first."""
        if self._running is None:
            if len(self._done) > self._size:
                return
            self._running = next(iter(self._jobs))
        job = self._jobs[self._running]
        self._done[self._running] = Done(job, self._theirs, None, death)
        (self._children.hung if death.how == "hangs" else self._children.crashed)(job)


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _end(process: subprocess.Popen[bytes], hung: bool) -> int:
    """End the process and those that it has started; one that hangs says first where."""
    if hung:
        process.send_signal(signal.SIGABRT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
