"""Runs the test suites of other projects without golock and on it, and compares test by test.

    python tests_py/programs/suites.py [--keep FOLDER] [SUITE...]

A virtual environment in FOLDER (build/suites unless given) holds golock, built from this checkout,
the projects, and what their tests need. If outcomes differ, the suite is run twice more both ways.
A test differs if none of its outcomes without golock is one of those on golock. The exit status is
1 if any test differs. A suite takes minutes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import venv
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGAIN = 2

PYTEST = ("pytest", "pytest-timeout")
OPTIONS = ("-q", "-p", "no:cacheprovider", "--timeout=120", "-o", "junit_family=xunit1")

Outcomes = dict[str, str]


class Suite:
    """A project whose tests run under pytest.

    They are in the package, or in the folder ``tests`` of its source distribution if that is given.
    """

    def __init__(
        self, project: str, requires: tuple[str, ...], options: tuple[str, ...], tests: str = ""
    ) -> None:
        self.project = project
        self.requires = (project, *PYTEST, *requires)
        self.options = options
        self.tests = tests

    def folder(self, workplace: Workplace) -> Path:
        return workplace.source(self.project) if self.tests else workplace.folder

    def outcomes(self, workplace: Workplace, golock: bool) -> Outcomes:
        report = workplace.folder / "report.xml"
        report.unlink(missing_ok=True)
        arguments = ["-m", "pytest", *OPTIONS, f"--junitxml={report}", *self.options]
        if self.tests:
            arguments.append(self.tests)
        workplace.python(golock, arguments, self.folder(workplace), self.project)
        if not report.exists():
            return {}
        return {
            f"{case.get('classname')}::{case.get('name')}": case[0].tag
            if len(case) and case[0].tag in ("failure", "error", "skipped")
            else "passed"
            for case in ET.parse(report).iter("testcase")
        }


class Gevent:
    """gevent's tests of its patched threading; each file patches its own process."""

    project = "gevent==26.9.0"
    requires = (project, "psutil", "objgraph")
    pattern = re.compile(
        r"^(test\w* \(\S+\)).*? \.\.\. .*?(ok|FAIL|ERROR|skipped|expected failure)", re.M | re.S
    )
    names = re.compile(r"test__(threading|monkey|semaphore|lock|thread|event|queue).*\.py")

    def outcomes(self, workplace: Workplace, golock: bool) -> Outcomes:
        outcomes = {}
        for path in sorted(workplace.packages().glob("gevent/tests/test__*.py")):
            if not self.names.fullmatch(path.name):
                continue
            module = f"gevent.tests.{path.stem}"
            status, output = workplace.python(
                golock, ["-m", module, "-v"], workplace.folder, self.project
            )
            outcomes[module] = str(status)
            for test, outcome in self.pattern.findall(output):
                outcomes[f"{module} {test}"] = outcome
        return outcomes


SUITES = {
    "gevent": Gevent(),
    "trio": Suite(
        "trio==0.35.0",
        ("trustme", "pyopenssl", "async_generator", "astor", "jedi", "yapf"),
        ("-p", "trio._tests.pytest_plugin", "--pyargs", "trio", "--skip-optional-imports"),
    ),
    "anyio": Suite(
        "anyio[trio]==4.16.0",
        ("trustme", "psutil", "pytest-mock", "exceptiongroup", "blockbuster", "hypothesis"),
        ("-m", "not network"),
        "tests",
    ),
    "urllib3": Suite(
        "urllib3[brotli,socks]==2.8.0",
        (
            "h2", "hypercorn", "quart", "quart-trio", "trio", "trustme", "cryptography",
            "pyopenssl", "pytest-socket", "pytest-memray", "httpx", "backports.zstd", "idna",
        ),
        ("-p", "no:memray",),
        "test",
    ),
}  # fmt: skip


class Workplace:
    """A virtual environment with golock, and the downloads for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executable = folder / "venv" / "bin" / "python"
        if not self.executable.exists():
            venv.create(folder / "venv", with_pip=True)
        self.pip("install", "--force-reinstall", "--no-deps", str(ROOT))

    def pip(self, *arguments: str) -> None:
        subprocess.run([self.executable, "-m", "pip", "-q", *arguments], check=True)

    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "venv" / "lib" / version / "site-packages"

    def source(self, project: str) -> Path:
        name = re.sub(r"\[.*\]", "", project)
        folder = self.folder / name.replace("==", "-")
        if not folder.exists():
            self.pip("download", "--no-deps", "--no-binary", ":all:", "-d", str(self.folder), name)
            (archive,) = self.folder.glob(f"{folder.name}.tar.gz")
            with tarfile.open(archive) as opened:
                opened.extractall(self.folder)
        return folder

    def python(
        self, golock: bool, arguments: list[str], folder: Path, project: str
    ) -> tuple[int, str]:
        command = [str(self.executable), *(("-m", "golock", "run") if golock else ()), *arguments]
        name = re.split(r"[=[]", project)[0]
        log = self.folder / f"{name}-{'golock' if golock else 'plain'}.log"
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=1200,
                check=False,
            )
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as expired:
            status, output = -1, expired.stdout or b""
        with log.open("ab") as opened:
            opened.write(b"$ " + " ".join(command).encode() + b"\n" + output)
        return status, output.decode(errors="replace")


def compare(name: str, workplace: Workplace) -> int:
    """Run a suite both ways and print what differs; return the number of tests that do."""
    suite = SUITES[name]
    workplace.pip("install", *suite.requires)
    plain = [suite.outcomes(workplace, golock=False)]
    on_golock = [suite.outcomes(workplace, golock=True)]
    tests = sorted({*plain[0], *on_golock[0]})

    def differing() -> list[str]:
        return [
            test
            for test in tests
            if not {run.get(test) for run in plain} & {run.get(test) for run in on_golock}
        ]

    for _ in range(AGAIN):
        if differing():
            plain.append(suite.outcomes(workplace, golock=False))
            on_golock.append(suite.outcomes(workplace, golock=True))
    different = differing()
    passed = sum(outcome in ("passed", "ok", "0") for outcome in on_golock[0].values())
    print(f"{name}: {len(tests)} tests, {passed} passed on golock, {len(different)} differ")
    for test in different:
        print(
            f"  {test}: {[run.get(test) for run in plain]}, {[run.get(test) for run in on_golock]}"
        )
    sys.stdout.flush()
    return len(different) if tests and passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "suites", metavar="FOLDER")
    options = parser.parse_args()
    folder = options.keep.resolve() / "{}.{}.{}".format(*sys.version_info[:3])
    folder.mkdir(parents=True, exist_ok=True)
    workplace = Workplace(folder)
    return int(sum(compare(name, workplace) for name in options.suites or SUITES) > 0)


if __name__ == "__main__":
    sys.exit(main())
