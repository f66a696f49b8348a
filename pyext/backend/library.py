"""The libraries that Go builds: the core alone, and the core with locks in etcd."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import go_command
from toolchain import MACHINES, Toolchain, Unbuildable, machine

ROOT = Path(__file__).resolve().parents[2]


def version() -> str:
    """Return the version, which stands in the package alone."""
    text = (ROOT / "pyext" / "golock" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    return str(found)


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

# What zig compiles, and its parts of the C library, have debugging information with the paths of
# this machine, so two builds would differ.
ZIG_STRIP = "-Wl,--strip-debug"


@dataclass(frozen=True)
class Library:
    """A command of a Go module that is built as a shared library."""

    module: Path
    command: str
    """Its folder in the module."""

    def build(self, tools: Toolchain, output: Path, scratch: Path) -> None:
        """Build it; golock/capi/libgolock says what the linker flags are for."""
        output.parent.mkdir(parents=True, exist_ok=True)
        built = output.with_suffix(".tmp")
        environment = go_command.build_environment(
            tools.go,
            shlex.join(tools.compiler),
            MACHINES[machine()],
            scratch,
            vendored=(self.module / "vendor" / "modules.txt").exists(),
        )
        with (self.module / self.command / "exports.map").open("rb") as exports:
            # The path of the sources may have spaces, quotes and commas, which -Wl cannot pass on.
            external = [f"-Wl,--version-script=/proc/{os.getpid()}/fd/{exports.fileno()}"]
            external += [f"-Wl,--wrap={each}" for each in WRAPPED]
            external += [ZIG_STRIP] if tools.is_zig else []
            ldflags = [
                "-s -w -buildid=",
                "-X runtime.godebugDefault=asyncpreemptoff=1,containermaxprocs=0",
                f'"-extldflags={" ".join(external)}"',
            ]
            command = [tools.go, "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared"]
            command += [f"-ldflags={' '.join(ldflags)}", "-o", str(built.resolve())]
            command += [f"./{self.command}"]
            done = subprocess.run(
                command,
                cwd=self.module,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        # All at once, for the C compiler prints too.
        print(ascii(shlex.join(command)), flush=True)
        with open(1, "wb", closefd=False) as printed:
            printed.write(done.stdout)
        if done.returncode != 0:
            raise Unbuildable("the go command failed; its output is above.")
        built.with_suffix(".h").unlink(missing_ok=True)
        # A running program may have the old file mapped.
        built.replace(output)


CORE = Library(ROOT, "golock/capi/libgolock")
ETCD = Library(ROOT / "golock" / "etcd", "libgolock_etcd")
