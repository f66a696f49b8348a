"""Locks across processes, which a holder that dies frees, and events.

``Lock(name)`` is one lock for all processes of the user that use the name; ``Lock()`` is for those
that get it by pickling or by fork. Both have the methods of ``golock.Lock``. ``Event(name)`` and
``Event()`` are the same with the methods of ``threading.Event``. They work where all processes are
on one machine and see the same ``/dev/shm``.

Source of the idea: robust mutexes of POSIX, whose next owner is told as well (``EOWNERDEAD``). Here
the owner is a process and not a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import struct
import time
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

from ._golock import Abandoned, ProcessEvent, ProcessLock, RLock, page_layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

__all__ = ["Abandoned", "Event", "Lock", "folder", "unlink"]

_ROOT = "/dev/shm"
_LONGEST = 200
"""Of a file's name; Linux allows 255 bytes."""

_NEW = ".new-"
"""How the names of pages begin that are being made."""

_STALE = 60
"""Seconds after which such a page belongs to nobody: its maker was killed."""

_swept: set[str] = set()
"""The folders in which this process has removed such pages: each takes the time of a listing."""

_HEADER = struct.Struct("=4I")
_MAGIC, _VERSION, _SIZE, _LOCK, _EVENT = page_layout()
_KINDS = {_LOCK: "a lock", _EVENT: "an event"}

_Object = TypeVar("_Object", "Lock", "Event")


class _Page(NamedTuple):
    """A page's file."""

    path: str
    device: int
    inode: int
    descriptor: int
    """Or -1: this process has mapped the page already."""


_opening = RLock()
"""Within a process a file is opened once: closing a second descriptor would drop its byte lock.

Signal handlers and finalizers may open locks while their thread does.
"""


def _reset_in_child() -> None:
    if not _opening._is_owned():  # or the thread that opens has forked, in a signal handler
        _opening._at_fork_reinit()


os.register_at_fork(after_in_child=_reset_in_child)


def folder() -> str:
    """Return the folder of this user's pages. Make it if there is none.

    Raises OSError, which names the folder, if it cannot be made, or is not a folder of this user
    that nobody else can enter.
    """
    path = f"{_ROOT}/golock-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        Path(path).mkdir(mode=0o700)
        Path(path).chmod(0o700)  # whatever the umask
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        _refuse(errno.ENOTDIR, "not a folder", path)
    if found.st_uid != os.geteuid():
        _refuse(errno.EPERM, f"it belongs to the user {found.st_uid}", path)
    if found.st_mode & 0o077:
        _refuse(errno.EPERM, f"others may enter it (mode {found.st_mode & 0o777:o})", path)
    return path


def unlink(name: str) -> None:
    """Remove the page of a name, be it a lock's or an event's.

    Those that have the lock or the event keep it; a new one of this name is another.

    Raises FileNotFoundError if there is no such page; otherwise as ``Lock`` does.
    """
    Path(_path(name)).unlink()


class Lock(ProcessLock):
    """A lock across processes.

    ``name``: any string; processes of one user that give the same name share the lock. Without a
    name the lock is shared with forked children, and with those processes that it is sent to by
    multiprocessing.

    ``on_abandoned``: what an acquire does if a holder's process has ended since the last
    ``recover()``. ``"tell"`` takes the lock, and ``abandoned`` is true until ``recover()``;
    ``"raise"`` raises ``Abandoned`` and does not take it.

    Raises ValueError if the name is empty, or has surrogates that no file name decodes to.
    Raises OSError, which names the file, if there is no room in /dev/shm, if the file is not the
    page of a lock of this version, or if the file or its folder may be accessed by others.
    """

    __slots__ = ("_name", "_on_abandoned")

    _name: str | None
    _on_abandoned: Literal["tell", "raise"]

    def __new__(
        cls, name: str | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell"
    ) -> Lock:
        if on_abandoned not in {"tell", "raise"}:
            raise ValueError(f"on_abandoned must be 'tell' or 'raise', not {on_abandoned!r}")
        if name is None:
            return cls._adopt(_anonymous(_LOCK), on_abandoned, own=True)
        return _of_name(lambda page: cls._make(page, name, on_abandoned), _LOCK, name)

    @classmethod
    def _make(
        cls,
        page: _Page,
        name: str | None,
        on_abandoned: Literal["tell", "raise"],
        own: bool = False,
    ) -> Lock:
        self = super().__new__(cls, *page, on_abandoned == "raise", own)
        self._name, self._on_abandoned = name, on_abandoned
        return self

    @classmethod
    def _adopt(cls, fd: int, on_abandoned: Literal["tell", "raise"], own: bool = False) -> Lock:
        """Return the anonymous lock of a descriptor, which is taken over.

        ``own``: no other process has the page.
        """
        return _of_descriptor(lambda page: cls._make(page, None, on_abandoned, own), _LOCK, fd)

    @property
    def name(self) -> str | None:
        """The name, or None."""
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        if self._name is not None:
            return _named, (type(self), self._name, self._on_abandoned)
        return _received, (type(self), _sent(self), self._on_abandoned)

    def __repr__(self) -> str:
        state = "held" if self.locked() else "free"
        if (holder := self.holder) is not None:
            state = f"held by process {holder}"
        state += ", abandoned" if self.abandoned else ""
        name = "" if self._name is None else f" {self._name!r}"
        return f"<{type(self).__module__}.{type(self).__qualname__}{name}: {state}>"


