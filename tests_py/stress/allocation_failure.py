"""Fails every allocation of every operation in turn, each in its own child process.

Run by test_allocation_failure.py with the name of an injector, `preload` or `nomemory`, and the
names of operations. Prints a line for each operation: its name and how often an allocation failed.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import gc
import importlib.util
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
warnings.filterwarnings("ignore", "golock waits without its lock core", RuntimeWarning)

MET, NOT_MET = 10, 11  # exit statuses of a child
PATIENCE = 30  # seconds
OUT_OF_MEMORY = (MemoryError,)


def waiters(condition: object) -> int:
    return int(repr(condition).rstrip(")>").rpartition(" ")[2])


class Preload:
    """The preloaded library: fails allocations of the C library."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self.left = ctypes.c_long.in_dll(library, "allocations_left")
        self.lasting = ctypes.c_int.in_dll(library, "lasting")
        self.failed = ctypes.c_long.in_dll(library, "failed")
        self.disarm = functools.partial(setattr, self.left, "value", -1)  # needs no memory

    def arm(self, number: int, lasting: bool) -> None:
        self.lasting.value = lasting
        self.left.value = number

    def met(self, _raised: bool) -> bool:
        return self.failed.value > 0


class NoMemory:
    """_testcapi: fails allocations of the interpreter's allocators."""

    def __init__(self) -> None:
        import _testcapi

        self.testcapi = _testcapi
        self.disarm = _testcapi.remove_mem_hooks

    def arm(self, number: int, lasting: bool) -> None:
        self.testcapi.set_nomemory(number, 0 if lasting else number + 1)

    def met(self, raised: bool) -> bool:
        return raised


class Operation:
    """What is done while allocations fail, and what it may raise."""

    errors: tuple[type[BaseException], ...] = OUT_OF_MEMORY
    raises: type[BaseException] | None = None  # in place of a result
    alone = True  # no other thread runs
    modes: tuple[bool, ...] = (True, False)  # lasting, or a single failure

    def prepare(self) -> None:
        import golock

        self.golock = golock
        self.lock = golock.allocate_lock()

    def act(self) -> object:
        raise NotImplementedError

    def check(self, done: bool, result: object) -> None:
        """Assert, with memory back, that the state is the old or the new one, and all works."""
        assert not done or result is None
        self.use()

    def use(self) -> None:
        lock = self.golock.allocate_lock()
        for _ in range(3):
            assert lock.acquire()
            assert lock.locked()
            assert not lock.acquire(False)
            assert not lock.acquire(timeout=0.0001)
            lock.release()
            assert not lock.locked()


class ImportExtension(Operation):
    """Only the extension: with no memory at all, importlib itself may loop for ever."""

    errors = (MemoryError, ImportError, OSError)
    if sys.version_info[:2] == (3, 13):
        modes = (True,)  # a type's dict that could not grow once crashes when it grows

    def prepare(self) -> None:
        package = importlib.util.find_spec("golock")
        assert package is not None
        assert package.origin is not None
        (path,) = Path(package.origin).parent.glob("_golock*.so")
        loader = ExtensionFileLoader("golock._golock", str(path))
        spec = importlib.util.spec_from_file_location(loader.name, str(path), loader=loader)
        assert spec is not None
        self.loader, self.spec = loader, spec

    def act(self) -> object:
        module = self.loader.create_module(self.spec)
        module.__file__ = self.spec.origin
        self.loader.exec_module(module)
        return module

    def check(self, done: bool, result: object) -> None:
        import golock

        self.golock = golock
        self.use()


class AllocateLock(Operation):
    def act(self) -> object:
        return self.golock.allocate_lock()

    def check(self, done: bool, result: object) -> None:
        assert not done or isinstance(result, self.golock.LockType)
        self.use()


class CallLock(AllocateLock):
    """From 3.13 on the type itself, before that a function."""

    def act(self) -> object:
        return self.golock.Lock()


class Acquire(Operation):
    """The lock is free; without the fast path the call loads the core."""

    def prepare(self) -> None:
        super().prepare()
        self.errors = (MemoryError, self.golock.CoreError)

    def act(self) -> object:
        return self.lock.acquire()

    def check(self, done: bool, result: object) -> None:
        assert not done or result is True
        assert self.lock.locked() is done
        assert self.lock.acquire(False) is not done
        self.lock.release()
        self.use()


class AcquireWithArguments(Acquire):
    def act(self) -> object:
        return self.lock.acquire(blocking=True, timeout=12.5)


