"""Checks wheels before anybody gets them.

    python pyext/backend/check_wheels.py wheelhouse

Runs twine, check-wheel-contents and auditwheel, and looks at what those leave out: the libraries
in a wheel, and the names of the interpreter that they use. Needs those three packages, and the
headers that wheels.py has collected.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from io import BytesIO
from pathlib import Path

import wheels
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 1_500_000
LARGEST_WITH_ETCD = 15_000_000
OLDEST_GLIBC = (2, 17)  # that of manylinux2014
ELF_MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}

# Names with an underscore that golock's own code uses. The interpreter exports each in every
# release of the versions that have it. Other such names come from macros of Python's headers, and
# every extension uses them.
PRIVATE = {
    "_PyThreadState_UncheckedGet": range(10, 13),  # PyThreadState_GetUnchecked since
    "_PyType_GetModuleByDef": range(10, 11),  # PyType_GetModuleByDef since
    "_PyType_Lookup": range(10, 16),
    "_Py_IsFinalizing": range(10, 13),  # Py_IsFinalizing since
}


class Library:
    """A library in a wheel: what it exports, wants, and asks of the loader."""

    def __init__(self, content: bytes) -> None:
        self.elf = ELFFile(BytesIO(content))
        table = self.elf.get_section_by_name(".dynsym")
        dynamic = self.elf.get_section_by_name(".dynamic")
        assert isinstance(table, SymbolTableSection)
        assert isinstance(dynamic, DynamicSection)
        self.exported: set[str] = set()
        self.wanted: set[str] = set()
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF":
                self.wanted.add(symbol.name)
            elif symbol["st_info"]["bind"] != "STB_LOCAL":
                self.exported.add(symbol.name)
        self.tags = {entry.entry.d_tag for entry in dynamic.iter_tags()}

    def faults(self, machine: str) -> list[str]:
        """Return what is wrong with it wherever it is loaded."""
        found = []
        if self.elf["e_machine"] != ELF_MACHINES[machine]:
            found.append(f"is for {self.elf['e_machine']}, not {machine}")
        if self.tags & {"DT_RPATH", "DT_RUNPATH"}:
            found.append("names folders to load other libraries from")
        if any(section.name.startswith(".debug") for section in self.elf.iter_sections()):
            found.append("has the paths of the machine that built it")
        if "DT_TEXTREL" in self.tags:
            found.append("has code that the loader changes")
        stacks = [part for part in self.elf.iter_segments() if part["p_type"] == "PT_GNU_STACK"]
        if not stacks or stacks[0]["p_flags"] & 1:
            found.append("asks for an executable stack")
        return found


EXPORTED = re.compile(r"PyAPI_(?:FUNC|DATA)\([^;({]*\)\s[^;({\[]*?(\w+)\s*[;(\[]")
RENAMED = re.compile(r"# *define +\w+ +(_?Py\w+_SizeT)$", re.MULTILINE)


def strangers(wanted: set[str], minor: int, headers: Path) -> list[str]:
    """Return what is wrong with the names that an extension wants of Python 3.``minor``."""
    public = [code(file) for file in headers.rglob("*.h") if "internal" not in file.parts]
    declared = {name for text in public for name in EXPORTED.findall(text) + RENAMED.findall(text)}
    native = (ROOT / "pyext" / "native").rglob("*.[ch]")
    own = {name for file in native for name in re.findall(r"\b_Py\w+", code(file))}
    found = []
    for name in sorted(each for each in wanted if re.match("_?Py", each)):
        if name not in declared:
            found.append(f"wants {name}, which the headers of 3.{minor} do not declare")
        elif name in own and minor not in PRIVATE.get(name, ()):
            found.append(f"wants {name}, which is private")
    return found


def code(file: Path) -> str:
    """Return a file of C without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", file.read_text(encoding="utf-8"), flags=re.DOTALL)


def faults(wheel: Path, headers: Path) -> list[str]:
    """Return what is wrong with a wheel, apart from what other tools see."""
    _, _, interpreter, abi, platforms = wheel.stem.split("-")
    minor = int(interpreter.removeprefix("cp3"))
    machine = next(each for each in ELF_MACHINES if platforms.endswith(each))
    extension = f"golock/_golock.cpython-{abi.removeprefix('cp')}-{machine}-linux-gnu.so"
    core = "golock/libgolock.so"
    libraries, found = examined(wheel, {extension, core}, LARGEST)
    if not libraries:
        return found
    if libraries[extension].exported != {"PyInit__golock"}:
        found.append(f"{extension} exports {sorted(libraries[extension].exported)}")
    exported = sorted(libraries[core].exported)
    if len(exported) != 1 or not re.fullmatch(r"golock_core_\d+", exported[0]):
        found.append(f"{core} exports {exported}")
    wanted = strangers(libraries[extension].wanted, minor, headers)
    return [*found, *(f"{extension} {fault}" for fault in wanted)]


