"""Installs golock as users do, in bare Debian systems, and prints a table of what happened.

    python tests_py/installations.py [--quick] [--only TEXT] [--repeat TIMES] [--wheels FOLDER]

Needs root, and the files of ``make wheels`` for the rows that install one. Every installation that
succeeds also runs smoke.py.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import bare

ROOT = Path(__file__).resolve().parents[1]
SUITE = "trixie"
BARE = "python3,python3-venv,python3-pip,libpython3-dev,ca-certificates"
PACKAGES = {"bare": BARE, "tools": f"{BARE},gcc,libc6-dev,golang-go"}


@dataclass(frozen=True)
class Row:
    """An installation: in which system, by which commands, and what they are to print.

    The time of ``script`` is measured, and not that of what comes before and after it.
    """

    label: str
    system: str
    script: str
    prepare: str = "python3 -m venv /try/v"
    after: str = "cd / && /try/v/bin/python -I /try/smoke.py"
    expected: str = "it works"
    quick: bool = False
    counted: bool = True
    """Whether what it prints has the size of all that was downloaded."""


PIP = "/try/v/bin/pip install -v "
# Poetry asks its own index for versions in a way that mirrors lack, so it is told of pip's.
INDEX = (
    'INDEX="${PIP_INDEX_URL:-$(/try/v/bin/pip config get global.index-url || /try/v/bin/python -c '
    "'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'"
    ')}" && '
)
CERTIFICATES = "export REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt && "
# As the README writes it.
FIND_LINKS = "pip install --find-links wheelhouse golock"
NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/ TMPDIR=/var/tmp"


def with_tool(requirement: str) -> str:
    return f"python3 -m venv /try/v && /try/v/bin/pip install -q {requirement}"


ROWS = [
    Row(
        f"a wheel: `{FIND_LINKS}`",
        "bare",
        f". /try/v/bin/activate && cd /try && {FIND_LINKS}",
        quick=True,
    ),
    Row("checkout, no tools: `pip install .`", "bare", f"cd /try/tree && {PIP}."),
    Row("source distribution, no tools", "bare", f"{PIP}/try/sdist/*", quick=True),
    Row(
        "the same with uv",
        "bare",
        "VIRTUAL_ENV=/try/v /try/v/bin/uv pip install /try/sdist/*",
        prepare=with_tool("uv"),
        counted=False,
    ),
    Row(
        "no headers of Python",
        "bare",
        f"{PIP}/try/sdist/*",
        prepare="python3 -m venv /try/v && mv /usr/include/python3.13 /usr/include/away",
        after="mv /usr/include/away /usr/include/python3.13",
        expected="the headers of Python [0-9.]+ are missing; install them",
        quick=True,
    ),
    Row(
        "no tools, and no network",
        "bare",
        f"cd /try/tree && {PIP}--no-index --no-build-isolation .",
        prepare=with_tool("setuptools"),
        after="",
        expected=r"there is no go command(?s:.)*there is no C compiler",
        quick=True,
    ),
    Row("Debian's gcc and Go: `pip install .`", "tools", f"cd /try/tree && {PIP}."),
    Row(
        "the same, source distribution, GOPROXY=off",
        "tools",
        f"export GOPROXY=off; {PIP}/try/sdist/*",
    ),
    Row("editable: `pip install -e .`", "tools", f"cd /try/tree && {PIP}-e ."),
    Row(
        "the same, `--config-settings editable_mode=strict`",
        "tools",
        f"cd /try/tree && {PIP}-e . --config-settings editable_mode=strict",
    ),
    Row(
        "`uv add` in a project",
        "tools",
        "cd /try/project && /try/v/bin/uv add /try/sdist/*",
        prepare=with_tool("uv") + " && /try/v/bin/uv init -q --bare /try/project",
        after="cd /try/project && /try/v/bin/uv run --frozen python -I /try/smoke.py",
        counted=False,
    ),
    Row(
        "`uv build`, and `uv pip install` of the wheel",
        "tools",
        "cd /try/tree && /try/v/bin/uv build && "
        "VIRTUAL_ENV=/try/v /try/v/bin/uv pip install dist/*.whl",
        prepare=with_tool("uv"),
        counted=False,
    ),
    Row(
        "`poetry add` in a project",
        "tools",
        "export POETRY_VIRTUALENVS_IN_PROJECT=true && cd /try/project && "
        f"{CERTIFICATES}/try/v/bin/poetry add -v $(ls /try/sdist/*)",
        prepare=f"{with_tool('poetry')} && {INDEX}mkdir /try/project && cd /try/project && "
        "/try/v/bin/poetry init -q -n --python '>=3.13,<4' && "
        '/try/v/bin/poetry source add -q index "$INDEX"',
        after="cd / && /try/project/.venv/bin/python -I /try/smoke.py",
        counted=False,
    ),
    Row(
        "`pipx inject` into a program's environment",
        "tools",
        "PIPX_HOME=/try/pipx /try/v/bin/pipx inject pytest /try/sdist/*",
        prepare=f"{with_tool('pipx')} && PIPX_HOME=/try/pipx /try/v/bin/pipx install pytest",
        after="cd / && /try/pipx/venvs/pytest/bin/python -I /try/smoke.py",
        counted=False,
    ),
    Row(
        "`--no-build-isolation`, setuptools 77",
        "tools",
        f"cd /try/tree && {PIP}--no-build-isolation .",
        prepare=with_tool("setuptools==77.0.3"),
    ),
    Row(
        "another user, HOME=/, sources read-only",
        "tools",
        f"cd /try/tree && {NOBODY} /var/tmp/v/bin/pip install -v --no-cache-dir /try/tree",
        prepare="rm -rf /var/tmp/v && chmod -R a-w,a+rX /try/tree && "
        f"{NOBODY} python3 -m venv /var/tmp/v",
        after="cd / && /var/tmp/v/bin/python -I /try/smoke.py",
    ),
    Row(
        "`pip wheel` twice: the same bytes",
        "tools",
        "cd /try/tree && for i in 1 2; do /try/v/bin/pip wheel -q -w /try/w$i . ; done; "
        "cmp /try/w1/*.whl /try/w2/*.whl && /try/v/bin/pip install /try/w1/*.whl",
    ),
]


def checkout(folder: Path) -> None:
    """Copy what a clone would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def source_distribution(folder: Path) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        assert any(name.endswith("vendor/modules.txt") for name in archive.getnames())


