"""A header outside any Python object, such as Go code can make, is refused by golock.at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import golock

MADE_ELSEWHERE = """
import ctypes
import mmap
import sys

sys.path += [sys.argv[1], sys.argv[1] + '/..']

import golock
from test_sharing import KINDS, Header

make, kind = KINDS[sys.argv[2]]
primitive = make()
with golock.shared(primitive) as address:
    header = ctypes.string_at(address, 16)

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 2 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
if sys.argv[3] == "nothing":  # readable before the header
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(start), page, 0) == 0
else:
    memory[:page] = bytes([int(sys.argv[3])]) * page
memory[page : page + 16] = header
assert Header.from_address(start + page).kind == kind
try:
    golock.at(start + page)
except ValueError as error:
    print(str(error).replace(hex(start + page), "there"))
"""


@pytest.mark.parametrize("before", ["nothing", "0", "65", "255"])
@pytest.mark.parametrize("name", ["Lock", "Semaphore", "Event"])
def test_a_header_without_an_object(python, check, name, before):
    done = python(MADE_ELSEWHERE, str(Path(__file__).parents[1] / "unit"), name, before)
    check(done, "address there: not an object of this interpreter\n")


def test_objects_of_derived_types_are_found():
    class Near(golock.Event):
        pass

    class Far(Near):
        pass

    class Other(golock.BoundedSemaphore):
        pass

    for primitive in (Near(), Far(), Other()):
        references = sys.getrefcount(primitive)
        with golock.shared(primitive) as address:
            assert golock.at(address) is primitive
        assert sys.getrefcount(primitive) == references
