"""Bare Debian systems, made once by debootstrap in build/bare, and commands that run in them.

Needs root. Each command has a mount namespace of its own, so nothing stays mounted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "bare"
MIRROR = "http://deb.debian.org/debian"
# What this machine knows about its network and where its packages come from.
SETTINGS = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf", "etc/resolv.conf")
SOURCES = ("PIP_", "GOPROXY", "GOSUMDB", "SSL_", "UV_")


def obstacle() -> str | None:
    """Return why no system can be made here, or None; install debootstrap if it is missing."""
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    if shutil.which("debootstrap") is None:
        for command in ("update",), ("install", "--no-install-recommends", "debootstrap"):
            try:
                done = subprocess.run(["apt-get", "-qq", *command], check=False)
            except OSError:
                return "there is neither debootstrap nor apt-get"
            if done.returncode != 0:
                return "apt-get cannot install debootstrap"
    if subprocess.run(["unshare", "--mount", "--net", "true"], check=False).returncode != 0:
        return "this machine has no namespaces of mounts and networks"
    return None


def system(name: str, suite: str, packages: str) -> Path:
    """Return the root of a system with these packages, made when it is first wanted."""
    root = FOLDER / name
    made = root / "made"
    content = f"{suite} {packages}"
    if made.exists() and made.read_text(encoding="utf-8") == content:
        return root
    command = ["debootstrap", "--variant=minbase", f"--include={packages}"]
    shutil.rmtree(root, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Another module, so that ./... of this repository does not match the sources of Debian's Go.
    (FOLDER / "go.mod").write_text("module bare\n", encoding="utf-8")
    with (FOLDER / f"{name}.log").open("wb") as log:
        subprocess.run([*command, suite, root, MIRROR], stdout=log, stderr=log, check=True)
    for file in SETTINGS:
        if Path("/", file).exists():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", file), root / file)
    made.write_text(content, encoding="utf-8")
    return root


def run(
    root: Path, script: str, *, network: bool = True, folders: Mapping[Path, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell's script in a system; stdout includes its stderr.

    ``folders`` of this machine are seen in the system at the given paths.
    """
    mounts = {Path("/proc"): "proc", Path("/dev"): "dev", **(folders or {})}
    lines = ["set -e"]
    for folder, place in mounts.items():
        seen = root / place.lstrip("/")
        seen.mkdir(parents=True, exist_ok=True)
        lines.append(shlex.join(["mount", "--rbind", str(folder), str(seen)]))
    lines.append(shlex.join(["exec", "chroot", str(root), "sh", "-c", script]))
    environment = {name: value for name, value in os.environ.items() if name.startswith(SOURCES)}
    environment |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    namespaces = ["--mount"] if network else ["--mount", "--net"]
    return subprocess.run(
        ["unshare", *namespaces, "sh", "-c", "\n".join(lines)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
