"""Build the floor beside its source: ``python setup.py build_ext --inplace``."""

from __future__ import annotations

from setuptools import Extension, setup

setup(name="floor", version="0", py_modules=[], ext_modules=[Extension("_floor", ["floor.c"])])
