"""A name is the same lock in each locale, and unlink checks names as Lock does."""

from __future__ import annotations

import os

import pytest

from golock import process


def test_long_name_in_another_locale(python, check):
    program = """
        from golock import process
        print(ascii(process._path("\\xe9" * 300)))
        """
    here = process._path("\xe9" * 300)
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    check(python(program, env={**os.environ, **ascii_only}), f"{here!r}\n")


@pytest.mark.parametrize("function", [process.Lock, process.unlink])
def test_bad_names(function):
    with pytest.raises(ValueError, match="empty"):
        function("")
    with pytest.raises(TypeError, match="a name must be a string, not 'bytes'"):
        function(b"name")
    with pytest.raises(ValueError, match="surrogates"):
        function("\ud800")