def downloaded(printed: str) -> float:
    """Return the megabytes that pip says it has downloaded."""
    units = {"B": 1e-6, "bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "MiB": 1.05, "KiB": 1.02e-3}
    sizes = re.findall(r"Downloading \S+ \((\d+(?:\.\d+)?) ?(\w+)\)", printed)
    return sum(float(size) * units[unit] for size, unit in sizes)


def rounded(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"


def perform(row: Row, sdist: Path, wheels: Path) -> tuple[bool, float, float, str]:
    """Return whether a row does what it should, its seconds and megabytes, and what it printed."""
    root = bare.system(row.system, SUITE, PACKAGES[row.system])
    work = root / "try"
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(root / "root" / ".cache", ignore_errors=True)
    checkout(work / "tree")
    shutil.copytree(sdist, work / "sdist")
    shutil.copytree(wheels, work / "wheelhouse")
    shutil.copy(ROOT / "tests_py" / "smoke.py", work)
    prepared = bare.run(root, row.prepare)
    begun = time.monotonic()
    done = bare.run(root, row.script)
    seconds = time.monotonic() - begun
    after = bare.run(root, row.after)
    fits = re.search(row.expected, done.stdout + after.stdout) is not None
    printed = prepared.stdout + done.stdout + after.stdout
    return fits, seconds, downloaded(done.stdout), printed


def main() -> None:
    parser = argparse.ArgumentParser(description="Install golock as users do.")
    parser.add_argument("--quick", action="store_true", help="the quickest four")
    parser.add_argument("--only", default="", help="rows whose label contains this")
    parser.add_argument("--repeat", type=int, default=1, help="then the seconds are the median's")
    parser.add_argument("--wheels", type=Path, default=ROOT / "wheelhouse")
    arguments = parser.parse_args()
    obstacle = bare.obstacle()
    if obstacle is not None:
        told = f"the installations cannot be tried: {obstacle}"
        if arguments.quick:  # by machines of all kinds, before every change
            print(told)
            return
        sys.exit(told)
    wheels: Path = arguments.wheels
    if not list(wheels.glob(f"golock-*-cp313-cp313-*{platform.machine()}.whl")):
        sys.exit("run make wheels first")
    if f"`{FIND_LINKS}`" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        sys.exit(f"README.md does not have the command `{FIND_LINKS}`")
    sdist = bare.FOLDER / "sdist"
    shutil.rmtree(sdist, ignore_errors=True)
    source_distribution(sdist)
    seconds = "seconds" if arguments.repeat == 1 else "seconds, median (least)"
    print(f"| installation | result | {seconds} | MB downloaded |\n| --- | --- | ---: | ---: |")
    failed = []
    for row in ROWS:
        if arguments.only not in row.label or (arguments.quick and not row.quick):
            continue
        times = []
        for _ in range(arguments.repeat):
            fits, took, megabytes, printed = perform(row, sdist, wheels)
            times.append(took)
            if not fits:
                failed.append(f"== {row.label}\n{printed[-3000:]}")
                break
        result = "works" if row.expected == "it works" else "says what is missing"
        told = rounded(statistics.median(times))
        if arguments.repeat > 1:
            told += f" ({rounded(min(times))})"
        result = result if fits else "FAILS"
        size = f"{megabytes:.0f} |" if row.counted else "|"
        print(f"| {row.label} | {result} | {told} | {size}", flush=True)
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
