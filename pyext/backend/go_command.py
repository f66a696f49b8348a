"""The environment in which the build runs the go command, so that no setting of the user breaks it.

Variables that Go reads are left out, and so is the file of ``go env -w``. An empty variable would
not do: the go command takes the value in that file then. What says where Go gets modules and keeps
what it downloads and compiles is the user's matter and stays, wherever it is set.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# By the go command and by what it runs. Names such as GOENV_ROOT are version managers'.
READ_BY_GO = re.compile(r"GO[A-Z0-9]+|C?GO_\w+|AR|CC|CXX|FC|GCCGO|PKG_CONFIG|LD_RUN_PATH")
HERE = Path(__file__).parent  # a version manager may choose the Go that a folder names

LIMITS = ("GOGC", "GOMAXPROCS", "GOMEMLIMIT")
MODULES = (
    "GOAUTH",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOVCS",
)
FOLDERS = ("GOCACHE", "GOMODCACHE", "GOPATH")

# Both libraries, built with an empty cache by Go 1.26, take 193 MB in it.
CACHE_BYTES = 256 << 20

# The oldest processors that Go supports.
PROCESSORS = {"GOAMD64": "v1", "GOARM64": "v8.0"}


def version_environment() -> dict[str, str]:
    """Return the environment in which a go command says which version it is."""
    return _without_settings(()) | {"GOENV": "off", "GOTOOLCHAIN": "local"}


def module_environment(go: str, scratch: Path) -> dict[str, str]:
    """Return the environment of ``go mod``; ``scratch`` is for what cannot go elsewhere."""
    settings = _settings(go)
    own = {
        "GO111MODULE": "on",
        "GOENV": "off",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "TMPDIR": tempfile.gettempdir(),  # Go stops where TMPDIR names no folder, Python does not
    }
    if not all(_can_hold_a_build(settings.get(name, "")) for name in ("GOCACHE", "GOMODCACHE")):
        settings |= {"GOCACHE": str(scratch / "go-cache"), "GOPATH": str(scratch / "go-path")}
        settings.pop("GOMODCACHE", None)
        own["GOFLAGS"] += " -modcacherw"  # or the user could not remove the folder
    return _without_settings(LIMITS) | settings | own


def build_environment(
    go: str, compiler: str, architecture: str, scratch: Path, *, vendored: bool
) -> dict[str, str]:
    """Return the environment of ``go build`` for Linux on ``architecture``, as Go names it."""
    environment = module_environment(go, scratch)
    if vendored:
        environment["GOFLAGS"] = "-mod=vendor"
    return environment | {
        "CC": compiler,
        "CGO_CFLAGS": "-O2",
        "CGO_ENABLED": "1",
        "GOARCH": architecture,
        "GOFIPS140": "off",
        "GOOS": "linux",
        **PROCESSORS,
    }


def _without_settings(kept: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not READ_BY_GO.fullmatch(name)
    }


def _settings(go: str) -> dict[str, str]:
    """Return the user's settings of modules and folders, from the environment or Go's file."""
    names = (*MODULES, *FOLDERS)
    own = {"GOTOOLCHAIN": "local", "GO111MODULE": "on", "GOWORK": "off"}
    for file in ({"GOENV": os.environ["GOENV"]} if "GOENV" in os.environ else {}), {"GOENV": "off"}:
        answer = subprocess.run(
            [go, "env", *names],
            cwd=HERE,
            env=_without_settings(names) | own | file,
            capture_output=True,
            text=True,
            check=False,
        )
        values = answer.stdout.splitlines()
        if answer.returncode == 0 and len(values) == len(names):
            return {name: value for name, value in zip(names, values, strict=True) if value}
    return {}


def _can_hold_a_build(folder: str) -> bool:
    if not Path(folder).is_absolute():  # "off", for instance
        return False
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= CACHE_BYTES
