"""Builds manylinux2014 wheels for every supported interpreter and processor, on any Linux.

    python pyext/backend/wheels.py [--target cp313-cp313-aarch64 ...] --output wheelhouse

The compiler is zig's. The headers are those of Debian's packages; where Debian no longer has a
version, those of an interpreter of this machine, on which only pyconfig.h depends, in nothing that
the extension uses. Needs the packages build and ziglang, and a go command.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "headers"
DEBIAN = "http://deb.debian.org/debian"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid", "3.15": "sid"}
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
FREE_THREADED = ("3.13", "3.14", "3.15")


def targets() -> list[str]:
    """Return the names of all targets."""
    names = []
    for machine in ARCHITECTURES:
        for version in VERSIONS:
            tag = f"cp{version.replace('.', '')}"
            names.append(f"{tag}-{tag}-{machine}")
            if version in FREE_THREADED:
                names.append(f"{tag}-{tag}t-{machine}")
    return names


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=180) as answer:
        content: bytes = answer.read()
    return content


def index(suite: str, architecture: str, cache: Path) -> str:
    """Return Debian's list of packages."""
    file = cache / f"Packages-{suite}-{architecture}"
    if not file.exists():
        packed = fetch(f"{DEBIAN}/dists/{suite}/main/binary-{architecture}/Packages.xz")
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as whole:
            whole.write(lzma.decompress(packed))
        Path(whole.name).replace(file)  # another thread or process may read it
    return file.read_text(encoding="utf-8")


def from_debian(version: str, machine: str, cache: Path) -> Path:
    """Return the folder of the headers of Debian's package, after unpacking it."""
    folder = cache / f"{version}-{machine}"
    headers = folder / "usr" / "include" / f"python{version}"
    if headers.is_dir():
        return headers
    name = f"libpython{version}-dev"
    listed = index(SUITES[version], ARCHITECTURES[machine], cache)
    (entry,) = (each for each in listed.split("\n\n") if each.startswith(f"Package: {name}\n"))
    fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
    package = fetch(f"{DEBIAN}/{fields['Filename']}")
    if hashlib.sha256(package).hexdigest() != fields["SHA256"]:
        raise SystemExit(f"{name}: the download is not the package that Debian lists")
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        file, unpacked = Path(temporary, "package.deb"), Path(temporary, "unpacked")
        file.write_bytes(package)
        subprocess.run(["dpkg-deb", "--extract", file, unpacked], check=True)
        try:
            unpacked.rename(folder)
        except OSError:  # another thread or process was faster
            if not headers.is_dir():
                raise
    return headers


def from_here(version: str) -> Path | None:
    """Return the folder of the headers of an interpreter of this machine."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in sorted(pyenv.glob(f"*/include/python{version}/Python.h")):
        return found.parent
    python = shutil.which(f"python{version}")
    if python is None:
        return None
    asked = "import sysconfig; print(sysconfig.get_path('include'))"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    return folder if done.returncode == 0 and (folder / "Python.h").exists() else None


def headers(version: str, machine: str) -> Path | None:
    """Return the folder of Python's headers, or None if there are none here."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return from_debian(version, machine, CACHE) if version in SUITES else from_here(version)


def target_of(wheel: Path) -> str:
    """Return the name of the target that a wheel was built for."""
    _, _, interpreter, abi, platforms = wheel.stem.split("-")
    machine = next(each for each in ARCHITECTURES if platforms.endswith(each))
    return f"{interpreter}-{abi}-{machine}"


def build(target: str, output: Path) -> Path | None:
    """Build one wheel and return it; None if there are no headers."""
    interpreter, abi, machine = target.split("-")
    found = headers(f"3.{interpreter.removeprefix('cp3')}", machine)
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "source")  # of its own: setuptools would use objects again
        (sdist,) = (CACHE / "sdist").glob("*.tar.gz")
        shutil.unpack_archive(sdist, source)
        (source,) = source.iterdir()
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output]
        quietly(*command, source, GOLOCK_TARGET=target, GOLOCK_HEADERS=str(found), CC="")
    (wheel,) = output.glob(f"golock-*-{interpreter}-{abi}-*_{machine}.whl")
    return wheel


def quietly(*command: str | Path, **variables: str) -> None:
    """Run a command, and show what it printed only if it fails."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout)


def build_all(names: list[str], output: Path) -> list[str]:
    """Build the source distribution and, from it, the wheels of these targets.

    Return the targets that there are no headers for.
    """
    sdists = CACHE / "sdist"
    shutil.rmtree(sdists, ignore_errors=True)
    sdists.mkdir(parents=True)
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation"]
    quietly(*command, "--outdir", sdists, ROOT)
    (sdist,) = sdists.iterdir()
    shutil.copy(sdist, output)
    missing = []
    for target in names:
        wheel = build(target, output.resolve())
        if wheel is None:
            missing.append(target)
        size = "no headers" if wheel is None else f"{wheel.stat().st_size / 1e6:.2f} MB"
        print(f"{target:<24} {size:>10}  {wheel.name if wheel else ''}", flush=True)
    return missing


def main() -> None:
    parser = argparse.ArgumentParser(description="Build manylinux2014 wheels.")
    parser.add_argument("--output", type=Path, default=ROOT / "wheelhouse")
    parser.add_argument("--target", action="append", choices=targets(), help="default: all")
    arguments = parser.parse_args()
    build_all(arguments.target or targets(), arguments.output)


if __name__ == "__main__":
    main()
