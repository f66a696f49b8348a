"""What the checks of the wheels find in wheels that are broken, one fault each."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BACKEND = Path(__file__).resolve().parents[2] / "pyext" / "backend"

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not BACKEND.exists(), reason="the sources are not beside the tests"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
    pytest.mark.skipif("t" in sys.abiflags, reason="tests the same without the t"),
]

TAG = f"cp3{sys.version_info.minor}"
MACHINE = platform.machine()
PLATFORM = f"manylinux_2_17_{MACHINE}"
EXTENSION = f"golock/_golock.cpython-3{sys.version_info.minor}-{MACHINE}-linux-gnu.so"
CORE = "golock/libgolock.so"

SOUND = """
#define PUBLIC __attribute__((visibility("default")))
extern void PyList_New(void);
PUBLIC void PyInit__golock(void) { PyList_New(); }
"""
SOUND_CORE = """
__attribute__((visibility("default"))) void golock_core_6(void) {}
"""

Faults = Callable[..., str]


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Return a function that builds a wheel of small libraries and returns its faults."""
    monkeypatch.syspath_prepend(BACKEND)
    import check_wheels

    def faults(
        *,
        extension: str = SOUND,
        core: str = SOUND_CORE,
        flags: tuple[str, ...] = (),
        name: str = EXTENSION,
        tag: str = f"{TAG}-{TAG}-{PLATFORM}",
        machine: str = MACHINE,
        more: bytes = b"",
    ) -> str:
        wheel = tmp_path / f"golock-1.0-{TAG}-{TAG}-manylinux_2_17_{machine}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(name, compiled(extension, *flags))
            archive.writestr(CORE, compiled(core))
            archive.writestr(
                "golock-1.0.dist-info/WHEEL", f"Root-Is-Purelib: false\nTag: {tag}\n\n"
            )
            archive.writestr("golock/data", more)
        found: list[str] = check_wheels.faults(wheel, Path(sysconfig.get_path("include")))
        return "; ".join(found)

    def compiled(source: str, *flags: str) -> bytes:
        (tmp_path / "source.c").write_text(source)
        built = tmp_path / "built.so"
        command = ["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,noexecstack", *flags]
        subprocess.run([*command, "-o", built, tmp_path / "source.c"], check=True)
        return built.read_bytes()

    return faults


def test_a_sound_wheel(faults: Faults) -> None:
    assert faults() == ""


BROKEN: dict[str, dict[str, Any]] = {
    "names folders": {"flags": ("-Wl,-rpath,/somewhere",)},
    "paths of the machine": {"flags": ("-g",)},
    "executable stack": {"flags": ("-Wl,-z,execstack",)},
    "exports ['PyInit__golock', 'more']": {"extension": f"{SOUND} PUBLIC void more(void) {{}}"},
    "libgolock.so exports ['golock_core_6', 'more']": {
        "core": f'{SOUND_CORE} __attribute__((visibility("default"))) void more(void) {{}}'
    },
    "libgolock.so exports []": {"core": "void golock_core_6(void) {}"},
    "wants PyList_Gone, which the headers of": {
        "extension": SOUND.replace("PyList_New", "PyList_Gone")
    },
    # Declared for the interpreter's own code alone.
    "wants _PyInterpreterState_Enable, which the headers of": {
        "extension": SOUND.replace("PyList_New", "_PyInterpreterState_Enable")
    },
    "has the libraries": {"name": "golock/_golock.cpython-27-x86_64-linux-gnu.so"},
    "states other tags": {"tag": f"cp39-cp39-{PLATFORM}"},
    "not aarch64": {
        "machine": "aarch64",
        "name": EXTENSION.replace(MACHINE, "aarch64"),
        "tag": f"{TAG}-{TAG}-manylinux_2_17_aarch64",
    },
    "bytes": {"more": bytes(1_500_000)},
}


@pytest.mark.parametrize(("message", "broken"), BROKEN.items(), ids=BROKEN)
def test_a_broken_wheel(faults: Faults, message: str, broken: dict[str, Any]) -> None:
    if message == "not aarch64" and MACHINE == "aarch64":
        pytest.skip("is for this machine")
    assert message in faults(**broken)


def test_a_private_name_of_golocks_own(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    wants = SOUND.replace("PyList_New", "_PyType_Lookup")
    assert faults(extension=wants) == ""
    import check_wheels

    monkeypatch.setattr(check_wheels, "PRIVATE", {})
    assert "wants _PyType_Lookup, which is private" in faults(extension=wants)