class Enter(Acquire):
    def act(self) -> object:
        return self.lock.__enter__()


class Release(Operation):
    def prepare(self) -> None:
        super().prepare()
        self.errors = (MemoryError, self.golock.CoreError)
        self.lock.acquire()

    def act(self) -> object:
        return self.lock.release()

    def check(self, done: bool, result: object) -> None:
        assert self.lock.locked() is not done
        assert self.lock.acquire(False) is done
        self.lock.release()
        self.use()


class Address(Operation):
    def act(self) -> object:
        return self.lock.address

    def check(self, done: bool, result: object) -> None:
        assert not done or self.golock.at(result) is self.lock
        with self.golock.shared(self.lock) as address:
            assert self.golock.at(address) is self.lock
        self.use()


class Capsule(Address):
    def act(self) -> object:
        return self.lock.capsule

    def check(self, done: bool, result: object) -> None:
        assert not done or type(result).__name__ == "PyCapsule"
        super().check(False, None)


class At(Address):
    def prepare(self) -> None:
        super().prepare()
        self.address = self.lock.address

    def act(self) -> object:
        return self.golock.at(self.address)

    def check(self, done: bool, result: object) -> None:
        assert not done or result is self.lock
        super().check(False, None)


class Share(Address):
    def act(self) -> object:
        return self.golock.shared(self.lock)

    def check(self, done: bool, result: object) -> None:
        if done:
            with result as address:
                super().check(True, address)
        else:
            super().check(False, None)


class ReleaseUnlocked(Operation):
    raises = RuntimeError

    def act(self) -> object:
        return self.lock.release()


class Contend(Operation):
    """A wait that times out. It loads the core unless it is loaded already."""

    timeout = 0.001

    def prepare(self) -> None:
        super().prepare()
        self.errors = (MemoryError, self.golock.CoreError)
        self.lock.acquire()

    def act(self) -> object:
        return self.lock.acquire(timeout=self.timeout)

    def check(self, done: bool, result: object) -> None:
        assert not done or result is False
        assert self.lock.locked()
        assert not self.lock.acquire(timeout=self.timeout)
        self.lock.release()
        assert self.lock.acquire(False)
        self.lock.release()
        self.use()


class ContendOnLoadedCore(Contend):
    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire(timeout=self.timeout)


class ContendOnPrivateCopy(Contend):
    """The core of the parent does not survive the fork: a child loads a copy."""

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire(timeout=self.timeout)
        child = os.fork()
        if child:
            os._exit(outcome(child) & 255)


class ContendFromNewThread(Contend):
    """The first call of a thread into the Go runtime."""

    alone = False

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire(timeout=self.timeout)

    def run(self, injector: Preload | NoMemory, number: int, lasting: bool) -> int:
        statuses = []
        thread = threading.Thread(
            target=lambda: statuses.append(inject(self, type(injector)(), number, lasting))
        )
        thread.start()
        thread.join()
        return statuses[0]


class Interrupt(Contend):
    """A wait that a signal handler ends."""

    class SignalledError(Exception):
        pass

    raises = SignalledError
    modes = (False,)  # as for install
    timeout = 0.001

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire(timeout=self.timeout)
        signal.signal(signal.SIGALRM, self.handle)
        self.acting = False

    def handle(self, *_arguments: object) -> None:
        if self.acting:
            raise self.SignalledError

    def act(self) -> object:
        self.acting = True
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            return self.lock.acquire(timeout=100)
        finally:
            self.acting = False


class ReleaseToWaiter(Operation):
    """The release wakes a waiting thread."""

    alone = False

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire()
        self.waiter = threading.Thread(target=self.lock.acquire, daemon=True)
        self.waiter.start()
        syscall = Path(f"/proc/self/task/{self.waiter.native_id}/syscall")
        first = id(self.lock)
        word = range(first, first + 64)
        while int(([*syscall.read_text().split(), "0"])[1], 0) not in word:
            time.sleep(0.0005)

    def act(self) -> object:
        return self.lock.release()

    def check(self, done: bool, result: object) -> None:
        if not done:
            self.lock.release()
        self.waiter.join(60)
        assert not self.waiter.is_alive()
        assert self.lock.locked()
        self.use()


