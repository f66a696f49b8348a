"""A lock for the processes of several machines, which keep its state in etcd.

Needs the package golock-etcd: ``pip install golock[etcd]``. docs/cluster.md says what such a lock
can promise, and what it cannot.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import sys
import threading as _threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _golock
from ._etcd import DONE, FAILED, INVALID, LOST, NOT_ACQUIRED, RELEASED, Call, Handle, Library
from ._lost import LockLost

try:
    _package = importlib.import_module("golock_etcd")
except ImportError as _error:
    raise ImportError("golock.etcd needs the package golock-etcd: pip install golock[etcd]") from (
        _error
    )

if TYPE_CHECKING:
    from types import TracebackType

    if sys.version_info >= (3, 11):
        from typing import Self
    else:
        from typing_extensions import Self

__all__ = ["EtcdError", "Fence", "Lock", "LockLost", "StaleToken", "Txn"]


LONGEST_TTL = 9_000_000_000
"""Seconds. etcd grants no longer lease."""

_UNLOCKED = "release unlocked lock"  # in the words of threading


class EtcdError(ConnectionError):
    """etcd did not answer, or refused; the message says which endpoint, and why."""


class Lock:
    """A mutual exclusion lock of all processes that name it, on any machine.

    ``name`` is any string. ``ttl`` is how many seconds the lock stays taken when the process has
    died or cannot reach etcd; it is rounded up to whole seconds, and etcd may raise it.

    ``endpoints`` are those of etcd, as ``"10.0.0.1:2379"`` or ``"https://etcd.example:2379"``;
    ``ca``, ``cert`` and ``key`` are files in PEM format; ``user`` may contain the password, after
    a colon, if there is no ``password``. Those that are not given are etcdctl's environment
    variables: ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER,
    ETCDCTL_PASSWORD, ETCDCTL_INSECURE_SKIP_TLS_VERIFY. An empty string is given, and stands for
    nothing: no user, no file. The default of ``endpoints`` is 127.0.0.1:2379.

    ``prefix`` is that of the keys in etcd, and must not be empty; ``handoff`` is how many seconds
    the process may keep the lock for its own waiters before those of other processes; ``patience``
    is after how many seconds without an answer of etcd a call raises EtcdError.

    ``on_lost`` is called with the lock, in a thread of its own, when the lock is lost.

    A lock is held by no thread in particular: any thread may release it, and objects for the same
    lock exclude each other. A process forked from the holder does not hold it.
    """

    def __init__(
        self,
        name: str,
        ttl: float = 10.0,
        *,
        endpoints: list[str] | tuple[str, ...] | str | None = None,
        ca: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        user: str | None = None,
        password: str | None = None,
        server_name: str | None = None,
        prefix: str = "golock/",
        handoff: float = 0.02,
        patience: float = 5.0,
        on_lost: Callable[[Lock], object] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name is a str, not {type(name).__name__}")
        if not name or "\0" in name:
            raise ValueError("the name is empty, or contains a null character")
        if not 0 < ttl <= LONGEST_TTL:
            raise ValueError(f"ttl must be greater than 0 and at most {LONGEST_TTL} seconds")
        if not patience > 0:
            raise ValueError("patience must be a number of seconds greater than 0")
        if user is not None and password is None and ":" in user:
            user, _, password = user.partition(":")
        if not isinstance(prefix, str):
            raise TypeError(f"the prefix is a str, not {type(prefix).__name__}")
        if not prefix or "\0" in prefix:
            raise ValueError(
                "the prefix is empty, or contains a null character: keys that are no lock's must"
                " not begin with it"
            )
        self.name = name
        self.on_lost = on_lost
        self._options = {
            "Environment": {
                variable: value
                for variable, value in os.environ.items()
                if variable.startswith("ETCDCTL_")
            },
            "Given": {
                field: value
                for field, value in (
                    ("Endpoints", _listed(endpoints)),
                    ("CA", _path(ca)),
                    ("Certificate", _path(cert)),
                    ("Key", _path(key)),
                    ("User", user),
                    ("Password", password),
                    ("ServerName", server_name),
                )
                if value is not None
            },
            "Prefix": prefix,
            "TTL": float(ttl),
            "Handoff": min(float(handoff), LONGEST_TTL) if handoff > 0 else -1.0,
            "Patience": min(float(patience), LONGEST_TTL),
        }
        self._process: _Process | None = None
        self._handle = 0
        self._hold: _Hold | None = None
        self._known: _golock.KnownLock | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, and return whether that was done before ``timeout`` seconds were over.

        Without a timeout it waits as long as it takes. With ``blocking=False`` it takes the lock
        only if it is free and nobody waits for it. It returns False at the end of the timeout also
        if etcd cannot be reached, and raises EtcdError if etcd has not answered for ``patience``
        seconds or refuses the request.
        """
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        deadline = None if timeout == -1 else time.monotonic() + _checked(timeout)
        process = self._open(_left(deadline))
        if process is None:
            return False
        library = process.library
        known = self._known
        if blocking:
            nanoseconds = _nanoseconds(_left(deadline))
            call = Call(
                library, library.acquire, self._handle, nanoseconds, acquires=True, known=known
            )
        else:
            call = Call(library, library.try_acquire, self._handle, known=known)
        try:
            call.wait(_left(deadline))
            return self._take(process, call)
        except BaseException:
            call.drop()
            self._abandon(call.handle)
            raise

    def _take(self, process: _Process, call: Call, *, by_task: bool = False) -> bool:
        """Take over what an acquire has got, and return whether that is the lock."""
        if call.outcome == FAILED:
            raise EtcdError(call.text)
        if call.outcome != DONE:
            return False
        hold = _Hold(process, call.handle, call.token, self._known)
        self._keep(hold, by_task=by_task)
        if self.on_lost is not None:
            process.tell(self, hold)
        return True

    def _abandon(self, handle: Handle) -> None:
        """Release a hold in the background, unless it was released or there is none."""
        hold = self._hold
        if hold is not None and hold.handle is handle:
            self._forgo()
            hold.process.tell_not(hold)
        handle.release()

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Acquire the lock in a task of any event loop, as ``acquire`` does in a thread.

        Tasks and threads of the process wait in one line. A task that is cancelled does not have
        the lock.
        """
        deadline = None if timeout is None else time.monotonic() + _checked(timeout)
        process = await self._open_async(timeout)
        if process is None:
            return False
        library = process.library
        nanoseconds = _nanoseconds(_left(deadline))
        call = Call(library, library.begin_acquire, self._handle, nanoseconds, known=self._known)
        try:
            await call.wait_async(_left(deadline))
            return self._take(process, call, by_task=True)
        except BaseException:
            call.drop()
            self._abandon(call.handle)
            raise

    async def release_async(self) -> None:
        """Release the lock as ``release`` does, without stopping the event loop for that time.

        The lock is released also if the task is cancelled meanwhile.
        """
        hold = self._held(_UNLOCKED)
        library = hold.process.library
        try:
            self._forgo()
            with Call(library, library.begin_release, hold.handle.number) as call:
                self._released(hold, await call.wait_async(), call)
        except BaseException:
            self._abandon(hold.handle)
            raise

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release_async()

    def release(self) -> None:
        """Release the lock.

        Raises LockLost if it was lost before, and RuntimeError if it is not held. Otherwise it
        waits until etcd has confirmed, but at most a second; then the release goes on in the
        background.
        """
        hold = self._hold
        try:
            hold = self._held(_UNLOCKED)
            self._forgo()
            library = hold.process.library
            with Call(library, library.release, hold.handle.number) as call:
                self._released(hold, call.wait(), call)
        except BaseException:
            if hold is not None and hold.process.is_this():
                self._abandon(hold.handle)
            raise

    def _released(self, hold: _Hold, outcome: int, call: Call) -> None:
        if outcome != LOST:
            hold.process.tell_not(hold)
        self._raise(outcome, call)

    def locked(self) -> bool:
        """Return whether the lock was acquired through this object, and not released yet."""
        return self._current() is not None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def lost(self) -> bool:
        """Whether another process may have the lock: True unless it is held and its lease lasts.

        It does not ask etcd: it compares the clock with the lease's deadline. So it is right also
        after a pause of the process or the machine, and when etcd cannot be reached.
        """
        hold = self._current()
        return hold is None or bool(hold.process.library.is_lost(hold.handle.number))

    def check(self) -> None:
        """Raise LockLost if the lock was lost, and RuntimeError if it is not held."""
        hold = self._held()
        if hold.process.library.is_lost(hold.handle.number):
            raise _lost(self.name)

    @property
    def token(self) -> int:
        """A number that is higher than that of every holder before; RuntimeError if not held.

        A store that refuses writes with a lower token than it has seen is safe from a holder that
        has lost the lock and does not know it yet. See Fence.
        """
        return self._held().token

    @property
    def key(self) -> str:
        """The key in etcd that stands for the hold; RuntimeError if not held.

        A transaction of another client of etcd is guarded by the comparison that this key's create
        revision is ``revision``.
        """
        hold = self._held()
        return hold.process.library.describe_hold(hold.handle.number)[0]

    @property
    def revision(self) -> int:
        """The create revision of ``key``; RuntimeError if not held."""
        hold = self._held()
        return hold.process.library.describe_hold(hold.handle.number)[1]

    def guard(self, txn: Txn, timeout: float = -1) -> list[bytes | None]:
        """Run a transaction in etcd if the lock is still held, and return what its gets have read.

        Raises LockLost if it was lost; nothing is written then. Raises EtcdError if etcd refuses,
        or if the answer has not come after ``timeout`` seconds or after the lock's ``patience``;
        in the latter cases it is not known whether it was written.
        """
        hold = self._held()
        library = hold.process.library
        nanoseconds = _nanoseconds(None if timeout == -1 else _checked(timeout))
        with Call(library, library.commit, hold.handle.number, txn._encode(), nanoseconds) as call:
            self._raise(call.wait(), call)
            return txn._decode(call.text)

    def holder(self) -> dict[str, Any] | None:
        """Ask etcd which process has the lock: its host, pid and program; None if it is free.

        Raises EtcdError if etcd refuses, or has not answered for ``patience`` seconds.
        """
        process = self._open(None)
        assert process is not None
        library = process.library
        with Call(library, library.holder, self._handle, -1) as call:
            self._raise(call.wait(), call)
        if not call.text:
            return None
        found = json.loads(call.text)
        return {name: found[name] for name in ("host", "pid", "program")}

    def __repr__(self) -> str:
        state = "unlocked" if self._current() is None else "lost" if self.lost else "locked"
        return f"<{state} golock.etcd.Lock {self.name!r}>"

    def _open(self, timeout: float | None) -> _Process | None:
        """Return this process, connected; None if that is not so after so many seconds."""
        process = _this_process()
        if self._process is not process:
            self._known = process.known(self._options, self.name)
            space = process.space(self._options, timeout, self._known)
            if space is None:
                return None
            self._use(process, space, self._known)
        return process

    async def _open_async(self, timeout: float | None) -> _Process | None:
        process = _this_process()
        if self._process is not process:
            self._known = process.known(self._options, self.name)
            space = await process.space_async(self._options, timeout, self._known)
            if space is None:
                return None
            self._use(process, space, self._known)
        return process

    def _use(self, process: _Process, space: Handle, known: _golock.KnownLock) -> None:
        if self._process is process:  # another thread or task was faster
            return
        self._handle = process.lock(space, self.name, known)
        self._process = process
        weakref.finalize(self, process.forget, self._handle).atexit = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy has: it is another lock of the name, and is not held."""
        return {**self.__dict__, "_process": None, "_handle": 0, "_hold": None, "_known": None}

    def _keep(self, hold: _Hold, *, by_task: bool) -> None:
        """Hold the lock until it is released, also if this object is dropped before."""
        self._forgo()  # what was lost
        self._hold = hold
        hold.process.holds.add(hold)
        if hold.known is not None:
            hold.known.taken(by_task)

    def _forgo(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.process.holds.discard(hold)
            if hold.known is not None:
                hold.known.released()

    def _raise(self, outcome: int, call: Call) -> None:
        if outcome == LOST:
            raise _lost(self.name)
        if outcome == RELEASED:
            raise RuntimeError(_UNLOCKED)
        if outcome == FAILED:
            raise EtcdError(call.text)

    def _current(self) -> _Hold | None:
        hold = self._hold
        return hold if hold is not None and hold.process.is_this() else None

    def _held(self, otherwise: str = "the lock is not held") -> _Hold:
        hold = self._current()
        if hold is None:
            raise RuntimeError(otherwise)
        return hold


class Txn:
    """Steps that etcd does all at once, or none of them: ``Txn().put("a", "1").delete("b")``."""

    def __init__(self) -> None:
        self._steps: list[dict[str, str]] = []

    def put(self, key: str | bytes, value: str | bytes) -> Txn:
        """Write a value."""
        return self._add("put", key, value)

    def delete(self, key: str | bytes) -> Txn:
        """Delete a key."""
        return self._add("delete", key)

    def get(self, key: str | bytes) -> Txn:
        """Read a value."""
        return self._add("get", key)

    def _add(self, do: str, key: str | bytes, value: str | bytes = b"") -> Txn:
        self._steps.append({"Do": do, "Key": _base64(key), "Value": _base64(value)})
        return self

    def _encode(self) -> bytes:
        return json.dumps(self._steps).encode()

    def _decode(self, text: str) -> list[bytes | None]:
        import base64  # noqa: PLC0415

        values = zip(self._steps, json.loads(text), strict=True)
        return [
            None if value is None else base64.b64decode(value)
            for step, value in values
            if step["Do"] == "get"
        ]


class StaleToken(RuntimeError):  # noqa: N818
    """A token is lower than one that was admitted before."""


class Fence:
    """The side of a store that writes with tokens: it admits none lower than one before.

    The store calls ``admit`` and writes in one step that nothing else can come between. A store
    that outlives its process keeps the highest token where it keeps the data, and starts with it.
    """

    def __init__(self, highest: int = 0) -> None:
        self.highest = highest
        self._mutex = _golock.Lock()

    def admit(self, token: int) -> None:
        """Raise StaleToken if a higher token was admitted before."""
        with self._mutex:
            if token < self.highest:
                raise StaleToken(f"token {token} comes after token {self.highest}")
            self.highest = token


class _Hold:
    """One time that a lock was taken."""

    def __init__(
        self, process: _Process, handle: Handle, token: int, known: _golock.KnownLock | None
    ) -> None:
        self.process = process
        self.handle = handle
        self.token = token
        self.known = known
        self.number = 0


class _Process:
    """The library in this process, and the connections to etcd."""

    def __init__(self, *, private: bool) -> None:
        self._pid = os.getpid()
        self.library = Library(_package.LIBRARY, private=private)
        self._spaces: dict[str, Handle] = {}
        self._known: weakref.WeakValueDictionary[tuple[str, str], _golock.KnownLock] = (
            weakref.WeakValueDictionary()
        )
        self.holds: set[_Hold] = set()
        self._told = _golock.Event()
        self._telling_mutex = _golock.Lock()
        self._numbers = 0
        self._teller: _threading.Thread | None = None
        self._telling: dict[int, tuple[weakref.ref[Lock], _Hold]] = {}

    def known(self, options: dict[str, Any], name: str) -> _golock.KnownLock:
        """Return what golock.sight knows of a lock, the same for all its objects."""
        key = json.dumps(options), name
        known = self._known.get(key)
        if known is None:
            known = _golock.KnownLock(name)
            known = self._known.setdefault(key, known)
        return known

    def lock(self, space: Handle, name: str, known: _golock.KnownLock) -> int:
        """Return the handle of a lock, for which golock.sight then asks the library."""
        text = name.encode("utf-8", "surrogatepass")
        handle: int = self.library.lock(space.number, text)
        if not known.asks:
            its = self.library.lock(space.number, text)
            self.library.show(known, its)
            weakref.finalize(known, self.forget, its).atexit = False
        return handle

    def space(
        self, options: dict[str, Any], timeout: float | None, known: _golock.KnownLock
    ) -> Handle | None:
        """Return a connection; None if there is none after so many seconds."""
        text = json.dumps(options)
        if text in self._spaces:
            return self._spaces[text]
        with self._call_open(text, timeout, known) as call:
            call.wait(timeout)
            return self._opened(text, call)

    async def space_async(
        self, options: dict[str, Any], timeout: float | None, known: _golock.KnownLock
    ) -> Handle | None:
        """Do what space does, in a task."""
        text = json.dumps(options)
        if text in self._spaces:
            return self._spaces[text]
        with self._call_open(text, timeout, known) as call:
            await call.wait_async(timeout)
            return self._opened(text, call)

    def _call_open(self, text: str, timeout: float | None, known: _golock.KnownLock) -> Call:
        nanoseconds = _nanoseconds(timeout)
        return Call(self.library, self.library.open, text.encode(), nanoseconds, known=known)

    def _opened(self, text: str, call: Call) -> Handle | None:
        if call.outcome == NOT_ACQUIRED:
            return None
        if call.outcome == INVALID:
            raise ValueError(call.text)
        if call.outcome == FAILED:
            raise EtcdError(call.text)
        return self._spaces.setdefault(text, call.handle)

    def forget(self, handle: int) -> None:
        if self.is_this():
            self.library.forget(handle)

    def is_this(self) -> bool:
        """Return whether the library is loaded in this process, and not only in its parent."""
        return _this is self and self._pid == os.getpid()

    def tell(self, lock: Lock, hold: _Hold) -> None:
        """Call lock.on_lost when the hold is lost."""
        with self._telling_mutex:
            self._numbers += 1
            number = self._numbers
            if self._teller is None:  # or an interrupt came before the thread was known
                teller = _threading.Thread(target=self._tell, name="golock.etcd", daemon=True)
                teller.start()
                self._teller = teller
            hold.number = number
            # A release that is interrupted may leave the entry until the lock is gone.
            reference = weakref.ref(lock, lambda _: self._telling.pop(number, None))
            self._telling[number] = (reference, hold)
        self.library.tell(hold.handle.number, number, _golock.address(self._told))

    def tell_not(self, hold: _Hold) -> None:
        """Do not call on_lost for a hold any more."""
        self._telling.pop(hold.number, None)

    def _tell(self) -> None:
        while True:
            self._told.wait()
            self._told.clear()
            while number := self.library.next_lost():
                reference, _ = self._telling.pop(number, (None, None))
                lock = None if reference is None else reference()
                if lock is not None and lock.on_lost is not None:
                    _threading.Thread(
                        target=_call_on_lost, args=(lock,), name="golock.etcd on_lost", daemon=True
                    ).start()

    def close(self) -> None:
        """Free all locks, for at most a second. That is no loss, so on_lost is not called."""
        self._telling.clear()
        spaces, self._spaces = self._spaces, {}
        with contextlib.ExitStack() as calls:
            closings = [
                calls.enter_context(
                    Call(self.library, self.library.close, handle.number, 1_000_000_000)
                )
                for handle in spaces.values()
            ]
            for closing in closings:
                closing.wait()


def _call_on_lost(lock: Lock) -> None:
    on_lost = lock.on_lost
    try:
        if on_lost is not None:
            on_lost(lock)
    except Exception as error:
        _golock.write_unraisable(error, on_lost)


_this: _Process | None = None
_starting = _golock.Lock()


def _this_process() -> _Process:
    global _this  # noqa: PLW0603
    if _this is None:
        with _starting:
            if _this is None:
                _this = _Process(private=True)
    return _this


def _after_fork_in_child() -> None:
    global _this  # noqa: PLW0603
    _this = None
    _starting._at_fork_reinit()


def _close() -> None:
    if _this is not None and _this.is_this():
        _this.close()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0)


def _checked(timeout: float) -> float:
    if not timeout >= 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > _golock.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


def _nanoseconds(timeout: float | None) -> int:
    return -1 if timeout is None else int(timeout * 1e9)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fsdecode(path)


def _listed(endpoints: list[str] | tuple[str, ...] | str | None) -> list[str] | None:
    if endpoints is None:
        return None
    each = endpoints.split(",") if isinstance(endpoints, str) else list(endpoints)
    for endpoint in each:
        if not isinstance(endpoint, str):
            raise TypeError(f"an endpoint is a str, not {type(endpoint).__name__}")
    listed = [endpoint.strip() for endpoint in each if endpoint.strip()]
    if not listed:
        raise ValueError("there is no endpoint")
    return listed


def _base64(text: str | bytes) -> str:
    import base64  # noqa: PLC0415

    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _lost(name: str) -> LockLost:
    return LockLost(f"the lock {name!r} was lost: its lease ended before it was released")


try:
    _this = _Process(private=False)
except OSError as _error:
    raise ImportError(f"golock.etcd cannot load its library: {_error}") from _error
os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close)
