"""Builds the lock core with Go and the extension that loads it with the C compiler.

The metadata is in pyproject.toml.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NATIVE = Path("pyext/native")
CONTRACT = Path("golock", "capi", "golock.h")
GO_NEEDED = (1, 24)
# The functions of the C library in whose place golock/capi/libgolock/guest.c puts its own.
WRAPPED = (
    "malloc",
    "mmap",
    "munmap",
    "pthread_attr_init",
    "pthread_create",
    "pthread_getattr_np",
    "sigaction",
)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Unbuildable(SystemExit):
    """Ends the build with one sentence that says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"golock cannot be built: {sentence}")


def check_system() -> None:
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        raise Unbuildable(
            "the Python package is for Linux on amd64 and arm64, and this is "
            f"{sys.platform} on {platform.machine()}; "
            "the Go package github.com/golock/golock/golock works on other systems too."
        )
    if platform.python_implementation() != "CPython":
        raise Unbuildable(
            f"the extension is for CPython, and this is {platform.python_implementation()}."
        )


def check_compiler() -> None:
    configured = os.environ.get("CC", "").split() or str(sysconfig.get_config_var("CC")).split()
    compiler = configured[0]
    if shutil.which(compiler) is None:
        raise Unbuildable(
            f"there is no C compiler ({compiler} was not found); install one "
            "(Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc)."
        )
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise Unbuildable(
            f"the headers of Python {platform.python_version()} are missing; install them "
            f"(Debian: apt-get install python3.{sys.version_info.minor}-dev; "
            "Fedora: dnf install python3-devel)."
        )


def find_go() -> str:
    """Return the path of a go command that can build the core."""
    needed = ".".join(map(str, GO_NEEDED))
    advice = f"install Go {needed} or later (https://go.dev/dl; Debian: apt-get install golang-go)."
    go = shutil.which(os.environ.get("GO", "go"))
    if go is None:
        raise Unbuildable(f"there is no go command; {advice}")
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Unbuildable(f"{go} cannot be used ({error.strerror}); {advice}") from None
    version = answer.stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "go env failed").splitlines()[-1]
        raise Unbuildable(f"{go} cannot be used ({last}); {advice}")
    if found and (int(found[1]), int(found[2])) < GO_NEEDED:
        raise Unbuildable(f"{go} is too old ({version}); {advice}")
    return go


def build_core(output: Path) -> None:
    """Build libgolock.so; golock/capi/libgolock says what the linker flags are for."""
    exports = ROOT / "golock" / "capi" / "libgolock" / "exports.map"
    external = [f"'-Wl,--version-script={exports}'", *(f"-Wl,--wrap={name}" for name in WRAPPED)]
    ldflags = [
        "-s -w",
        "-X runtime.godebugDefault=asyncpreemptoff=1,containermaxprocs=0",
        f'"-extldflags={" ".join(external)}"',
    ]
    go = find_go()
    output.parent.mkdir(parents=True, exist_ok=True)
    built = output.with_suffix(".tmp")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared"]
    command += [
        f"-ldflags={' '.join(ldflags)}",
        "-o",
        str(built.resolve()),
        "./golock/capi/libgolock",
    ]
    environment = dict(os.environ, CGO_ENABLED="1")
    print(" ".join(command), flush=True)
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Unbuildable("the go command failed; its output is above.")
    built.with_suffix(".h").unlink(missing_ok=True)
    # A running program may have the old file mapped.
    built.replace(output)


class BuildExtension(build_ext):
    """Builds the core beside the extension, and puts their contract there."""

    @property
    def core(self) -> Path:
        return Path(self.get_ext_fullpath("golock._golock")).parent / "libgolock.so"

    @property
    def header(self) -> Path:
        return self.core.parent / "include" / "golock.h"

    def run(self) -> None:
        check_system()
        check_compiler()
        build_core(self.core)
        super().run()
        self.header.parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / CONTRACT, self.header)

    def get_outputs(self) -> list[str]:
        return [*super().get_outputs(), str(self.core), str(self.header)]


def compile_arguments() -> list[str]:
    arguments = ["-std=c11", "-D_GNU_SOURCE", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
    if os.environ.get("GOLOCK_WERROR") == "1":
        arguments.append("-Werror")
    return arguments


setup(
    cmdclass={"build_ext": BuildExtension},
    ext_modules=[
        Extension(
            "golock._golock",
            sources=[str(path) for path in sorted(NATIVE.rglob("*.c"))],
            include_dirs=[str(CONTRACT.parent), str(NATIVE)],
            depends=[str(path) for path in [CONTRACT, *sorted(NATIVE.rglob("*.h"))]],
            extra_compile_args=compile_arguments(),
        )
    ],
)
