"""The build backend: setuptools, and a request to PyPI for the tools that this machine lacks.

pyproject.toml names it; https://peps.python.org/pep-0517/ describes the functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import toolchain
from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

# The times of the files in a wheel, unless the caller has set them: two builds are equal then.
os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800")

Settings = Mapping[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what setuptools requires, and packages with the tools that are missing here."""
    toolchain.check_platform()
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_missing_tools()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return the same for an editable installation."""
    toolchain.check_platform()
    return [*build_meta.get_requires_for_build_editable(config_settings), *_missing_tools()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return what setuptools requires, and Go if it is missing: it collects the modules."""
    required: list[str] = build_meta.get_requires_for_build_sdist(config_settings)
    missing = toolchain.search().missing
    return [*required, *(each.package for each in missing if each.package == toolchain.GO_PACKAGE)]


def _missing_tools() -> list[str]:
    missing = toolchain.search().missing
    absent = [each.sentence for each in missing if each.package is None]
    if absent:
        raise toolchain.Unbuildable(*absent)
    return [each.package for each in missing if each.package is not None]