def faults_with_etcd(wheel: Path) -> list[str]:
    """Return what is wrong with a wheel of golock-etcd, apart from what other tools see."""
    name = "golock_etcd/libgolock_etcd.so"
    libraries, found = examined(wheel, {name}, LARGEST_WITH_ETCD)
    others = [
        each
        for library in libraries.values()
        for each in sorted(library.exported)
        if not re.fullmatch(r"golock_etcd_\w+", each)
    ]
    return [*found, *(f"{name} exports {other}" for other in others)]


def examined(wheel: Path, expected: set[str], largest: int) -> tuple[dict[str, Library], list[str]]:
    """Return the libraries in a wheel, none if others are expected, and what is wrong with them."""
    distribution, version, interpreter, abi, platforms = wheel.stem.split("-")
    machine = next(each for each in ELF_MACHINES if platforms.endswith(each))
    found = []
    if wheel.stat().st_size > largest:
        found.append(f"has {wheel.stat().st_size} bytes")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".so" in name}
        if names != expected:
            return {}, [*found, f"has the libraries {sorted(names)}"]
        libraries = {name: Library(archive.read(name)) for name in names}
        text = archive.read(f"{distribution}-{version}.dist-info/WHEEL").decode()
    stated = Parser().parsestr(text)
    tags = {f"{interpreter}-{abi}-{platform}" for platform in platforms.split(".")}
    if set(stated.get_all("Tag", [])) != tags or stated["Root-Is-Purelib"] != "false":
        found.append("states other tags than its name has")
    for name, library in libraries.items():
        found += [f"{name} {fault}" for fault in library.faults(machine)]
    return libraries, found


def too_new(wheel: Path) -> list[str]:
    """Return why auditwheel finds that a wheel is not for manylinux2014."""
    command = [sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout)
    tag = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", answer["overall_tag"])
    if tag is None or (int(tag[1]), int(tag[2])) > OLDEST_GLIBC or tag[3] not in wheel.name:
        return [f"is for {answer['overall_tag']}: {answer['versioned_symbols']}"]
    return ["needs a newer processor"] if answer["unsupported_isa"] else []


def check(folder: Path) -> None:
    """Raise SystemExit, which says all that is wrong with the distributions in a folder."""
    made = sorted(folder.glob("golock-*.whl"))
    with_etcd = sorted(folder.glob("golock_etcd-*.whl"))
    if not made:
        raise SystemExit(f"there are no wheels in {folder}")
    tools = [
        ["twine", "check", "--strict", *map(str, [*folder.glob("*.tar.gz"), *made, *with_etcd])],
        ["check_wheel_contents", *map(str, [*made, *with_etcd])],
    ]
    failed = [tool[0] for tool in tools if run(tool) != 0]
    for wheel in made:
        interpreter, _, machine = wheels.target_of(wheel).split("-")
        headers = wheels.headers(f"3.{interpreter.removeprefix('cp3')}", machine)
        assert headers is not None  # the wheel was built with them
        found = [*faults(wheel, headers), *too_new(wheel)]
        print(f"{wheels.target_of(wheel):<24} {'; '.join(found) or 'checked'}", flush=True)
        failed += [f"{wheel.name} {fault}" for fault in found]
    for wheel in with_etcd:
        found = [*faults_with_etcd(wheel), *too_new(wheel)]
        print(f"{wheel.name:<24} {'; '.join(found) or 'checked'}", flush=True)
        failed += [f"{wheel.name} {fault}" for fault in found]
    if failed:
        raise SystemExit("\n".join(["These checks failed:", *failed]))


def run(tool: list[str]) -> int:
    """Run a tool, show what it prints only if it fails, and return its status."""
    command = [sys.executable, "-m", *tool]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout if done.returncode else f"{tool[0]} found nothing", flush=True)
    return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description="Check wheels.")
    parser.add_argument("folder", type=Path)
    check(parser.parse_args().folder)


if __name__ == "__main__":
    main()
