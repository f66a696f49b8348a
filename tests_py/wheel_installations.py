"""Installs each wheel of ``make wheels`` into a bare environment of its own Python.

    python tests_py/wheel_installations.py [--only TEXT]

There is no network, no compiler and no Go; pip chooses among all the wheels. Where Debian has a
Python, it is Debian's. Others are mounted into a bare Debian: those that Debian no longer has, from
pyenv, and those without a GIL, from build/free-threaded. Prints a table of what happened.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import bare

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "bookworm": "python3-venv",
    "trixie": "python3-venv",
    "sid": "python3.14-venv,python3.15-venv",
}
OWN = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid", "3.15": "sid"}
MOUNTED_INTO = "bookworm"  # the oldest: an interpreter built on it or on an older system runs

# Ends before "it works" if anything that a build would need is there.
SCRIPT = """
set -e
for tool in cc gcc clang zig go; do
    if command -v $tool; then echo "$tool is here"; exit 1; fi
done
"$PYTHON" -m venv /try/v
/try/v/bin/python -m pip install --no-index --find-links /try/wheels golock
cd /
/try/v/bin/python -I /try/smoke.py
/try/v/bin/python -m pip uninstall --yes --quiet golock
left=$(find /try/v -name '*golock*')
if [ -n "$left" ]; then echo "left: $left"; exit 1; fi
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and the system in which it runs."""

    suite: str
    command: str
    folder: Path | None = None
    """Where it is on this machine, if it is mounted into the system."""

    @property
    def origin(self) -> str:
        if self.folder is None:
            return f"Debian {self.suite}"
        kind = "pyenv's" if "versions" in self.folder.parts else "Debian's source package"
        return f"{kind}, mounted into Debian {self.suite}"


def interpreter(version: str, free_threaded: bool) -> Interpreter | None:
    """Return the interpreter to try a wheel with, or None if there is none here."""
    if free_threaded:
        kept = ROOT / "build" / "free-threaded"
        folders = [kept / "plain" if version == "3.13" else kept / version / "plain"]
    elif version in OWN:
        return Interpreter(OWN[version], f"/usr/bin/python{version}")
    else:
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
        folders = sorted(pyenv.glob(f"{version}.*"))
    for folder in folders:
        command = folder / "bin" / f"python{version}{'t' if free_threaded else ''}"
        if command.exists():
            return Interpreter(MOUNTED_INTO, str(command), folder)
    return None


def perform(wheel: Path, found: Interpreter) -> tuple[str | None, str]:
    """Return the version of the Python that did what it should, or None, and what was printed."""
    root = bare.system(f"wheels-{found.suite}", found.suite, PACKAGES[found.suite])
    work = root / "try"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(wheel.parent, work / "wheels")
    shutil.copy(ROOT / "tests_py" / "smoke.py", work)
    folders = {} if found.folder is None else {found.folder: str(found.folder)}
    script = f"PYTHON={found.command}\n{SCRIPT}"
    done = bare.run(root, script, network=False, folders=folders)
    works = re.search(r"^it works on (\S+)$", done.stdout, re.MULTILINE)
    chosen = re.search(rf"^Processing \S*/{re.escape(wheel.name)}$", done.stdout, re.MULTILINE)
    return works[1] if works and chosen and done.returncode == 0 else None, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Install each wheel for this machine.")
    parser.add_argument("--only", default="", help="wheels whose name contains this")
    only: str = parser.parse_args().only
    obstacle = bare.obstacle()
    if obstacle is not None:
        sys.exit(f"the wheels cannot be tried: {obstacle}")
    wheels = sorted((ROOT / "wheelhouse").glob(f"golock-*_{platform.machine()}.whl"))
    if not wheels:
        sys.exit("run make wheels first")
    print("| wheel | MB | Python | of | result |\n| --- | ---: | --- | --- | --- |")
    failed = []
    for wheel in wheels:
        _, _, tag, abi, _ = wheel.stem.split("-")
        if only not in wheel.name:
            continue
        version = f"3.{tag.removeprefix('cp3')}"
        found = interpreter(version, abi.endswith("t"))
        begun = f"| {tag}-{abi} | {wheel.stat().st_size / 1e6:.2f} "
        if found is None:
            print(f"{begun}| | | no interpreter to try it with |", flush=True)
            continue
        seen, printed = perform(wheel, found)
        result = "works" if seen else "FAILS"
        print(f"{begun}| {seen or ''} | {found.origin} | {result} |", flush=True)
        if seen is None:
            failed.append(f"== {wheel.name}\n{printed[-3000:]}")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
