"""Run the litmus programs: threads against each other, on the extension's own functions.

Usage: python protocol/litmus.py [--rounds N] [--arm64 ROOT]

Each program in protocol/litmus has one order of the protocol, and says which outcome it forbids. A
line gives how often which thread came first, and how often the forbidden outcome was seen. Exits
with 1 if it was seen at all.

With --arm64 the programs are compiled by zig and run under qemu-user, with the C library of the
arm64 system in that folder. qemu on x86-64 orders memory as x86-64 does, so this runs the machine
code, but no weaker order than here: protocol/orders.py looks for the instructions.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import arm64

HERE = Path(__file__).resolve().parent
SOURCES = [
    *("waiting/plain.c", "waiting/counters.c", "waiting/spin.c"),
    *("fastpath/fastpath.c", "fastpath/due.c", "base/clock.c", "base/process.c"),
]
LINKER = ["-pthread", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
"""A program includes a source whose other functions need Python: they are dropped."""


def native_compiler() -> list[str]:
    folders = [arm64.ROOT / "golock" / "capi", arm64.NATIVE, sysconfig.get_path("include")]
    return [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-std=c11", "-D_GNU_SOURCE", "-O3", "-Wall", "-Wextra", "-Werror"),
        *(f"-I{folder}" for folder in folders),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the litmus programs.")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--arm64", type=Path, metavar="ROOT")
    arguments = parser.parse_args()
    compiler = native_compiler() if arguments.arm64 is None else arm64.compiler()
    runner = [] if arguments.arm64 is None else ["qemu-aarch64-static", "-L", arguments.arm64]
    sources = [str(arm64.NATIVE / source) for source in SOURCES]
    failed = []
    print(f"{'':<36} {'left first':>10} {'right':>10} {'forbidden':>10}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((HERE / "litmus").glob("*.c")):
            program = Path(folder, source.stem)
            command = [*compiler, *LINKER, "-o", str(program), str(source), *sources]
            subprocess.run(command, check=True)
            if subprocess.run([*runner, program, str(arguments.rounds)], check=False).returncode:
                failed.append(source.stem)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
