"""An address that is not that of a shared lock raises an exception that says why."""

from __future__ import annotations

import ctypes
import gc
import mmap
import re

import pytest
from gopy_counter import counter, peer

import golock
from goroutines import shared_lock

MAKERS = [
    pytest.param(peer.NewPeer, id="peer"),
    pytest.param(lambda address: counter.NewTable(address, 1), id="table"),
]


@pytest.fixture(params=MAKERS)
def refused(request):
    """Assert that an address is refused for a reason."""

    def refused(address, reason):
        with pytest.raises(
            RuntimeError, match=rf"^golock: address 0x[0-9a-f]+: {re.escape(reason)}"
        ):
            request.param(address)

    yield refused
    with shared_lock() as (lock, goroutines), lock:
        goroutines.Start(1, "try")
        goroutines.Join(60)
        assert goroutines.Refused() == 1


def test_nil(refused):
    refused(0, "nil")


@pytest.mark.parametrize("off", [1, 2, 4, 7])
def test_misaligned(refused, off):
    lock = golock.Lock()
    refused(lock.address + off, "misaligned")


def test_unmapped(refused):
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    view = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(view)
    del view
    memory.close()
    refused(address, "no readable memory")
    refused(2**64 - 8, "no readable memory")
    refused(2**47, "no readable memory")


def test_memory_that_may_not_be_read(refused):
    libc = ctypes.CDLL(None, use_errno=True)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0) == 0
    refused(address, "no readable memory")


def test_lock_that_is_gone(refused):
    addresses = [golock.Lock().address for _ in range(100)]
    gc.collect()
    for address in addresses:
        refused(address, "not a shared golock object, or one that no longer exists")


@pytest.mark.parametrize(
    "thing",
    [b"0123456789" * 10, golock.RLock(), golock.Lock(), golock.Barrier(2), object(), [1]],
    ids=["bytes", "RLock", "lock not shared", "Barrier", "object", "list"],
)
def test_another_object(refused, thing):
    for address in range(id(thing), id(thing) + thing.__sizeof__() - 8, 8):
        refused(address, "not a shared golock object, or one that no longer exists")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (golock.Semaphore, "Semaphore"),
        (golock.BoundedSemaphore, "Semaphore"),
        (golock.Event, "Event"),
    ],
)
def test_another_kind(refused, kind, name):
    with golock.shared(kind()) as address:
        refused(address, f"shared as {name}, not as Lock")


def test_another_version(refused):
    lock = golock.Lock()
    header = ctypes.create_string_buffer(ctypes.string_at(lock.address, 16), 24)
    version = ctypes.c_uint16.from_buffer(header, 4)
    version.value += 1
    address = ctypes.addressof(header)
    assert address % 8 == 0
    refused(
        address,
        f"an object of version {version.value} of golock's protocol, "
        f"and this is version {version.value - 1}",
    )


@pytest.mark.parametrize(
    "address", [None, "0x10", 1.5, golock.Lock()], ids=["None", "str", "float", "Lock"]
)
def test_no_integer(address):
    with pytest.raises(TypeError):
        peer.NewPeer(address)


def test_table_without_workers():
    lock = golock.Lock()
    with pytest.raises(RuntimeError, match=r"^0 workers: there must be one at least$"):
        counter.NewTable(lock.address, 0)
