"""A lock is passed to other code by its address or a capsule, and found by its address."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sysconfig
import weakref
from pathlib import Path

import pytest

import golock
from waiting import asleep_on, join, start, wait_until

HEADER_MAGIC = 0x6B636FC1
NONE = "not a shared golock object, or one that no longer exists"
LOCK, SEMAPHORE, EVENT = 1, 2, 3
HEADER = Path(golock.get_include(), "golock.h")

KINDS = {
    "Lock": (golock.Lock, LOCK),
    "Semaphore": (golock.Semaphore, SEMAPHORE),
    "BoundedSemaphore": (golock.BoundedSemaphore, SEMAPHORE),
    "Event": (golock.Event, EVENT),
}
each_kind = pytest.mark.parametrize(("make", "kind"), KINDS.values(), ids=KINDS)


class Header(ctypes.Structure):
    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint16),
        ("kind", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
        ("word", ctypes.c_uint32),
    )


class Core(ctypes.Structure):
    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("process", ctypes.c_int64),
        ("functions", ctypes.c_void_p * 6),
        ("go_version", ctypes.c_char_p),
        ("handoff", ctypes.c_void_p),
        ("waiting", ctypes.c_void_p),
        ("slow", ctypes.c_void_p),
        ("serve", ctypes.c_void_p),
    )


def words_of(text, name):
    """Return a number that golock.h defines."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"#define {name} "))
    return int(line.split()[2].rstrip("u"), 0)


@each_kind
def test_the_address_is_that_of_a_header_before_the_word(make, kind):
    primitive = make()
    with golock.shared(primitive) as address:
        header = Header.from_address(address)
        text = HEADER.read_text()
        assert header.magic == words_of(text, "GOLOCK_HEADER_MAGIC") == HEADER_MAGIC
        assert header.version == words_of(text, "GOLOCK_VERSION")
        assert (header.kind, header.reserved) == (kind, 0)
        before = header.word
        primitive.set() if kind == EVENT else primitive.acquire()
        assert header.word == before + (5 if kind == EVENT else 1)
        assert golock.at(address) is primitive


def test_a_lock_that_is_not_shared_has_no_header():
    lock = golock.Lock()
    address = lock.address
    neighbour = golock.Lock()
    found = Header.from_address(id(neighbour) + address - id(lock))
    assert (found.magic, found.version, found.kind) == (0, 0, 0)
    with pytest.raises(ValueError, match=rf"^address 0x[0-9a-f]+: {NONE}$"):
        golock.at(ctypes.addressof(found))


def test_address_and_capsule_are_attributes_of_a_lock():
    lock = golock.Lock()
    assert lock.address == lock.address == golock._golock.address(lock)
    assert '"golock.header"' in repr(lock.capsule)
    with pytest.raises(AttributeError):
        lock.address = 1


def test_a_derived_class_may_have_an_attribute_address():
    class Server(golock.Event):
        def __init__(self):
            super().__init__()
            self.address, self.capsule = "localhost", None

    server = Server()
    assert (server.address, server.capsule) == ("localhost", None)
    with golock.shared(server) as address:
        assert golock.at(address) is server


def test_a_capsule_keeps_its_object_alive():
    lock = golock.Lock()
    reference, address, capsule = weakref.ref(lock), lock.address, lock.capsule
    del lock
    gc.collect()
    assert reference() is golock.at(address)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    assert pointer(capsule, b"golock.header") == address
    del capsule
    assert reference() is None


@each_kind
def test_shared_keeps_its_object_alive(make, kind):
    primitive = make()
    reference = weakref.ref(primitive)
    first, second = golock.shared(primitive), golock.shared(primitive)
    del primitive
    address = first.address
    first.close()
    first.close()
    assert reference() is golock.at(address)
    with second:
        assert Header.from_address(address).kind == kind
    assert reference() is None


@each_kind
def test_an_object_that_is_gone_is_none(make, kind):
    primitive = make()
    with golock.shared(primitive) as address:
        pass
    header = Header.from_address(address)
    seen = []
    watched = weakref.ref(primitive, lambda _: seen.append((header.magic, header.kind)))
    del primitive
    assert (watched(), seen) == (None, [(0, kind)])


@pytest.mark.parametrize(
    "other",
    [golock.RLock(), golock.Condition(), golock.Barrier(1), object(), None, 3],
    ids=lambda other: type(other).__name__,
)
def test_what_cannot_be_shared(other):
    with pytest.raises(TypeError, match=r"only golock's Lock, Semaphore and Event"):
        golock.shared(other)


def bad_addresses():
    lock = golock.Lock()
    text = b"golock" * 20
    return {
        "nil": (0, "nil"),
        "one": (1, "misaligned"),
        "low": (8, "no readable memory"),
        "misaligned": (lock.address + 4, "misaligned"),
        "the word": (lock.address + 8, NONE),
        "beyond user space": (1 << 62, "no readable memory"),
        "another object": (id(text), NONE),
        "an object that is gone": (lock.address, NONE),
    }


