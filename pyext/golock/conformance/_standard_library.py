"""The interpreter's own test modules on golock, beside the same without, test by test.

Each module runs in processes of its own, once plainly and once with ``python -m golock run``, where
the child interpreters that the tests start use golock as well (those started with -I, -E or -S
excepted). Both runs have the same environment, but for the variable that says so.

A test that differs is run again, alone, three times both ways. If it differs again it is
*different*; if it gives more than one outcome without golock, or agrees from then on, also when the
whole module runs once more, it is *flaky*. Tests that must differ, with the reason, are in
must_differ.json, which is wrong when such a test does not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ._vectors import applies

VERSION = 1
"""Of the JSON document; ``report.schema.json`` describes it."""

MODULES = tuple(
    f"test.{name}"
    for name in (
        "test_thread",
        "test_threading",
        "test_threading_local",
        "test_threadsignals",
        "test_queue",
        "test_sched",
        "test_concurrent_futures",
        "test_asyncio.test_threads",
        "test_asyncio.test_futures2",
        "test_logging",
        "test_multiprocessing_fork",
        "test_multiprocessing_main_handling",
        "test_socketserver",
        "test_httpservers",
        "test_importlib.test_threaded_import",
        "test_importlib.test_locks",
    )
)
MUST_DIFFER = Path(__file__).with_name("must_differ.json")
TIMEOUT = 120.0

_RECORD = Path(__file__).with_name("_record_tests.py")
_RERUNS = 3
_SLOW = 30.0
_VARIABLE = "GOLOCK_CONFORMANCE_INSTALL"
_SITECUSTOMIZE = f"""
import os
if os.environ.get({_VARIABLE!r}) == "1":
    import golock
    golock.install()
"""


class Outcome(NamedTuple):
    """``ok``, ``failed``, ``error``, ``skipped``, ..., and what was said about it."""

    kind: str
    detail: str = ""
    seconds: float = 0.0

    def beside(self, other: Outcome) -> Outcome:
        """Return this outcome, named slow where it came half a minute later than the other."""
        if self.seconds > other.seconds + _SLOW:
            return self._replace(kind=f"{self.kind}, slow")
        return self


class MustDiffer(NamedTuple):
    """A test whose outcome on golock is another one, and why."""

    test: str
    golock: str
    why: str


class TestReport(NamedTuple):
    """A test that differed at least once: its outcomes without and with golock, run by run."""

    test: str
    verdict: str
    interpreter: list[Outcome]
    golock: list[Outcome]
    why: str = ""

    @property
    def flaky_without_golock(self) -> bool:
        """Return whether the interpreter alone gave more than one outcome."""
        return len({outcome.kind for outcome in self.interpreter}) > 1

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "test": self.test,
            "verdict": self.verdict,
            "interpreter": [outcome.kind for outcome in self.interpreter],
            "golock": [outcome.kind for outcome in self.golock],
            "flaky_without_golock": self.flaky_without_golock,
            "why": self.why or None,
            "detail": next((each.detail for each in self.golock if each.detail), ""),
        }


class ModuleReport(NamedTuple):
    """A module: why it did not run, or its tests."""

    module: str
    missing: str
    outcomes: dict[str, int]
    same: int
    tests: list[TestReport]
    seconds: tuple[float, float]

    def count(self, verdict: str) -> int:
        """Return how many tests got this verdict."""
        return sum(test.verdict == verdict for test in self.tests)

    @property
    def total(self) -> int:
        """Return how many tests there are."""
        return self.same + len(self.tests)

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines; ``outcomes`` are those of the tests that are the same."""
        return {
            "module": self.module,
            "missing": self.missing or None,
            "tests": self.total,
            "same": self.same,
            "outcomes": self.outcomes,
            "not_same": [test.as_json() for test in self.tests],
            "seconds": {"interpreter": self.seconds[0], "golock": self.seconds[1]},
        }


