"""Builds the package golock-etcd, which the extra golock[etcd] installs.

    python pyext/backend/etcd.py --in-place          the library alone, into the source tree
    python pyext/backend/etcd.py --output FOLDER     a wheel for this machine
    python pyext/backend/etcd.py --output wheelhouse --target x86_64 --target aarch64

A wheel for a target is built by zig, for manylinux2014; it needs the package ziglang. The library
does not depend on the interpreter.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import go_command
import library
from library import version
from toolchain import OLDEST_GLIBC, Target, Toolchain, Unbuildable, machine, require, search_go

ROOT = library.ROOT
PACKAGE = ROOT / "pyext" / "golock_etcd"
SCRATCH = ROOT / "build" / "etcd"
NAME = "libgolock_etcd.so"
DATE = (1980, 1, 1, 0, 0, 0)  # two builds are equal


def tools_for(target: str | None) -> Toolchain:
    """Return the tools for this machine, or for a processor."""
    if target is None:
        return require()
    os.environ["GOLOCK_TARGET"] = f"py3-none-{target}"
    os.environ["GOLOCK_HEADERS"] = ""
    triple = f"{target}-linux-gnu.{OLDEST_GLIBC}"
    compiler = (sys.executable, "-m", "ziglang", "cc", "-target", triple)
    found = search_go()
    if found.go is None:
        raise Unbuildable(*(each.sentence for each in found.missing))
    return Toolchain(found.go, compiler, is_zig=True)


def licenses(tools: Toolchain) -> dict[str, bytes]:
    """Return the texts of the licenses of what is in the library, by the name of the file."""
    command = [tools.go, "list", "-deps", "-json=Module,Standard", f"./{library.ETCD.command}"]
    listed = subprocess.run(
        command,
        cwd=library.ETCD.module,
        env=go_command.module_environment(tools.go, SCRATCH),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    modules = {}
    decoder, at = json.JSONDecoder(), 0
    while at < len(listed.rstrip()):
        package, end = decoder.raw_decode(listed, at)
        at = end + 1
        module = package.get("Module")
        if module and "Dir" in module and not module["Path"].startswith("github.com/golock/"):
            modules[module["Path"]] = Path(module["Dir"])
    texts: dict[str, list[str]] = {}
    for path, folder in sorted(modules.items()):
        for file in sorted(folder.iterdir()):
            if re.match(r"(?i)(licen[sc]e|copying|notice)", file.name) and file.is_file():
                texts.setdefault(file.read_text(encoding="utf-8"), []).append(f"{path} {file.name}")
    others = "\n\n".join(f"{chr(10).join(names)}\n\n{text}" for text, names in texts.items())
    return {
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "Go.txt": (ROOT / "LICENSES" / "Go.txt").read_bytes(),
        "modules.txt": others.encode(),
    }


def build_wheel(output: Path, target: str | None) -> Path:
    """Build the wheel and return it."""
    tools = tools_for(target)
    built = SCRATCH / (target or "native") / NAME
    built.parent.mkdir(parents=True, exist_ok=True)
    library.ETCD.build(tools, built, SCRATCH)
    named = Target.named()
    platform = f"linux_{machine()}" if named is None else named.tag[2]
    base = f"golock_etcd-{version()}"
    info = f"{base}.dist-info"
    license_texts = licenses(tools)
    license_files = "".join(f"License-File: {name}\n" for name in license_texts)
    metadata = f"""Metadata-Version: 2.4
Name: golock-etcd
Version: {version()}
Summary: The library of golock.etcd, a lock across machines
License-Expression: MIT AND BSD-3-Clause AND Apache-2.0
{license_files}Requires-Python: >=3.10
Requires-Dist: golock=={version()}
Description-Content-Type: text/markdown

The shared library of `golock.etcd`. `pip install golock[etcd]` installs it.
"""
    tags = "".join(f"Tag: py3-none-{each}\n" for each in platform.split("."))
    files = {
        "golock_etcd/__init__.py": (PACKAGE / "__init__.py").read_bytes(),
        f"golock_etcd/{NAME}": built.read_bytes(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: golock\nRoot-Is-Purelib: false\n{tags}"
        ).encode(),
        **{f"{info}/licenses/{name}": text for name, text in license_texts.items()},
    }
    record = "".join(f"{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    output.mkdir(parents=True, exist_ok=True)
    wheel = output / f"{base}-py3-none-{platform}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name, DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            archive.writestr(member, text)
    return wheel


def digest(text: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Build golock-etcd.")
    parser.add_argument("--in-place", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--target", action="append", choices=("x86_64", "aarch64"))
    arguments = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    if arguments.in_place:
        library.ETCD.build(require(), PACKAGE / NAME, SCRATCH)
    if arguments.output is not None:
        for target in arguments.target or [None]:
            wheel = build_wheel(arguments.output, target)
            print(f"{wheel.stat().st_size / 1e6:.1f} MB  {wheel}")


if __name__ == "__main__":
    main()
