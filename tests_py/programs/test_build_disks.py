"""What the build says and does where a file system is mounted noexec, or is nearly full."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[2] / "pyext" / "backend"
MOUNTED = ["unshare", "--mount", "--propagation", "private", "sh", "-euc"]


def can_mount() -> bool:
    try:
        done = subprocess.run([*MOUNTED, "mount -t tmpfs tmpfs /mnt"], check=False)
    except OSError:
        return False
    return done.returncode == 0


pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not BACKEND.exists(), reason="the source tree is not beside the tests"),
    pytest.mark.skipif(not can_mount(), reason="mounting needs root"),
]


def run(mount: str, folder: Path, code: str, **variables: str) -> list[str]:
    """Return the lines that Python prints with a tmpfs mounted on a folder."""
    script = f'mount -t tmpfs {mount} tmpfs "$1"; exec "$2" -c "$3"'
    folder.mkdir()
    done = subprocess.run(
        [*MOUNTED, script, "sh", folder, sys.executable, code],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root", "PYTHONPATH": str(BACKEND), **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_tools_of_pypi_on_a_file_system_mounted_noexec(tmp_path: Path) -> None:
    """Where TMPDIR is mounted noexec, pip installs the tools where they cannot be started."""
    folder = tmp_path / "noexec"
    code = f"""
import os, pathlib, sys
for package, program in ("go", "bin/go"), ("ziglang", "zig"):
    path = pathlib.Path({str(folder)!r}, package, program)
    path.parent.mkdir(parents=True)
    pathlib.Path({str(folder)!r}, package, "__init__.py").touch()  # goes before one installed
    path.write_text("#!/bin/sh\\necho go1.99.0")
    path.chmod(0o755)
sys.path.insert(0, {str(folder)!r})
os.environ["PATH"] = "/nowhere"
import toolchain
print(*(each.sentence for each in toolchain.search().missing), sep="\\n")
"""
    found = run("-o noexec", folder, code)
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        found = found[1:]
    go, compiler = found
    reason = " cannot be used (it is on a file system mounted noexec; set TMPDIR to a folder "
    assert f"{folder}/go/bin/go{reason}" in go
    assert f"{folder}/ziglang/zig{reason}" in compiler


@pytest.mark.parametrize(("size", "kept"), [("1m", False), ("300m", True)])
def test_cache_of_go_on_a_full_disk(tmp_path: Path, size: str, kept: bool) -> None:
    """The build keeps the cache beside its own files if there is no space for it elsewhere."""
    folder = tmp_path / "cache"
    code = f"""
import pathlib, shutil, go_command
found = go_command.module_environment(shutil.which("go"), pathlib.Path({str(tmp_path)!r}))
print(found["GOCACHE"])
"""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\nshift\nfor name; do eval "echo \\$$name"; done\n', encoding="utf-8")
    go.chmod(0o755)
    (found,) = run(
        f"-o size={size}",
        folder,
        code,
        PATH=f"{go.parent}:/usr/bin:/bin",
        GOCACHE=str(folder),
        GOMODCACHE=str(tmp_path / "modules"),
    )
    assert Path(found) == (folder if kept else tmp_path / "go-cache")
