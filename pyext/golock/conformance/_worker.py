"""The process in which the subject is examined: does the jobs it is told, and writes what came.

It reads its orders from the standard input, and writes JSON arrays, a line each, to the file
descriptor that its argument names: ``["unusable", text]``, or for each job ``["begin", number]``,
``["interpreter", number, result]`` and ``["subject", number, result]``. What was written stays when
the process dies, so whoever reads knows which job killed it, and on which side.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from . import _contention, _vectors
from ._family import INTERPRETER, Family
from ._lock_tests import ATTEMPTS, run_test
from ._play import Played, play
from ._subject import Named, UnusableError, traits

Job = tuple[str, str, str, str]
"""A part (``traits``, ``cases``, ``lock_tests``, ``contention``), a kind, a group and a name."""


def main() -> None:
    """Do the jobs; end without waiting for threads that are left."""
    orders = json.load(sys.stdin)
    worker = _Worker(int(sys.argv[1]), orders)
    try:
        family = Named(*orders["subject"]).family()
    except UnusableError as error:
        worker.say("unusable", str(error))
        os._exit(0)
    for number, job in orders["jobs"]:
        worker.say("begin", number)
        if not worker.do(number, tuple(job), family):
            break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _Worker:
    def __init__(self, output: int, orders: dict[str, Any]) -> None:
        self._output = output
        self._limit: float = orders["limit"]
        self._cases: dict[str, dict[str, _vectors.Case]] = {}

    def say(self, *line: Any) -> None:
        text = json.dumps(line).encode() + b"\n"
        while text:
            text = text[os.write(self._output, text) :]

    def do(self, number: int, job: Job, family: Family) -> bool:
        """Do a job; return false when this process is of no use for the next."""
        part, kind, group, name = job
        if part == "traits":
            self.say("interpreter", number, traits(kind, INTERPRETER))
            self.say("subject", number, traits(kind, family))
        elif part == "cases":
            return self._case(number, kind, name, family)
        elif part == "lock_tests":
            for _ in range(ATTEMPTS):
                theirs, mine = run_test(group, name, INTERPRETER), None
                self.say("interpreter", number, theirs)
                mine = run_test(group, name, family)
                if theirs[0] == mine[0]:
                    break
            self.say("subject", number, mine)
        else:
            examined = _contention.examine(name, kind, INTERPRETER)
            self.say("interpreter", number, examined)
            stuck = examined.stuck
            examined = _contention.examine(name, kind, family)
            self.say("subject", number, examined)
            return not (stuck or examined.stuck)
        return True

    def _case(self, number: int, kind: str, name: str, family: Family) -> bool:
        if kind not in self._cases:
            self._cases[kind] = {case.name: case for case in _vectors.load(kind)}
        hung = False
        for side, examined in (("interpreter", INTERPRETER), ("subject", family)):
            played: Played = play(self._cases[kind][name], examined, self._limit)
            self.say(side, number, played)
            hung = hung or _vectors.HANGS in played.outcomes
        return not hung


if __name__ == "__main__":
    main()