@pytest.mark.parametrize("name", bad_addresses())
def test_bad_addresses(name):
    address, reason = bad_addresses()[name]
    with pytest.raises(ValueError, match=f"^address {hex(address)}: {reason}$"):
        golock.at(address)
    with pytest.raises(golock.CoreError, match=f"at {hex(address)} cannot be used: there is none$"):
        golock.use_core(address)


@pytest.mark.parametrize("function", [golock.at, golock.use_core])
def test_addresses_are_integers_that_fit(function):
    with pytest.raises(TypeError):
        function("0")
    with pytest.raises(OverflowError):
        function(1 << 64)


def test_header_of_another_version():
    lock = golock.Lock()
    address = lock.address
    Header.from_address(address).version += 1
    reason = "an object with another version of golock's protocol"
    with pytest.raises(ValueError, match=f"^address {hex(address)}: {reason}$"):
        golock.at(address)
    assert lock.acquire(timeout=1)


BAD_CORES = """
import ctypes
import os
import sys
from pathlib import Path

sys.path += [sys.argv[1], sys.argv[1] + '/..']

import golock
from test_sharing import Core, words_of


def refused(core):
    try:
        golock.use_core(ctypes.addressof(core))
    except golock.CoreError as error:
        print(str(error).partition("used: ")[2])


if sys.argv[2] == "loaded":
    own = golock.core_address()
    golock.use_core(own)
text = Path(golock.get_include(), "golock.h").read_text(encoding="utf-8")
magic, version = words_of(text, "GOLOCK_CORE_MAGIC"), words_of(text, "GOLOCK_VERSION")
refused(Core(magic + 1, version, os.getpid()))
refused(Core(magic, version + 1, os.getpid()))
refused(Core(magic, version, os.getppid()))
refused(Core(magic, version, os.getpid()))
if sys.argv[2] == "loaded":
    refused(Core.from_buffer_copy(ctypes.string_at(own, ctypes.sizeof(Core))))
    assert golock.core_address() == own
print(golock._golock.core()["offered"], "libgolock" in Path("/proc/self/maps").read_text())
lock = golock.Lock()
lock.acquire()
print(lock.acquire(timeout=0.01))
"""


@pytest.mark.parametrize("loaded", [False, True], ids=["not loaded", "loaded"])
def test_bad_cores(python, check, loaded):
    reasons = [
        "there is none",
        "its interface has another version than this extension's",
        "its Go runtime did not survive the fork",
        "it lacks a function",
    ]
    if loaded:
        reasons.append("threads of this process already use another core")
    done = python(BAD_CORES, str(Path(__file__).parent), "loaded" if loaded else "not")
    check(done, "\n".join([*reasons, f"False {loaded}", "False\n"]))


def test_the_header_is_good_for_cpp():
    compiler = str(sysconfig.get_config_var("CC")).split()[0]
    flags = ["-Wall", "-Wextra", "-Wc++-compat", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *flags, "-x", "c", str(HEADER)], check=True)


@pytest.fixture(scope="module")
def c_library(tmp_path_factory):
    """Compile the C program against the installed header alone."""
    output = tmp_path_factory.mktemp("share") / "share_with_c.so"
    source = Path(__file__).parents[1] / "go" / "share_with_c.c"
    compiler = str(sysconfig.get_config_var("CC")).split()[0]
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    include = f"-I{golock.get_include()}"
    subprocess.run([compiler, *flags, include, "-o", str(output), str(source)], check=True)
    library = ctypes.CDLL(str(output))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.is_shared.argtypes = [pointer, number]
    library.take_and_free.argtypes = [pointer, pointer, number]
    library.count.argtypes = [pointer, pointer, pointer, number]
    library.count.restype = None
    return library


def test_c_code_checks_the_header(c_library):
    primitives = {kind: make() for make, kind in KINDS.values()}
    for kind, primitive in primitives.items():
        with golock.shared(primitive) as address:
            assert [c_library.is_shared(address, k) for k in (LOCK, SEMAPHORE, EVENT)] == [
                kind == k for k in (LOCK, SEMAPHORE, EVENT)
            ]
            assert not c_library.is_shared(address + 4, kind)
    assert not c_library.is_shared(None, LOCK)


def test_c_code_waits_for_a_lock_of_python(c_library):
    lock = golock.Lock()
    with golock.shared(lock) as address:
        core = golock.core_address()
        assert c_library.take_and_free(core, address, 0) == 2
        lock.acquire()
        assert c_library.take_and_free(core, address, 10) == 0
        results = []
        thread = start(lambda: results.append(c_library.take_and_free(core, address, 60_000)))
        wait_until(lambda: asleep_on(lock, thread), "the C code sleeps on the word")
        lock.release()
        join([thread])
        assert results == [2]
        assert lock.acquire(blocking=False)


def test_c_code_and_python_exclude_each_other(c_library):
    lock, number = golock.Lock(), ctypes.c_long()
    with golock.shared(lock) as address:
        where = (golock.core_address(), address, ctypes.addressof(number))

        def count():
            for _ in range(20_000):
                with lock:
                    number.value += 1

        threads = [start(c_library.count, *where, 100_000) for _ in range(2)]
        threads += [start(count) for _ in range(2)]
        join(threads)
    assert number.value == 240_000
