"""Locks across processes, which a holder that dies frees.

``Lock(name)`` is one lock for all processes of the user that use the name; ``Lock()`` is for those
that get it by pickling or by fork. Both have the methods of ``golock.Lock``. They work where all
processes are on one machine and see the same ``/dev/shm``.

Source of the idea: robust mutexes of POSIX, whose next owner is told as well (``EOWNERDEAD``). Here
the owner is a process and not a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import struct
import time
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import quote

from ._golock import Abandoned, ProcessLock, RLock, page_layout

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Abandoned", "Lock", "folder", "unlink"]

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
_MAGIC, _VERSION, _SIZE, _LOCK = page_layout()

_opening = RLock()
"""Within a process a file is opened once: closing a second descriptor would drop its byte lock.

Signal handlers and finalizers may open locks while their thread does.
"""

os.register_at_fork(after_in_child=_opening._at_fork_reinit)


def folder() -> str:
    """Return the folder of this user's pages. Make it if there is none.

    Raises OSError, which names the folder, if it cannot be made, or is not a folder of this user
    that nobody else can enter.
    """
    path = f"{_ROOT}/golock-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        Path(path).mkdir(mode=0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        _refuse(errno.ENOTDIR, "not a folder", path)
    if found.st_uid != os.geteuid():
        _refuse(errno.EPERM, f"it belongs to the user {found.st_uid}", path)
    if found.st_mode & 0o077:
        _refuse(errno.EPERM, f"others may enter it (mode {found.st_mode & 0o777:o})", path)
    return path


def unlink(name: str) -> None:
    """Remove the page of a name. Those that have the lock keep it; a new Lock(name) is another.

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
    Raises OSError, which names the file, if there is no room in /dev/shm, if the file is not a page
    of this version, or if the file or its folder may be accessed by others.
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
            return cls._adopt(_anonymous(), on_abandoned)
        path = _path(name)
        with _opening:
            self = cls._known(path, on_abandoned)
            if self is None:
                fd = _open(path)
                self = super().__new__(cls, path, *_identity(fd), fd, on_abandoned == "raise")
        self._name, self._on_abandoned = name, on_abandoned
        return self

    @classmethod
    def _known(cls, path: str, on_abandoned: Literal["tell", "raise"]) -> Lock | None:
        """Return a lock of the page if this process has mapped it already."""
        try:
            found = os.lstat(path)
            return super().__new__(
                cls, path, found.st_dev, found.st_ino, -1, on_abandoned == "raise"
            )
        except (FileNotFoundError, LookupError):
            return None

    @classmethod
    def _adopt(cls, fd: int, on_abandoned: Literal["tell", "raise"]) -> Lock:
        """Return the anonymous lock of a descriptor, which is taken over."""
        try:
            _check_page(fd, "anonymous")
        except BaseException:
            os.close(fd)
            raise
        self = super().__new__(cls, "anonymous", *_identity(fd), fd, on_abandoned == "raise")
        self._name, self._on_abandoned = None, on_abandoned
        return self

    @property
    def name(self) -> str | None:
        """The name, or None."""
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        if self._name is not None:
            return _named, (type(self), self._name, self._on_abandoned)
        return _received, (type(self), _sent(self), self._on_abandoned)

    def __repr__(self) -> str:
        state = f"held by process {holder}" if (holder := self.holder) else "free"
        state += ", abandoned" if self.abandoned else ""
        name = "" if self._name is None else f" {self._name!r}"
        return f"<{type(self).__module__}.{type(self).__qualname__}{name}: {state}>"


def _named(cls: type[Lock], name: str, on_abandoned: Literal["tell", "raise"]) -> Lock:
    return cls(name, on_abandoned=on_abandoned)


def _received(cls: type[Lock], sent: Any, on_abandoned: Literal["tell", "raise"]) -> Lock:
    return cls._adopt(sent.detach(), on_abandoned)


def _sent(lock: Lock) -> Any:
    """Return what stands for a lock's descriptor in a pickle.

    multiprocessing.reduction.DupFd would close a copy of the descriptor, and so drop the byte lock.
    """
    descriptor = lock._descriptor()  # which raises OSError if it was closed
    popen = get_spawning_popen()
    if popen is not None:  # the child inherits it
        inherited = getattr(popen, "_fds", [])
        if popen.method == "spawn" and descriptor in inherited:  # by another of the page
            return popen.DupFd(descriptor)
        return popen.DupFd(popen.duplicate_for_child(descriptor))
    from multiprocessing import resource_sharer  # noqa: PLC0415

    def send(connection: Connection, pid: int) -> None:
        reduction.send_handle(connection, lock._descriptor(), pid)

    sharer = resource_sharer._resource_sharer  # type: ignore[attr-defined]
    return _Ticket(sharer.register(send, lambda: None))


class _Ticket:
    """A descriptor that another process offers."""

    def __init__(self, ticket: Any) -> None:
        self._ticket = ticket

    def detach(self) -> int:
        from multiprocessing import resource_sharer  # noqa: PLC0415

        sharer = resource_sharer._resource_sharer  # type: ignore[attr-defined]
        with sharer.get_connection(self._ticket) as connection:
            received: int = reduction.recv_handle(connection)
        return received


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


def _open(path: str) -> int:
    """Return a descriptor of the page at a path, which is made if there is none."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            made = _make(path)
            if made is not None:
                return made
            continue
        try:
            _check(fd, path)
        except BaseException:
            os.close(fd)
            raise
        return fd


def _check(fd: int, path: str) -> None:
    """Raise OSError unless the file is a lock's page of this version that belongs to the user."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        _refuse(errno.EINVAL, "not a regular file", path)
    if found.st_uid != os.geteuid():
        _refuse(errno.EPERM, f"it belongs to the user {found.st_uid}", path)
    if found.st_mode & 0o077:
        _refuse(errno.EPERM, f"others may access it (mode {found.st_mode & 0o777:o})", path)
    _check_page(fd, path)


def _check_page(fd: int, path: str) -> None:
    """Raise OSError unless the regular file is a lock's page of this version."""
    header = os.pread(fd, _HEADER.size, 0)
    if len(header) < _HEADER.size or _HEADER.unpack(header)[0] != _MAGIC:
        _refuse(errno.EINVAL, "not a page of golock's", path)
    _, version, size, kind = _HEADER.unpack(header)
    if version != _VERSION:
        _refuse(errno.EINVAL, f"a page of version {version}; this is version {_VERSION}", path)
    length = os.fstat(fd).st_size
    if size != _SIZE or length != _SIZE:
        _refuse(errno.EINVAL, f"a torn page: {length} bytes instead of {_SIZE}", path)
    if kind != _LOCK:
        _refuse(errno.EINVAL, "not the page of a lock", path)


def _fill(fd: int, path: str) -> None:
    """Make a page of an empty file. Its memory is allocated here, and not at the first access."""
    try:
        os.posix_fallocate(fd, 0, _SIZE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, _VERSION, _SIZE, _LOCK), 0)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def _make(path: str) -> int | None:
    """Make the page at a path. Return its descriptor, or None if another process was faster.

    It gets its name when it is complete, so nobody sees a part of one.
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
        _fill(fd, path)
        os.link(new, path)
    except FileExistsError:
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


def _anonymous() -> int:
    """Return the descriptor of a new page without a name, whose size nobody can change."""
    import fcntl  # noqa: PLC0415

    fd = os.memfd_create("golock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _fill(fd, "memfd:golock")
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse(number: int, what: str, path: str) -> NoReturn:
    raise OSError(number, what, path)