class Primitive(Operation):
    """A primitive other than the lock: made, waited at until it times out, and used.

    The core is loaded first; loading it is the same for all.
    """

    errors = OUT_OF_MEMORY
    kind = ""
    primitive: object

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire()
        self.lock.acquire(timeout=0.001)  # loads the core
        self.primitive = self.make()

    def make(self) -> object:
        return getattr(self.golock, self.kind)()

    def check(self, done: bool, result: object) -> None:
        self.check_primitive(done, result)
        self.use()

    def check_primitive(self, done: bool, result: object) -> None:
        raise NotImplementedError


class MakeCondition(Primitive):
    kind = "Condition"

    def act(self) -> object:
        return self.golock.Condition()

    def check_primitive(self, done: bool, result: object) -> None:
        condition = result if done else self.primitive
        with condition:
            assert condition.wait(0.0001) is False


class MakeConditionOverLock(MakeCondition):
    def act(self) -> object:
        return self.golock.Condition(self.other)

    def prepare(self) -> None:
        super().prepare()
        self.other = threading.Lock()
        self.golock.Condition(self.other)  # imports golock._opened, so that act() does not


class WaitAtCondition(Primitive):
    """Whatever fails, the lock is held when wait returns, and no waiter is left."""

    kind = "Condition"

    def prepare(self) -> None:
        super().prepare()
        self.primitive.acquire()

    def act(self) -> object:
        return self.primitive.wait(0.001)

    def check_primitive(self, done: bool, result: object) -> None:
        assert not done or result is False
        condition = self.primitive
        assert condition._is_owned()
        assert waiters(condition) == 0
        assert condition.wait(0.001) is False
        condition.notify()
        condition.release()
        with condition:
            condition.notify_all()


class WaitAtConditionOverLock(WaitAtCondition):
    def make(self) -> object:
        return self.golock.Condition(self.golock.allocate_lock())


class WaitFor(WaitAtCondition):
    def act(self) -> object:
        return self.primitive.wait_for(self.predicate, 0.001)

    def predicate(self) -> bool:
        return False


class Notify(WaitAtCondition):
    def act(self) -> object:
        return self.primitive.notify(3)

    def check_primitive(self, done: bool, result: object) -> None:
        super().check_primitive(False, None)


class NotifyWaiter(Primitive):
    """A waiter is notified, or can be notified later."""

    kind = "Condition"
    alone = False

    def prepare(self) -> None:
        super().prepare()
        self.notified: list[bool] = []
        self.waiter = threading.Thread(target=self.wait, daemon=True)
        self.waiter.start()
        while not waiters(self.primitive):
            time.sleep(0.0005)
        self.primitive.acquire()

    def wait(self) -> None:
        with self.primitive:
            self.notified.append(self.primitive.wait())

    def act(self) -> object:
        return self.primitive.notify()

    def check_primitive(self, done: bool, result: object) -> None:
        if not done:
            self.primitive.notify()
        self.primitive.release()
        self.waiter.join(60)
        assert self.notified == [True]


class MakeRLock(Primitive):
    kind = "RLock"

    def act(self) -> object:
        return self.golock.RLock()

    def check_primitive(self, done: bool, result: object) -> None:
        lock = result if done else self.primitive
        with lock, lock:
            assert lock._is_owned()
        assert not lock._is_owned()


class SaveRLock(MakeRLock):
    def prepare(self) -> None:
        super().prepare()
        self.primitive.acquire()

    def act(self) -> object:
        return self.primitive._release_save()

    def check_primitive(self, done: bool, result: object) -> None:
        assert self.primitive._is_owned() is not done
        if done:
            self.primitive._acquire_restore(result)
        self.primitive.release()
        super().check_primitive(False, None)


class MakeSemaphore(Primitive):
    kind = "Semaphore"

    def act(self) -> object:
        return self.golock.Semaphore(1)

    def check_primitive(self, done: bool, result: object) -> None:
        semaphore = result if done else self.primitive
        assert semaphore.acquire()
        assert not semaphore.acquire(timeout=0.0001)
        semaphore.release(2)
        assert semaphore._value == 2


class WaitForPermit(MakeSemaphore):
    def prepare(self) -> None:
        super().prepare()
        self.primitive.acquire()

    def act(self) -> object:
        return self.primitive.acquire(timeout=0.001)

    def check_primitive(self, done: bool, result: object) -> None:
        assert not done or result is False
        self.primitive.release()
        super().check_primitive(False, None)


class ReleasePermits(MakeSemaphore):
    def act(self) -> object:
        return self.primitive.release(3)

    def check_primitive(self, done: bool, result: object) -> None:
        assert self.primitive._value == (4 if done else 1)
        while self.primitive._value > 1:
            self.primitive.acquire()
        super().check_primitive(False, None)


