"""The waits of tasks that have to wait: what ``await lock.acquire_async()`` does then.

The extension calls these coroutines with a waiter, whose ``claim`` tries to end the wait. The
waiter's port is a descriptor that becomes readable when tasks of the loop are to claim again.
Another kind of loop needs a class like ``_Asyncio`` here: see ``Loop``.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._golock import Port

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from ._golock import Waiter

_T = TypeVar("_T")


class Loop(Protocol):
    """An event loop as a waiting task sees it."""

    port: Port

    def time(self) -> float:
        """Return the loop's time, in seconds."""

    def suspend(self, waiter: Waiter, deadline: float | None) -> Awaitable[object]:
        """Give the waiter a future, and return what ends when its set_result was called.

        It also ends at the deadline. When it is cancelled, it raises what the loop raises.
        """

    def shield(self) -> Any:
        """Return a context manager in which the loop's cancellation does not end a suspension."""


class _Asyncio:
    """A loop of asyncio or uvloop, or of anyio on these."""

    __slots__ = ("loop", "port")

    def __init__(self, loop: asyncio.AbstractEventLoop, port: Port) -> None:
        self.loop = weakref.ref(loop)
        self.port = port

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self.loop()
        assert loop is not None
        return loop

    def time(self) -> float:
        return self._running().time()

    def suspend(self, waiter: Waiter, deadline: float | None) -> Awaitable[object]:
        future = self._running().create_future()
        waiter.set_future(future)
        return future if deadline is None else self._until(future, deadline)

    async def _until(self, future: asyncio.Future[None], deadline: float) -> None:
        timer = self._running().call_at(deadline, _finish, future)
        try:
            await future
        finally:
            timer.cancel()

    def shield(self) -> Any:
        """Of a cancellation of asyncio only one comes, but anyio's come again in each turn.

        anyio's are for tasks. A callback of the loop may run a coroutine without one.
        """
        anyio = sys.modules.get("anyio")
        if anyio is None or _current_task(self._running()) is None:
            return _Nothing()
        return anyio.CancelScope(shield=True)


_asyncios: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Asyncio] = (
    weakref.WeakKeyDictionary()
)


class _Last(threading.local):
    """The loop of asyncio in which a task of this thread has last waited."""

    loop: _Asyncio | None = None


_last = _Last()