def load_must_differ(path: Path = MUST_DIFFER) -> list[MustDiffer]:
    """Return the entries that hold for the running interpreter."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [
        MustDiffer(entry["test"], entry["golock"], entry["why"])
        for entry in entries
        if applies(entry)
    ]


def run(options: Any) -> int:
    """Compare, print as the command line says, and return the exit status."""
    reports: list[ModuleReport] = []
    version = sys.version.split()[0]
    if not options.json:
        print(f"CPython {version}'s own tests, without golock and on golock", flush=True)
        print(_HEADING, flush=True)
    modules = options.module or MODULES
    for report in compare(modules, load_must_differ(), timeout=options.timeout):
        reports.append(report)
        if not options.json:
            print(_row(report), flush=True)
    differences = sum(report.count("different") + report.count("stale") for report in reports)
    if options.json:
        document = {
            "version": VERSION,
            "interpreter": version,
            "modules": [report.as_json() for report in reports],
            "differences": differences,
        }
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        _print_end(reports, differences)
    return 1 if differences else 0


def compare(
    modules: Iterable[str], must_differ: Iterable[MustDiffer], *, timeout: float = TIMEOUT
) -> Iterator[ModuleReport]:
    """Run the modules, and yield a report for each as soon as it is there.

    A test that takes more than ``timeout`` seconds is ended, with its process: that is its outcome
    then, and the rest of its module go on in another process.
    """
    expected = {entry.test: entry for entry in must_differ}
    for module in modules:
        yield _compare(module, expected, timeout)


def _compare(module: str, expected: dict[str, MustDiffer], timeout: float) -> ModuleReport:
    plain = _run(module, on_golock=False, timeout=timeout)
    if plain.missing:
        return ModuleReport(module, plain.missing, {}, 0, [], (plain.seconds, 0.0))
    golock = _run(module, on_golock=True, timeout=timeout)
    outcomes: dict[str, int] = {}
    same, tests, unsettled = 0, [], []
    for test in [*plain.outcomes, *(golock.outcomes.keys() - plain.outcomes.keys())]:
        theirs = plain.of(test)
        mine = golock.of(test).beside(theirs)
        if test == _end(module) and theirs.kind == mine.kind:
            continue
        entry = expected.get(test)
        if entry and (theirs.kind, mine.kind) == ("ok", entry.golock):
            tests.append(TestReport(test, "must differ", [theirs], [mine], entry.why))
        elif theirs.kind != mine.kind:
            unsettled.append(TestReport(test, "different", [theirs], [mine]))
        elif entry:
            tests.append(TestReport(test, "stale", [theirs], [mine], entry.why))
        else:
            same += 1
            outcomes[theirs.kind] = outcomes.get(theirs.kind, 0) + 1
    tests += _settle(module, unsettled, timeout)
    return ModuleReport(module, "", outcomes, same, tests, (plain.seconds, golock.seconds))


def _settle(module: str, unsettled: list[TestReport], timeout: float) -> list[TestReport]:
    """Run the tests again, and tell flaky ones from those that differ."""
    for report in unsettled:
        for _ in range(_RERUNS):
            _add(report, module, timeout, [report.test])
            if report.flaky_without_golock or _differs_again(report):
                break
    if not all(_settled(report) for report in unsettled):
        again = _run(module, on_golock=True, timeout=timeout)
        for report in unsettled:
            if not _settled(report):
                report.interpreter.append(report.interpreter[0])
                report.golock.append(again.of(report.test).beside(report.interpreter[0]))
    return [
        report if _differs_again(report) else report._replace(verdict="flaky")
        for report in unsettled
    ]


def _add(report: TestReport, module: str, timeout: float, only: list[str]) -> None:
    theirs = _run(module, False, timeout, only).of(report.test)
    report.interpreter.append(theirs)
    report.golock.append(_run(module, True, timeout, only).of(report.test).beside(theirs))


def _settled(report: TestReport) -> bool:
    return report.flaky_without_golock or _differs_again(report)


def _differs_again(report: TestReport) -> bool:
    """Return whether golock differed in more than one run, and the interpreter was constant."""
    theirs = report.interpreter[0].kind
    others = sum(outcome.kind != theirs for outcome in report.golock)
    return others > 1 and not report.flaky_without_golock


class _Run(NamedTuple):
    missing: str
    outcomes: dict[str, Outcome]
    seconds: float

    def of(self, test: str) -> Outcome:
        return self.outcomes.get(test, Outcome("not run"))


def _run(module: str, on_golock: bool, timeout: float, only: list[str] | None = None) -> _Run:
    begin = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    while True:
        process = _Process(module, on_golock, timeout, only)
        if process.missing:
            return _Run(process.missing, {}, time.monotonic() - begin)
        outcomes.update(process.outcomes)
        only = [test for test in process.tests if test not in process.outcomes]
        if process.running is None:
            outcomes[_end(module)] = process.end
            return _Run("", outcomes, time.monotonic() - begin)
        outcomes[process.running] = process.end
        only = [test for test in only if test != process.running]
        if not only:
            return _Run("", outcomes, time.monotonic() - begin)


def _end(module: str) -> str:
    """Name what happens after the tests, like a test."""
    return f"{module} (end of the process)"


class _Process:
    """One process that runs tests; ``running`` is the test in which it died, if it did."""

    def __init__(
        self, module: str, on_golock: bool, timeout: float, only: list[str] | None
    ) -> None:
        self.missing = ""
        self.tests: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.running: str | None = None
        # Processes that a test has left behind may still write there.
        with tempfile.TemporaryDirectory(
            prefix="golock-conformance-", ignore_cleanup_errors=True
        ) as name:
            folder = Path(name)
            report, ids, log = folder / "report", folder / "ids", folder / "log"
            arguments = [str(_RECORD), module, str(report)]
            if only is not None:
                ids.write_text(json.dumps(only), encoding="utf-8")
                arguments.append(str(ids))
            (folder / "site").mkdir()
            (folder / "site" / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
            (folder / "work").mkdir()
            report.touch()
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-X", "faulthandler"),
                        *(("-m", "golock", "run") if on_golock else ()),
                        *arguments,
                    ],
                    cwd=folder / "work",
                    env=_environment(folder / "site", on_golock),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                status = _wait(process, timeout, report)
                _end_group(process.pid)
            self._read(report)
            said = log.read_text(encoding="utf-8", errors="replace")[-4000:]
        self.end = Outcome("ok") if status == "exit status 0" else Outcome(status, said)

    def _read(self, report: Path) -> None:
        for text in report.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if "missing" in line:
                self.missing = line["missing"]
            elif "tests" in line:
                self.tests = line["tests"]
            elif "start" in line:
                self.running = line["start"]
            elif "test" in line:
                self.running = None
                self.outcomes[line["test"]] = Outcome(
                    line["outcome"], line["detail"], line["seconds"]
                )


def _environment(site: Path, on_golock: bool) -> dict[str, str]:
    environment = dict(os.environ)
    path = [str(site), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    environment[_VARIABLE] = "1" if on_golock else "0"
    return environment


def _wait(process: subprocess.Popen[bytes], timeout: float, report: Path) -> str:
    """Wait while the report grows, at least once in ``timeout`` seconds once it has begun."""
    size, since = 0, time.monotonic()
    while time.monotonic() - since < (timeout if size else max(timeout, TIMEOUT)):
        with suppress(subprocess.TimeoutExpired):
            return f"exit status {process.wait(timeout / 10)}"
        if report.stat().st_size > size:
            size, since = report.stat().st_size, time.monotonic()
    process.send_signal(signal.SIGABRT)  # prints where its threads are
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return "timed out"
    process.kill()
    process.wait()
    return "timed out"


def _end_group(group: int) -> None:
    """End what the tests have left behind, after a moment in which it may end by itself."""
    with suppress(ProcessLookupError):
        for _ in range(50):
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)


_COLUMNS = ("tests", "same", "must differ", "different", "flaky", "seconds without/on golock")
_WIDTH = 41
_HEADING = f"\n  {'module':<{_WIDTH}}" + "".join(f"  {column}" for column in _COLUMNS)


def _row(report: ModuleReport) -> str:
    name = f"  {report.module.removeprefix('test.'):<{_WIDTH}}"
    if report.missing:
        return f"{name}  {report.missing}"
    cells: list[Any] = [
        report.total,
        report.same,
        report.count("must differ"),
        report.count("different"),
        report.count("flaky"),
        f"{report.seconds[0]:.0f} / {report.seconds[1]:.0f}",
    ]
    return name + "".join(
        f"  {cell:>{len(column)}}" for cell, column in zip(cells, _COLUMNS, strict=True)
    )


def _print_end(reports: list[ModuleReport], differences: int) -> None:
    total, same = sum(each.total for each in reports), sum(each.same for each in reports)
    print(f"\n{total} tests, {same} the same")
    for verdict, title in (
        ("different", "Different"),
        ("stale", "Do not differ, and must_differ.json says that they must"),
        ("flaky", "Flaky: differed once"),
        ("must differ", "Must differ"),
    ):
        tests = [test for report in reports for test in report.tests if test.verdict == verdict]
        if tests:
            print(f"\n{title}")
        for test in tests:
            _print_test(test)
    print(f"\n{differences} difference{'' if differences == 1 else 's'}")


def _print_test(test: TestReport) -> None:
    print(f"  {test.test}")
    print(f"    without golock: {', '.join(outcome.kind for outcome in test.interpreter)}")
    print(f"    on golock:      {', '.join(outcome.kind for outcome in test.golock)}")
    if test.verdict == "flaky":
        print(f"    flaky without golock as well: {'yes' if test.flaky_without_golock else 'no'}")
    if test.why:
        print(f"    because {test.why}")
    elif test.verdict == "different":
        detail = next((each.detail for each in test.golock if each.detail), "")
        print("      " + detail.strip().replace("\n", "\n      "))