class ReleaseTooOften(MakeSemaphore):
    kind = "BoundedSemaphore"
    raises = ValueError

    def act(self) -> object:
        return self.primitive.release()

    def check_primitive(self, done: bool, result: object) -> None:
        assert self.primitive._value == 1


class MakeEvent(Primitive):
    kind = "Event"

    def act(self) -> object:
        return self.golock.Event()

    def check_primitive(self, done: bool, result: object) -> None:
        event = result if done else self.primitive
        assert event.wait(0.0001) is False
        event.set()
        assert event.wait()


class WaitForEvent(MakeEvent):
    def act(self) -> object:
        return self.primitive.wait(0.001)

    def check_primitive(self, done: bool, result: object) -> None:
        assert not done or result is False
        super().check_primitive(False, None)


class LookAtConditionOfEvent(MakeEvent):
    def prepare(self) -> None:
        super().prepare()
        self.golock.Event()._cond  # imports golock._opened, so that act() does not

    def act(self) -> object:
        return self.primitive._cond

    def check_primitive(self, done: bool, result: object) -> None:
        with self.primitive._cond:
            pass
        super().check_primitive(False, None)


class SetEventWithCondition(MakeEvent):
    def prepare(self) -> None:
        super().prepare()
        self.condition = self.primitive._cond

    def act(self) -> object:
        return self.primitive.set()

    def check_primitive(self, done: bool, result: object) -> None:
        with self.condition:  # it is free
            self.condition.notify_all()
        self.primitive.clear()
        super().check_primitive(False, None)


class MakeBarrier(Primitive):
    def make(self) -> object:
        return self.golock.Barrier(2)

    def act(self) -> object:
        return self.golock.Barrier(2, None, 0.5)

    def check_primitive(self, done: bool, result: object) -> None:
        barrier = result if done else self.primitive
        assert barrier.n_waiting == 0
        try:
            barrier.wait(0.0001)
        except threading.BrokenBarrierError:
            barrier.reset()
        assert (barrier.n_waiting, barrier.broken) == (0, False)


class WaitAtBarrier(MakeBarrier):
    raises = threading.BrokenBarrierError

    def act(self) -> object:
        return self.primitive.wait(0.001)

    def check_primitive(self, done: bool, result: object) -> None:
        self.primitive.reset()
        super().check_primitive(False, None)


class TripBarrier(MakeBarrier):
    """The action allocates too; if that fails, the barrier breaks."""

    def make(self) -> object:
        return self.golock.Barrier(1, self.allocate)

    def allocate(self) -> None:
        self.held = bytearray(100_000)

    def act(self) -> object:
        return self.primitive.wait()

    def check_primitive(self, done: bool, result: object) -> None:
        assert not done or result == 0
        self.primitive.reset()
        assert self.primitive.wait() == 0


class ReprOfEach(Primitive):
    def make(self) -> object:
        golock = self.golock
        return [golock.RLock(), golock.Condition(), golock.Event(), golock.Semaphore(),
                golock.BoundedSemaphore(), golock.Barrier(2)]  # fmt: skip

    def act(self) -> object:
        return [repr(each) for each in self.primitive]

    def check_primitive(self, done: bool, result: object) -> None:
        assert all("at 0x" in repr(each) for each in self.primitive)


class Repr(Operation):
    def act(self) -> object:
        return repr(self.lock)

    def check(self, done: bool, result: object) -> None:
        assert not done or str(result).startswith("<unlocked _thread.lock object at 0x")
        self.use()


class DescribeCore(Operation):
    def act(self) -> object:
        return self.golock._golock.core()

    def check(self, done: bool, result: object) -> None:
        assert not done or isinstance(result, dict)
        self.use()


class SetHandoff(Operation):
    def act(self) -> object:
        return self.golock.set_handoff(0.25)

    def check(self, done: bool, result: object) -> None:
        assert self.golock.get_handoff() == (0.25 if done else 0.001)
        self.use()


class GetHandoff(Operation):
    def act(self) -> object:
        return self.golock.get_handoff()

    def check(self, done: bool, result: object) -> None:
        assert not done or result == 0.001
        self.use()


class WeakReference(Operation):
    def act(self) -> object:
        return weakref.ref(self.lock)

    def check(self, done: bool, result: object) -> None:
        reference = weakref.ref(self.lock)
        self.lock = None
        gc.collect()
        assert reference() is None
        self.use()


