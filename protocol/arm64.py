"""Compile the extension's sources for arm64 as its wheels are: by zig, from the package ziglang."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "pyext" / "native"

sys.path.insert(0, str(ROOT / "pyext" / "backend"))
import toolchain  # noqa: E402
import wheels  # noqa: E402

VERSION = "3.13"
"""The interpreter whose headers are used."""


def compiler() -> list[str]:
    """Return the command of the compiler, with the options that setup.py gives it."""
    headers = wheels.headers(VERSION, "aarch64")
    assert headers is not None  # Debian has them
    folders = [headers, headers.parent, ROOT / "golock" / "capi", NATIVE]
    return [
        *(sys.executable, "-m", "ziglang", "cc"),
        *("-target", f"aarch64-linux-gnu.{toolchain.OLDEST_GLIBC}"),
        *("-std=c11", "-D_GNU_SOURCE", "-O3", "-g0", "-fvisibility=hidden"),
        *("-Wall", "-Wextra", "-Wno-macro-redefined", "-Wno-builtin-macro-redefined"),
        *(f"-I{folder}" for folder in folders),
    ]


def assembly(source: Path, *options: str) -> str:
    """Return the assembly language that the compiler makes of a source file."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "assembly.s")
        command = [*compiler(), *options, "-S", "-o", str(output), str(source)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return output.read_text(encoding="utf-8")
