"""The build backend: setuptools, and a request to PyPI for the tools that this machine lacks.

pyproject.toml names it; https://peps.python.org/pep-0517/ describes the functions. Those that say
what golock is work on every system, so that any machine can lock its version; only those that
build refuse.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import toolchain

toolchain.require_versions()
# What the environment says of setuptools' own distutils is about other builds.
os.environ.pop("SETUPTOOLS_USE_DISTUTILS", None)

from setuptools import build_meta  # noqa: E402

# The times of the files in a wheel, unless the caller has set them: two builds are equal then.
os.environ["SOURCE_DATE_EPOCH"] = os.environ.get("SOURCE_DATE_EPOCH") or "315532800"

Settings = Mapping[str, Any] | None

# Folders of the sources to which setuptools writes, as far as they are there.
WRITTEN = (".", "build", "pyext", "pyext/golock.egg-info")
NOT_SOURCES = (".git", ".venv*", "build", "dist", "wheelhouse", "*.egg-info", "__pycache__")


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what setuptools requires, and packages with the tools that are missing here."""
    return _required(build_meta.get_requires_for_build_wheel, config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return the same for an editable installation."""
    return _required(build_meta.get_requires_for_build_editable, config_settings)


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return what setuptools requires, and Go if it is missing: it collects the modules."""
    with _writable_sources():
        required: list[str] = build_meta.get_requires_for_build_sdist(config_settings)
    missing = toolchain.search_go().missing
    return [*required, *(each.package for each in missing if each.package is not None)]


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata; return the name of their folder."""
    folder = str(Path(metadata_directory).resolve())
    with _writable_sources():
        return str(build_meta.prepare_metadata_for_build_wheel(folder, config_settings))


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the same for an editable installation."""
    return prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build a source distribution; return its name."""
    folder = str(Path(sdist_directory).resolve())
    with _writable_sources():
        return str(build_meta.build_sdist(folder, config_settings))


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel; return its name."""
    toolchain.require()
    folder = str(Path(wheel_directory).resolve())
    metadata = None if metadata_directory is None else str(Path(metadata_directory).resolve())
    with _lock(wait=False) as alone, _writable_sources(here=alone):
        return str(build_meta.build_wheel(folder, config_settings, metadata))


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel that refers to the sources, and build the extension among these."""
    toolchain.require()
    if not _can_write_sources():
        raise toolchain.Unbuildable(
            f"an editable installation writes to the sources, and {Path.cwd()} cannot be written."
        )
    with _lock(wait=True):
        return str(build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def _required(requirements: Callable[[Settings], list[str]], settings: Settings) -> list[str]:
    with _writable_sources():
        return [*requirements(settings), *toolchain.packages()]


def _can_write_sources() -> bool:
    return all(os.access(each, os.W_OK) for each in WRITTEN if Path(each).exists())


@contextmanager
def _lock(*, wait: bool) -> Iterator[bool]:
    """Keep other builds of these sources away: all write to the same folders.

    Yield whether there is none, which may be false if this one does not wait.
    """
    import fcntl  # noqa: PLC0415 - where a build gets so far, there is Linux

    folder = os.open(".", os.O_RDONLY)
    alone = True
    try:
        fcntl.flock(folder, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        alone = False
    except OSError:  # a file system without locks
        pass
    try:
        yield alone
    finally:
        os.close(folder)


@contextmanager
def _writable_sources(*, here: bool = True) -> Iterator[None]:
    """Work on a copy of the sources, the current folder, where they cannot be written.

    Or if another build is at work ``here``.
    """
    if here and _can_write_sources():
        yield
        return
    sources = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="golock") as temporary:
        copy = Path(temporary, "golock")
        ignored = shutil.ignore_patterns(*NOT_SOURCES)
        shutil.copytree(sources, copy, ignore=ignored, copy_function=shutil.copyfile)
        for folder in (copy, *filter(Path.is_dir, copy.rglob("*"))):
            folder.chmod(0o755)
        os.chdir(copy)
        try:
            yield
        finally:
            os.chdir(sources)