class Install(Operation):
    modes: tuple[bool, ...] = (False,)  # with no memory at all, 3.11 unwinds a try for ever
    if sys.version_info[:2] in ((3, 12), (3, 13)):
        modes = ()  # a generator expression whose frame cannot be made crashes the interpreter

    def act(self) -> object:
        return self.golock.install()

    def check(self, done: bool, result: object) -> None:
        self.golock.install()
        assert self.golock.installed()
        assert isinstance(threading.Lock(), self.golock.LockType)
        self.golock.uninstall()
        assert not self.golock.installed()
        assert not isinstance(threading.Lock(), self.golock.LockType)
        self.use()


class Uninstall(Install):
    def prepare(self) -> None:
        super().prepare()
        self.golock.install()

    def act(self) -> object:
        return self.golock.uninstall()


class Refuse(Operation):
    raises = TypeError


class Copy(Refuse):
    def act(self) -> object:
        return copy.copy(self.lock)


class Pickle(Refuse):
    def act(self) -> object:
        return pickle.dumps(self.lock)


class WrongTimeout(Refuse):
    def act(self) -> object:
        return self.lock.acquire(True, "1")


class WrongKeyword(Refuse):
    def act(self) -> object:
        return self.lock.acquire(patience=1)


class TooManyArguments(Refuse):
    def act(self) -> object:
        return self.lock.acquire(True, 1, 2)


class TimeoutTooLarge(Refuse):
    raises = OverflowError

    def act(self) -> object:
        return self.lock.acquire(True, 1e300)


def operations(kind: type[Operation] = Operation) -> dict[str, type[Operation]]:
    found = {}
    for sub in kind.__subclasses__():
        found.update(operations(sub))
        if sub.act is not Operation.act:
            found[sub.__name__] = sub
    return found


def lost_by_the_interpreter(error: BaseException) -> bool:
    """Return whether 3.11 to 3.13 lost an exception for lack of memory for a frame object."""
    return (
        sys.version_info[:2] in ((3, 11), (3, 12), (3, 13))
        and isinstance(error, SystemError)
        and str(error) == "error return without exception set"
    )


def inject(operation: Operation, injector: Preload | NoMemory, number: int, lasting: bool) -> int:
    done = wrong = False
    result = None
    error: BaseException | None = None
    disarm = injector.disarm
    injector.arm(number, lasting)
    try:
        result = operation.act()
    except BaseException as raised:
        disarm()
        error = raised
    else:
        disarm()
        done = True
    met = injector.met(isinstance(error, operation.errors))
    if operation.raises is not None:
        wrong = done
    if error is not None and not lost_by_the_interpreter(error):
        expected = operation.raises is not None and isinstance(error, operation.raises)
        allowed = met and isinstance(error, operation.errors)
        if not (expected or allowed):
            raise error
    assert not wrong, "it raised nothing"
    error = None
    operation.check(done, result)
    return MET if met else NOT_MET


def child(
    kind: type[Operation], injector: type[Preload | NoMemory], number: int, lasting: bool
) -> None:
    status = 1
    try:
        operation = kind()
        operation.prepare()
        call = getattr(operation, "run", None)
        if call is not None:
            status = call(injector(), number, lasting)
        else:
            status = inject(operation, injector(), number, lasting)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def outcome(pid: int) -> int:
    """Wait for a child for `PATIENCE` seconds: loading the core, it blocks all signals."""
    child = os.pidfd_open(pid)
    ended, _, _ = select.select([child], [], [], PATIENCE)
    if not ended:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stress(kind: type[Operation], injector: type[Preload | NoMemory]) -> int:
    failures = 0
    for lasting in kind.modes:
        number = 0
        while True:
            pid = os.fork()
            if pid == 0:
                child(kind, injector, number, lasting)
            status = outcome(pid)
            if status not in (MET, NOT_MET):
                how = "all allocations from number" if lasting else "allocation number"
                sys.exit(f"{kind.__name__}, {how} {number} failing: exit status {status}")
            if status == NOT_MET:
                break
            failures += 1
            number += 1
    return failures


def main(name: str, *names: str) -> None:
    injector = {"preload": Preload, "nomemory": NoMemory}[name]
    known = operations()
    for chosen in names or known:
        if injector is NoMemory and not known[chosen].alone:
            continue  # it fails the allocations of all threads
        print(chosen, stress(known[chosen], injector), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