def _asyncio(loop: asyncio.AbstractEventLoop) -> _Asyncio:
    """Return what stands for the loop that runs in this thread."""
    last = _last.loop
    if last is not None and last.loop() is loop and last.port.is_own():
        return last
    found = _asyncios.get(loop)
    if found is None or not found.port.is_own():
        if found is not None:
            loop.remove_reader(found.port.fileno())
        found = _Asyncio(loop, Port())
        loop.add_reader(found.port.fileno(), found.port.run)
        _asyncios[loop] = found  # not if add_reader raised
    _last.loop = found
    return found


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Nothing:
    """A context manager that does nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class _TrioFuture:
    """The future of a task of trio."""

    __slots__ = ("_done", "_reschedule", "_task")

    def __init__(self, task: Any, reschedule: Callable[[Any], None]) -> None:
        self._task = task
        self._reschedule = reschedule
        self._done = False

    def done(self) -> bool:
        return self._done

    def set_result(self, _: None) -> None:
        self._done = True
        self._reschedule(self._task)

    def cancel(self) -> None:
        self._done = True


class _Trio:
    """A run of trio, or of anyio on trio."""

    __slots__ = ("port", "trio")

    def __init__(self, trio: Any) -> None:
        self.trio = trio
        token = trio.lowlevel.current_trio_token()
        port = _trio_ports.get(token)
        if port is None or not port.is_own():
            port = Port()
            trio.lowlevel.spawn_system_task(_run_in_trio, trio, port)
            _trio_ports[token] = port
        self.port = port

    def time(self) -> float:
        return float(self.trio.current_time())

    async def suspend(self, waiter: Waiter, deadline: float | None) -> None:
        trio = self.trio
        future = _TrioFuture(trio.lowlevel.current_task(), trio.lowlevel.reschedule)

        def abort(_: object) -> Any:
            future.cancel()
            return trio.lowlevel.Abort.SUCCEEDED

        waiter.set_future(future)
        if deadline is None:
            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            with trio.CancelScope(deadline=deadline):
                await trio.lowlevel.wait_task_rescheduled(abort)

    def shield(self) -> Any:
        return self.trio.CancelScope(shield=True)


_trio_ports: weakref.WeakKeyDictionary[Any, Port] = weakref.WeakKeyDictionary()


async def _run_in_trio(trio: Any, port: Port) -> None:
    while True:
        await trio.lowlevel.wait_readable(port.fileno())
        port.run()


def _asyncio_loop() -> asyncio.AbstractEventLoop | None:
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def _trio() -> Any:
    """Return the module trio if the caller is one of its tasks, otherwise None.

    In its guest mode a loop of asyncio runs as well.
    """
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):  # imported in part, or no task
        return None
    return trio


def _current_task(loop: asyncio.AbstractEventLoop) -> object:
    return sys.modules["asyncio.tasks"].current_task(loop)


def trio_task() -> object:
    """Return the task of trio that runs in this thread, or None."""
    trio = _trio()
    return None if trio is None else trio.lowlevel.current_task()


def _running() -> Loop:
    """Return the loop that runs in this thread. Raises RuntimeError if there is none."""
    if "trio" in sys.modules:
        trio = _trio()
        if trio is not None:
            return _Trio(trio)
    loop = _asyncio_loop()
    if loop is None:
        raise RuntimeError("no running event loop")
    return _asyncio(loop)


def runs() -> bool:
    """Return whether an event loop runs in this thread."""
    return _asyncio_loop() is not None or _trio() is not None


async def wait(waiter: Waiter, timeout: float | None) -> bool:
    """Wait until the waiter has got what it waits for. Return False after timeout seconds."""
    loop = _running()
    deadline = None if timeout is None else loop.time() + timeout
    port = loop.port
    try:
        while not waiter.claim(port):
            if deadline is not None and loop.time() >= deadline:
                return False
            await loop.suspend(waiter, deadline)
    finally:
        waiter.leave()
    return True


def run_soon(port: Port) -> None:
    """Make the loop that runs in this thread, which may be that of the port, run it."""
    last = _last.loop
    try:
        loop = None if last is None or last.port is not port else last.loop()
        if loop is not None and loop is _asyncio_loop():
            loop.call_soon(port.run)
            return
    except BaseException:
        port.kick()
        raise
    port.kick()


async def wait_at_condition(waiter: Waiter, timeout: float | None) -> bool:
    """Release the condition's lock, wait for a notification, and take the lock again.

    Return whether there was a notification within timeout seconds.
    """
    loop = _running()
    deadline = None if timeout is None else loop.time() + timeout
    port = loop.port
    raised: BaseException | None = None
    try:
        waiter.claim(port)  # the first call releases the lock, and never ends the wait
    except BaseException as error:  # it has woken a task for the lock, which runs code of the loop
        if not waiter.begun:
            raise
        raised = error
        waiter.fail()
    while not waiter.claim(port):
        try:
            if waiter.relocks:
                with loop.shield():
                    await loop.suspend(waiter, None)
            elif deadline is not None and loop.time() >= deadline:
                waiter.relock()
            else:
                await loop.suspend(waiter, deadline)
        except GeneratorExit as error:  # nobody resumes the task, so it cannot wait for the lock
            raised = error
            waiter.fail()
            if not (port.is_own() and waiter.claim(port)):
                waiter.give_up()
            break
        except BaseException as error:
            raised = error
            waiter.fail()
    notified = waiter.leave()
    if raised is None:
        return notified
    try:
        raise raised
    finally:
        raised = None  # it refers to this frame


async def wait_for(
    wait: Callable[[float | None], Awaitable[bool]],
    predicate: Callable[[], _T],
    timeout: float | None,
) -> _T:
    """Wait until predicate() is true, or for timeout seconds, and return its last result.

    ``wait`` is the condition's wait_async, for the task that has called wait_for_async.
    """
    result = predicate()
    if result:
        return result
    loop = _running()
    deadline = None if timeout is None else loop.time() + timeout
    while not result:
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            break
        await wait(left)
        result = predicate()
    return result