class Event(ProcessEvent):
    """An event across processes, with the methods of ``threading.Event``.

    Nobody owns an event. Whoever is killed or stopped, at any moment, no waiter sleeps on while the
    event is set.

    ``name``: any string; processes of one user that give the same name share the event. A name
    belongs to an event or to a lock. Without a name the event is shared with forked children, and
    with those processes that it is sent to by multiprocessing.

    Raises ValueError and OSError as ``Lock`` does, and OSError if the name is that of a lock.
    """

    __slots__ = ("_name",)

    _name: str | None

    def __new__(cls, name: str | None = None) -> Event:
        if name is None:
            return cls._adopt(_anonymous(_EVENT))
        return _of_name(lambda page: cls._make(page, name), _EVENT, name)

    @classmethod
    def _make(cls, page: _Page, name: str | None) -> Event:
        self = super().__new__(cls, *page)
        self._name = name
        return self

    @classmethod
    def _adopt(cls, fd: int) -> Event:
        """Return the anonymous event of a descriptor, which is taken over."""
        return _of_descriptor(lambda page: cls._make(page, None), _EVENT, fd)

    @property
    def name(self) -> str | None:
        """The name, or None."""
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        if self._name is not None:
            return type(self), (self._name,)
        return _received, (type(self), _sent(self))

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__module__}.{type(self).__qualname__}{name}: {state}>"


def _of_name(make: Callable[[_Page], _Object], kind: int, name: str) -> _Object:
    """Return make(page) for the page of a name, which is made if there is none."""
    path = _path(name)
    with _opening:
        try:
            found = os.lstat(path)
            if found.st_size != _SIZE:  # a mapping of a torn page must not be read
                raise LookupError(path)
            return make(_Page(path, found.st_dev, found.st_ino, -1))
        except (FileNotFoundError, LookupError):
            fd = _open(path, kind)
            return make(_Page(path, *_identity(fd), fd))


_ANONYMOUS = "memfd:golock"
"""The path of a page without a name, in messages; /proc/self/maps says it as well."""


def _of_descriptor(make: Callable[[_Page], _Object], kind: int, fd: int) -> _Object:
    """Return make(page) for the anonymous page of a descriptor, which is taken over."""
    try:
        _check_page(fd, kind, _ANONYMOUS)
    except BaseException:
        os.close(fd)
        raise
    return make(_Page(_ANONYMOUS, *_identity(fd), fd))


def _named(cls: type[Lock], name: str, on_abandoned: Literal["tell", "raise"]) -> Lock:
    return cls(name, on_abandoned=on_abandoned)


def _received(cls: type[Lock | Event], sent: Any, *options: Any) -> Lock | Event:
    if isinstance(sent, _Ticket):
        return sent.take(cls, *options)
    return cls._adopt(sent.detach(), *options)


def _sent(object_: Lock | Event) -> Any:
    """Return what stands for the descriptor of a page in a pickle.

    multiprocessing.reduction.DupFd would close a copy of the descriptor, and so drop the byte lock.
    """
    descriptor = object_._descriptor()  # which raises OSError if it was closed
    popen = get_spawning_popen()
    if popen is not None:  # the child inherits it
        inherited = getattr(popen, "_fds", [])
        if popen.method == "spawn" and descriptor in inherited:  # by another of the page
            return popen.DupFd(descriptor)
        return popen.DupFd(popen.duplicate_for_child(descriptor))
    from multiprocessing import resource_sharer  # noqa: PLC0415

    def send(connection: Connection, pid: int) -> None:
        if connection.recv():
            reduction.send_handle(connection, object_._descriptor(), pid)

    sharer = resource_sharer._resource_sharer  # type: ignore[attr-defined]
    return _Ticket(sharer.register(send, lambda: None), *_identity(descriptor))


