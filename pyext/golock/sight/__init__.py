"""Who waits for which lock, who holds it, since when and from where; who is deadlocked.

Off unless switched on, for the whole process, at any time: by ``start()``, by ``GOLOCK_SIGHT`` in
the environment, by ``python -m golock run --sight``, or from outside. At the level ``waits`` every
wait for one of golock's primitives is recorded while it lasts; calls that do not wait cost the same
as before. At ``owners`` the holders of locks are recorded as well, and who last set an event or
notified a condition, which slows down each acquire and release. At ``order`` also the order in
which locks are taken.

What is not known is not guessed. At ``waits`` only an RLock has a known holder, because it has to
know it. A lock that was taken before the level ``owners`` was set has none.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

from .. import _golock
from ._deadlocks import nanoseconds, react, reaction_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._deadlocks import OnDeadlock
    from ._model import (
        Across,
        Deadlock,
        Dropped,
        Edge,
        Frame,
        Lock,
        OrderCycle,
        Permit,
        Process,
        Snapshot,
        Thread,
        Totals,
        Wait,
    )
    from ._samples import Contention, Profile, Sample

__all__ = [
    "LEVELS",
    "Across",
    "Contention",
    "Deadlock",
    "Dropped",
    "Edge",
    "Frame",
    "Lock",
    "OrderCycle",
    "Permit",
    "Process",
    "Profile",
    "Sample",
    "Snapshot",
    "Thread",
    "Totals",
    "Wait",
    "deadlocks",
    "level",
    "listen",
    "name",
    "profile",
    "snapshot",
    "start",
    "stop",
]

LEVELS = ("off", "waits", "owners", "order")
"""What is recorded: nothing; waits; also who holds locks; also the order of locks."""


_golock.set_sight_folders(
    os.path.dirname(getattr(os, "__file__", "")),  # noqa: PTH120
    os.path.dirname(os.path.dirname(__file__)),  # noqa: PTH120
)


def __getattr__(name: str) -> object:
    # Most programs that are looked at from outside never use the classes. Their import would hide
    # modules beside the program that have the name of one of the standard library.
    if name in __all__:
        from . import _model, _samples  # noqa: PLC0415

        return getattr(_samples if name in ("Contention", "Profile", "Sample") else _model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def start(
    level: str = "waits",
    period: float | None = None,
    *,
    on_deadlock: OnDeadlock = "report",
    threshold: float = 0.1,
) -> None:
    """Record from now on. Waits under way are not recorded, and locks that are held have no holder.

    Profiles sample waits that are shorter than `period`, in seconds: 20 µs, unless another one has
    been given; with 0 they record all.

    A deadlock is found when a wait of it has lasted for `threshold` seconds, and told once. With
    ``"report"`` it is described on standard error, without the GIL. With ``"raise"``
    `golock.DeadlockError` is raised in the youngest wait of a Python thread for a lock, if the
    deadlock is certain; that lock is not taken. Where this cannot be, it is described: no
    `Condition.wait` is ended while it takes its lock again, since its caller has that lock whenever
    it returns. A logger gets the description, and a function the `Deadlock`, in a daemon thread;
    what the function raises goes to `sys.unraisablehook`. With None deadlocks are not looked for.

    At the level ``order``, locks that are taken in contradictory orders are told in the same way,
    as an `OrderCycle`, when that is seen first; with None they are only in snapshots.

    Raises ValueError for a level that is none of `LEVELS`, a period or a threshold that is negative
    or not finite, a threshold of 0, and another string for `on_deadlock`; TypeError for another
    object. Nothing has changed then. Raises RuntimeError if the daemon thread cannot be started.
    """
    number = _number(level)
    sampled = None if period is None else nanoseconds("period", period)
    react(on_deadlock, threshold)
    if sampled is not None:
        _golock.set_sight_period(sampled)
    _golock.set_sight_level(number)
    _golock.sight_serve()


def _number(level: str) -> int:
    if level not in LEVELS:
        raise ValueError(f"no such level: {level!r}; the levels are {', '.join(LEVELS)}")
    return LEVELS.index(level)


def stop() -> None:
    """Record nothing from now on. Waits under way stay recorded until they end."""
    start("off", on_deadlock=None)


def level() -> str:
    """Return what is recorded, one of `LEVELS`."""
    return LEVELS[_golock.sight_level()]


def listen() -> str:
    """Listen for ``python -m golock dump``, ``top`` and the like, and return the socket's path.

    Processes of the same user may connect, whatever the level is, and may change it. A second call
    does nothing. A child made by ``os.fork`` in the main thread listens as well, at a path of
    its own; one made in another thread cannot. Raises OSError where no socket can be made, and
    CoreError where no Go runtime can start.
    """
    from . import _place  # noqa: PLC0415

    folder = _place.prepare()
    path = _place.path(folder, os.getpid())
    _golock.sight_listen(path)
    if not _watched:
        os.register_at_fork(after_in_child=_listen_in_child)
        atexit.register(_place.sweep, folder)  # children end by os._exit
        _watched.append("forks")
    return path


_watched: list[str] = []


def _listen_in_child() -> None:
    try:
        listen()
    except (OSError, RuntimeError):
        return


def name(lock: object, name: str) -> None:
    """Give a primitive the name by which `snapshot` calls it, for as long as it lives.

    It keeps the name while sight is off. An empty name takes it away. Raises TypeError for an
    object that is none of golock's primitives, or whose internals were accessed.
    """
    _golock.sight_name(lock, name)


def snapshot() -> Snapshot:
    """Return who waits for what and who holds what now."""
    from ._model import decode  # noqa: PLC0415

    return decode(_golock.sight_image(0))


def deadlocks() -> tuple[Deadlock, ...]:
    """Return the circles of threads that wait for each other now, each once.

    A thread that waits for a `Lock` that it holds itself is a circle of one.
    """
    return snapshot().deadlocks


def profile(seconds: float | None = None, level: str = "owners") -> Profile:
    """Return what waits cost from now on, until the profile is stopped, or for some seconds.

    ::

        with golock.sight.profile() as profile:
            work()
        profile.write("waits.pb.gz")

    Without `seconds` it goes on until its method ``stop`` is called, or until the end of a ``with``
    statement. Otherwise the calling thread sleeps so long. Meanwhile `level` is recorded, if it
    records more than the one that is set. At ``owners`` profiles tell who held the locks. Raises
    ValueError for a level that is none of `LEVELS`.
    """
    from ._image import Image  # noqa: PLC0415
    from ._samples import SECTIONS, Profile  # noqa: PLC0415

    before = _golock.sight_level()
    _golock.set_sight_level(max(before, _number(level)))
    meanwhile = _golock.sight_level()

    def end() -> None:
        if meanwhile == _golock.sight_level() != before:
            _golock.set_sight_level(before)

    started = Profile(lambda: Image(_golock.sight_image(SECTIONS)), end)
    if seconds is not None:
        with started:
            time.sleep(seconds)
    return started


def _follow_environment(wanted: str) -> None:
    """Do as GOLOCK_SIGHT says. What cannot be done is told, and ignored."""
    try:
        _observe(wanted)
    except ValueError as error:
        _tell(f"GOLOCK_SIGHT={wanted}: {error}")


def _observe(wanted: str) -> None:
    """Start, and listen. The program goes on where it cannot listen.

    What is wanted is a level, and after commas ``report``, ``raise`` or ``ignore``, and a threshold
    in seconds. Raises ValueError, before anything is done, if it is something else.
    """
    level, *words = wanted.split(",")
    start(level, **reaction_named(words))
    try:
        listen()
    except (OSError, RuntimeError) as error:
        _tell(f"golock.sight cannot listen: {error}")


def _tell(message: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"golock: {' '.join(message.split())}\n")