class _Ticket:
    """The descriptor of a page that another process offers."""

    def __init__(self, ticket: Any, device: int, inode: int) -> None:
        self._ticket = ticket
        self._file = device, inode

    def take(self, cls: type[Lock | Event], *options: Any) -> Lock | Event:
        """Return an object of the page.

        A process that has mapped the page takes no other descriptor of it, which it could not close
        without its byte lock.
        """
        from multiprocessing import resource_sharer  # noqa: PLC0415

        sharer = resource_sharer._resource_sharer  # type: ignore[attr-defined]
        with sharer.get_connection(self._ticket) as connection:
            try:
                known = cls._make(_Page(_ANONYMOUS, *self._file, -1), None, *options)
            except LookupError:
                connection.send(True)
                return cls._adopt(reduction.recv_handle(connection), *options)
            connection.send(False)
            return known


def _path(name: str) -> str:
    """Return the path of a name's page. The name's bytes are UTF-8 in each locale, as in Go."""
    if not isinstance(name, str):
        raise TypeError(f"a name must be a string, not {type(name).__name__!r}")
    if not name:
        raise ValueError("a name must not be empty")
    file = quote(name, safe=" ", errors="surrogateescape")
    if file.startswith("."):
        file = f"%2E{file[1:]}"
    if len(file) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        file = f"{file[: _LONGEST - len(digest) - 1]}~{digest}"
    return f"{folder()}/{file}"


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _open(path: str, kind: int) -> int:
    """Return a descriptor of the page at a path, which is made if there is none."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            made = _make(path, kind)
            if made is not None:
                return made
            continue
        try:
            _check(fd, kind, path)
        except BaseException:
            os.close(fd)
            raise
        return fd


def _check(fd: int, kind: int, path: str) -> None:
    """Raise OSError unless the file is a page of this kind and version that the user owns."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        _refuse(errno.EINVAL, "not a regular file", path)
    if found.st_uid != os.geteuid():
        _refuse(errno.EPERM, f"it belongs to the user {found.st_uid}", path)
    if found.st_mode & 0o077:
        _refuse(errno.EPERM, f"others may access it (mode {found.st_mode & 0o777:o})", path)
    _check_page(fd, kind, path)


def _check_page(fd: int, kind: int, path: str) -> None:
    """Raise OSError unless the regular file is a page of this kind and version."""
    header = os.pread(fd, _HEADER.size, 0)
    if len(header) < _HEADER.size or _HEADER.unpack(header)[0] != _MAGIC:
        _refuse(errno.EINVAL, "not a page of golock's", path)
    _, version, size, found = _HEADER.unpack(header)
    if version != _VERSION:
        _refuse(errno.EINVAL, f"a page of version {version}; this is version {_VERSION}", path)
    length = os.fstat(fd).st_size
    if size != _SIZE or length != _SIZE:
        _refuse(errno.EINVAL, f"a torn page: {length} bytes instead of {_SIZE}", path)
    if found != kind:
        _refuse(errno.EINVAL, f"not the page of {_KINDS[kind]}", path)


def _fill(fd: int, kind: int, path: str) -> None:
    """Make a page of an empty file. Its memory is allocated here, and not at the first access."""
    try:
        os.posix_fallocate(fd, 0, _SIZE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, _VERSION, _SIZE, kind), 0)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def _make(path: str, kind: int) -> int | None:
    """Make the page at a path. Return its descriptor, or None: the path is to be opened again.

    Another process was faster; or it has removed the new page as a stale one, because this process
    was stopped for long. The page gets its name when it is complete, so nobody sees a part of one.
    """
    in_folder = os.path.dirname(path)  # noqa: PTH120
    if in_folder not in _swept:
        _remove_stale(in_folder)
        _swept.add(in_folder)
    new = f"{in_folder}/{_NEW}{secrets.token_hex(8)}"
    try:
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _refuse(error.errno or 0, os.strerror(error.errno or 0), path)
    try:
        os.fchmod(fd, 0o600)  # whatever the umask
        _fill(fd, kind, path)
        os.link(new, path)
    except (FileExistsError, FileNotFoundError):
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    except BaseException:
        os.close(fd)
        raise
    finally:
        Path(new).unlink(missing_ok=True)
    return fd


def _remove_stale(in_folder: str) -> None:
    """Remove what makers of pages left that were killed."""
    with os.scandir(in_folder) as entries:
        for entry in entries:
            if entry.name.startswith(_NEW):
                try:
                    if entry.stat(follow_symlinks=False).st_mtime < time.time() - _STALE:
                        Path(entry.path).unlink()
                except FileNotFoundError:
                    pass  # its maker, or another process, has done it


def _anonymous(kind: int) -> int:
    """Return the descriptor of a new page without a name, whose size nobody can change."""
    try:
        fd = os.memfd_create("golock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        _refuse(error.errno or 0, os.strerror(error.errno or 0), _ANONYMOUS)
    try:
        _fill(fd, kind, _ANONYMOUS)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse(number: int, what: str, path: str) -> NoReturn:
    raise OSError(number, what, path)
