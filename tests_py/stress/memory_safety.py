"""A state machine that does to the seven types whatever Python code can do.

Run by test_memory_safety.py: memory_safety.py EXAMPLES STEPS SEED. It compares no results. It fails
on a crash, a sanitizer report, a SystemError, a hang, or an object that is never freed. It prints
each step before taking it, so the last line names the one that crashed.

The objects call Python code: user locks, numbers, keys, classes and destructors. That code performs
the step's `deeds`: it opens the object in use, initializes it again, drops it, and the like.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import functools
import gc
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from unittest import mock

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import golock

SLOTS = 5
PATIENCE = 0.05  # seconds until a call is interrupted and locks are released
LIMIT = 60  # seconds until a step counts as hanging

# Kept, because a step may patch `threading`.
Thread, sleep, monotonic = threading.Thread, time.sleep, time.monotonic


class TooLongError(Exception):
    pass


class World:
    """The state of the running example, for code that is called from anywhere."""

    def __init__(self):
        self.slots = [None] * SLOTS
        self.target = 0
        self.deeds = []
        self.kept = []
        self.made = []
        self.locks = weakref.WeakSet()
        self.keywords = []
        self.threads = []
        self.errors = []


world = World()


def look_at(error):
    """Accept an exception, but record a SystemError; re-arm the interrupter if it was its."""
    if isinstance(error, TooLongError):
        interrupter.armed = True
    while error is not None:
        if isinstance(error, SystemError):
            world.errors.append(repr(error))
        error = error.__context__


sys.unraisablehook = lambda what: look_at(what.exc_value)
threading.excepthook = lambda what: look_at(what.exc_value)


# What the called code does.


def target():
    return world.slots[world.target]


def fresh():
    return [golock.Condition, golock.Event, functools.partial(golock.Barrier, 2), golock.Semaphore][
        world.target % 4
    ]()


def clear_keywords():
    """Empty the dict that passes the keywords of the call."""
    for found in gc.get_objects():
        if type(found) is dict and world.keywords == [(k, id(v)) for k, v in found.items()]:
            found.clear()
            break


def change_class():
    found = target()
    for kind in KINDS:
        if type(found) is not kind and issubclass(kind, type(found).__mro__[-2]):
            try:
                found.__class__ = kind
                break
            except TypeError:
                pass
    gc.collect()


def drop():
    world.slots[world.target] = None


def finish():
    found = target()
    for name in ("notify_all", "set", "release", "abort", "reset"):
        getattr(found, name, int)()


def refuse():
    raise ZeroDivisionError


DEEDS = [
    int,
    refuse,
    lambda: vars(target()),
    lambda: target().__init__(),
    lambda: target().__init__(golock.Lock()),
    lambda: target().__init__(2, None, 0.001),
    lambda: setattr(target(), "__dict__", {Number(): 1}),
    lambda: vars(target()).clear(),
    drop,
    lambda: [drop(), gc.collect()],
    gc.collect,
    clear_keywords,
    change_class,
    finish,
    lambda: target().acquire(False),
    lambda: target().wait(0.0001),
    lambda: delattr(target(), "_cond"),
    lambda: setattr(target(), "_cond", golock.Condition(golock.Lock())),
    lambda: setattr(target(), "_lock", UserLock()),
    lambda: world.slots.__setitem__(world.target, fresh()),
    lambda: world.kept.clear(),  # noqa: PLW0108
]


def act():
    """Do the next deed of the step. Only ZeroDivisionError leaves it, which `refuse` raises."""
    if not world.deeds:
        return
    deed = DEEDS[world.deeds.pop()]
    try:
        deed()
    except ZeroDivisionError:
        raise
    except Exception as error:
        look_at(error)


class Number:
    """A number, key, predicate or action whose every method does a deed."""

    def __init__(self, value=0.0005):
        self.value = value

    def __hash__(self):
        return hash("_cond")

    def __eq__(self, _other):
        act()
        return False

    def __bool__(self):
        act()
        return bool(self.value)

    def __index__(self):
        act()
        return int(self.value)

    def __float__(self):
        act()
        return float(self.value)

    def __lt__(self, other):
        act()
        return self.value < other

    def __gt__(self, other):
        act()
        return self.value > other

    def __add__(self, other):
        act()
        return other + self.value

    def __call__(self, *_arguments, **_keywords):
        act()
        return self.value

    def __repr__(self):
        act()
        return "Number()"

    def __del__(self):
        act()

    __ge__, __le__, __radd__, __sub__, __rsub__ = __gt__, __lt__, __add__, __add__, __add__


class LooksUp:
    """Looks up an object by its address while the object is being deallocated."""

    def __init__(self, address):
        self.address = address

    def __del__(self):
        with contextlib.suppress(ValueError):
            golock._golock.at(self.address)


class UserLock:
    """A lock that does deeds, always succeeds, and excludes nobody."""

    def acquire(self, *_arguments, **_keywords):
        act()
        return True

    def release(self):
        act()

    def __enter__(self):
        act()

    def __exit__(self, *_arguments):
        act()

    def __del__(self):
        act()


class FullLock(UserLock):
    def __getattribute__(self, name):
        act()
        return object.__getattribute__(self, name)

    def _is_owned(self):
        act()
        return True

    def _release_save(self):
        act()
        return Tuple((1, 2))

    def _acquire_restore(self, _state):
        act()


class PoorLock:
    acquire = None


class Tuple(tuple):
    __slots__ = ()

    def __iter__(self):
        act()
        return super().__iter__()

    def __len__(self):
        act()
        return 7


class Int(int):
    def __gt__(self, other):
        act()
        return int(self) > other

    __add__ = __radd__ = __gt__


class Float(float):
    def __add__(self, other):
        act()
        return float(self) + other

    __radd__ = __add__


class Str(str):
    __slots__ = ()

    def __eq__(self, other):
        act()
        return str(self) == other

    __hash__ = str.__hash__


# The classes.

BASES = (
    golock.Condition,
    golock.Semaphore,
    golock.BoundedSemaphore,
    golock.Event,
    golock.Barrier,
    golock.RLock,
)


class Meta(type):
    def __getattribute__(cls, name):
        act()
        return type.__getattribute__(cls, name)


def refusing(*_arguments, **_keywords):
    act()
    raise ZeroDivisionError


def lying(*_arguments, **_keywords):
    act()
    return Number()


def derive(base):
    class Plain(base):
        pass

    class Slotted(base):
        __slots__ = ("extra", "other")

    class Resurrected(base):
        def __del__(self):
            world.kept.append(self)
            act()

    class Asks(base):
        def __getattribute__(self, name):
            act()
            return super().__getattribute__(name)

        def __setattr__(self, name, value):
            act()
            super().__setattr__(name, value)

    class Fails(base):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            act()
            raise ZeroDivisionError

    class Skips(base):
        def __init__(self, *_arguments, **_keywords):
            act()

    class Watched(base, metaclass=Meta):
        pass

    class Broken(base):
        _is_owned = _release_save = release = _wait = _enter = refusing
        acquire = wait = notify = is_set = _exit = lying

    class Hidden(base):
        _cond = _lock = _waiters = _value = _flag = _state = _count = property(lying)

    class Gone(base):
        __dict__ = None

    return [Plain, Slotted, Resurrected, Asks, Fails, Skips, Watched, Broken, Hidden, Gone]


KINDS = [kind for base in BASES for kind in (base, *derive(base))]

# The attributes of each type: the number of arguments of a method, None for a field.
LOCK = {"acquire": 2, "release": 0, "__enter__": 0, "__exit__": 3}
INTERNALS_OF_LOCK = {
    "_is_owned": 0,
    "_release_save": 0,
    "_acquire_restore": 1,
    "_at_fork_reinit": 0,
}
ALL = {
    "__repr__": 0,
    "__getstate__": 0,
    "__reduce_ex__": 1,
    "__init__": 1,
    "__sizeof__": 0,
    "__dir__": 0,
}
ALL |= dict.fromkeys(["__dict__", "__class__", "__weakref__", "extra"])
CONDITION = (
    LOCK
    | INTERNALS_OF_LOCK
    | ALL
    | {"wait": 1, "wait_for": 2, "notify": 1, "notify_all": 0, "_lock": None}
)
CONDITION |= {"_waiters": None, "locked": 0, "notifyAll": 0}
SEMAPHORE = LOCK | ALL | {"release": 1, "_value": None, "_cond": None, "_initial_value": None}
EVENT = ALL | {
    "set": 0,
    "clear": 0,
    "is_set": 0,
    "isSet": 0,
    "wait": 1,
    "_cond": None,
    "_flag": None,
    "_at_fork_reinit": 0,
}
BARRIER = ALL | {
    "wait": 1,
    "reset": 0,
    "abort": 0,
    "_enter": 0,
    "_release": 0,
    "_wait": 1,
    "_exit": 0,
    "_break": 0,
}
BARRIER |= dict.fromkeys(["_cond", "_parties", "_state", "_count", "_action", "_timeout"])
BARRIER |= dict.fromkeys(["parties", "n_waiting", "broken"])
RLOCK = LOCK | INTERNALS_OF_LOCK | ALL | {"_recursion_count": 0, "locked": 0}
PARTS = [CONDITION, SEMAPHORE, SEMAPHORE, EVENT, BARRIER, RLOCK]
OF_ALL = functools.reduce(dict.__or__, PARTS)


def name_in(found, number):
    """Choose an attribute that the object should have."""
    kinds = found.__mro__ if isinstance(found, type) else type(found).__mro__
    parts = next((PARTS[BASES.index(base)] for base in kinds if base in BASES), RLOCK)
    return list(parts)[number % len(parts)]


def arguments_for(name, given, fits):
    """Return the values; if they are to fit, as many as the method takes."""
    if fits and OF_ALL[name] is not None:
        given = ([*given, 0, 7, 0])[: OF_ALL[name]] if given or OF_ALL[name] == 3 else []
    return [value_of(number) for number in given]


# Called for each use, so that each is a new object.
VALUES = [
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: 0,
    lambda: 1,
    lambda: 2,
    lambda: -1,
    lambda: 0.0005,
    lambda: -0.5,
    lambda: 2**31,
    lambda: 2**63,
    lambda: -(2**200),
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: 1e300,
    Number,
    Number,
    functools.partial(Number, 2),
    lambda: Tuple((0.001, 2)),
    lambda: (1, 2),
    lambda: (2**63, 1),
    lambda: (1, threading.get_ident()),
    lambda: Int(1),
    lambda: Float(0.0005),
    lambda: Str("_cond"),
    lambda: "wait",
    object,
    golock.Lock,
    golock.RLock,
    threading.Lock,
    UserLock,
    FullLock,
    PoorLock,
    target,
    lambda: world.slots[0],
    lambda: lying,
    lambda: refusing,
    lambda: lambda *_a, **_k: act() or True,
    lambda: [],
    lambda: {Number(): 1, "_value": 2, Str("_lock"): 3},
    golock.Condition,
    lambda: golock.Condition(golock.Lock()),
]

NAMES = ["lock", "value", "parties", "action", "timeout", "blocking", "predicate", "n", "t"]
KEYS = [*NAMES, Str("lock"), Str("timeout"), "patience", 1, (), "\udc80"]

slots = st.integers(0, SLOTS - 1)
kinds = st.sampled_from(KINDS)
deeds = st.lists(st.sampled_from(range(len(DEEDS))), max_size=5)
values = st.sampled_from(range(len(VALUES)))
names = st.sampled_from(range(120))
fits = st.sampled_from([True, True, False])
arguments = st.lists(values, max_size=3)
keywords = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)


def make_well(kind, plain):
    arguments = ()
    if issubclass(kind, golock.Barrier):
        arguments = (2 - plain, None if plain else Number(), 0.001)
    elif not plain and issubclass(kind, (golock.Condition, golock.Semaphore)):
        arguments = (note(golock.Lock()) if issubclass(kind, golock.Condition) else 0,)
    return kind(*arguments)


def subject(slot, *bases):
    """Return the object in the slot; make one first if there is none of the right type."""
    if world.slots[slot] is None or (bases and not isinstance(world.slots[slot], bases)):
        bases = bases or BASES[:5]
        put(slot, make_well(bases[len(world.made) % len(bases)], len(world.made) % 3))
    return world.slots[slot]


def call_well(slot, name, given):
    name = name_in(subject(slot), name)
    getattr(subject(slot), name)(*arguments_for(name, given, True))


def put(slot, made):
    with contextlib.suppress(TypeError):
        world.made.append(weakref.ref(made))
    world.slots[slot] = note(made)
    if type(made) is golock.Condition:
        note(made._lock)


def note(lock):
    try:
        if isinstance(lock, (golock.RLock, type(golock.Lock()), type(threading.Lock()))):
            world.locks.add(lock)
    except Exception as error:
        look_at(error)
    return lock


def value_of(number):
    return note(VALUES[number]())


def keywords_of(named):
    """Return new keywords, and record them so that `clear_keywords` finds the call's copy."""
    given = {name: value_of(value) for name, value in named.items()}
    world.keywords = [(name, id(value)) for name, value in given.items()]
    if all(value is None or isinstance(value, (int, float)) for value in given.values()):
        world.keywords = None  # other dicts may be equal to it
    return given


class Interrupter:
    """Ends what takes too long: by a signal in the main thread, and by releasing the locks."""

    def __init__(self):
        self.armed = False
        self.began = monotonic()
        signal.signal(signal.SIGALRM, self.interrupt)
        Thread(target=self.free_locks, daemon=True).start()

    def interrupt(self, *_arguments):
        if self.armed:
            self.armed = False  # until look_at() has seen the exception
            raise TooLongError

    def free_locks(self):
        while True:
            sleep(PATIENCE / 2)
            if monotonic() - self.began > PATIENCE * 4:
                self.free()

    @staticmethod
    def free():
        for lock in list(world.locks):
            try:
                getattr(lock, "_release_save", lock.release)()
            except Exception as error:
                look_at(error)

    def attempt(self, call, *arguments, **keywords):
        """Return what the call returned, or None if it raised; no traceback survives."""
        self.began = monotonic()
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        result = None
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE / 4)
                self.armed = True
                result = call(*arguments, **keywords)
            finally:
                self.armed = False
        except Exception as error:
            look_at(error)
            self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        return result


interrupter = None


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode(errors="replace"))


def printed(method):
    @functools.wraps(method)
    def step(self, **drawn):
        say(method.__name__, drawn)
        world.deeds[:] = drawn.pop("deeds", [])
        world.target = drawn.get("slot", world.target)
        interrupter.attempt(method, self, **drawn)
        world.deeds.clear()
        world.keywords = []
        assert not world.errors, world.errors

    return step


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        global world  # noqa: PLW0603
        world = World()
        say("begin")

    @rule(slot=slots, kind=st.integers(0, len(KINDS)), given=arguments, named=keywords, deeds=deeds)
    @printed
    def make(self, slot, kind, given, named):
        kind = [*KINDS, golock.Lock][kind]
        put(slot, kind(*map(value_of, given), **keywords_of(named)))

    @rule(slot=slots, kind=kinds, plain=st.booleans(), deeds=deeds)
    @printed
    def make_well(self, slot, kind, plain):
        put(slot, make_well(kind, plain))

    @rule(slot=slots, base=st.sampled_from(BASES[:5]), timeout=values)
    @printed
    def make_while_arguments_go(self, slot, base, timeout):
        class Watched(base, metaclass=Meta):
            pass

        world.deeds.append(DEEDS.index(clear_keywords))
        named = {}
        if base is golock.Barrier:
            named = {"parties": 4, "action": 37, "timeout": timeout}
        elif base is not golock.Event:
            named = {"lock" if base is golock.Condition else "value": timeout}
        put(slot, Watched(**keywords_of(named)))
        gc.collect()

    @rule(slot=slots, kind=kinds)
    @printed
    def make_without_init(self, slot, kind):
        put(slot, kind.__new__(kind))

    @rule(slot=slots, given=arguments, named=keywords, deeds=deeds)
    @printed
    def initialize(self, slot, given, named):
        subject(slot).__init__(*map(value_of, given), **keywords_of(named))

    @rule(slot=slots, name=names, given=arguments, fits=fits, deeds=deeds)
    @printed
    def call(self, slot, name, given, fits):
        name = name_in(subject(slot), name)
        getattr(subject(slot), name)(*arguments_for(name, given, fits))

    @rule(slot=slots, name=names, given=arguments, named=keywords, deeds=deeds)
    @printed
    def call_with_keywords(self, slot, name, given, named):
        name = name_in(subject(slot), name)
        named = {key: value_of(value) for key, value in named.items()}
        getattr(subject(slot), name)(*arguments_for(name, given, False), **named)

    @rule(slot=slots, kind=st.integers(0, 20), name=names, given=arguments, fits=fits, deeds=deeds)
    @printed
    def call_through_class(self, slot, kind, name, given, fits):
        found = subject(slot)
        kinds = [kind for kind in BASES if isinstance(found, kind)]
        kind = [*kinds, *kinds, *BASES][kind % (len(kinds) * 2 + 6)]
        name = name_in(kind, name)
        getattr(kind, name)(found, *arguments_for(name, given, fits))

    @rule(slot=slots, timeout=values, deeds=deeds)
    @printed
    def wait_with_lock(self, slot, timeout):
        found = subject(slot, golock.Condition)
        with found:
            found.wait(value_of(timeout))

    @rule(slot=slots, timeout=values, predicate=st.sampled_from([0, 0.5, 1]), deeds=deeds)
    @printed
    def wait_for_with_lock(self, slot, timeout, predicate):
        found = subject(slot, golock.Condition)
        with found:
            found.wait_for(Number(predicate), value_of(timeout))

    @rule(slot=slots, n=values, deeds=deeds)
    @printed
    def notify_with_lock(self, slot, n):
        found = subject(slot, golock.Condition)
        with found:
            found.notify(value_of(n))
            found.notify_all()

    @rule(slot=slots, counts=st.sampled_from([2, *range(17, 22)]))
    @printed
    def restore(self, slot, counts):
        found = subject(slot, golock.Condition, golock.RLock)
        if found.acquire(False):
            found._release_save()
            found._acquire_restore(value_of(counts))
            found.acquire(False)
            found.release()

    @rule(slot=slots, name=names, deeds=deeds)
    @printed
    def read(self, slot, name):
        note(getattr(subject(slot), name_in(subject(slot), name)))

    @rule(slot=slots, name=names, value=values, deeds=deeds)
    @printed
    def write(self, slot, name, value):
        setattr(subject(slot), name_in(subject(slot), name), value_of(value))

    @rule(slot=slots, name=names, deeds=deeds)
    @printed
    def delete(self, slot, name):
        delattr(subject(slot), name_in(subject(slot), name))

    @rule(slot=slots, method=names, given=arguments)
    @printed
    def call_of_field(self, slot, method, given):
        found = subject(slot)
        field = note(getattr(found, "_lock" if isinstance(found, golock.Condition) else "_cond"))
        name = name_in(field, method)
        note(getattr(getattr(field, name)(*arguments_for(name, given, True)), "_lock", None))

    @rule(slot=slots, value=values, deeds=deeds)
    @printed
    def replace_dict(self, slot, value):
        subject(slot).__dict__ = value_of(value) if value % 3 else {Number(): 1, "_value": Number()}

    @rule(slot=slots, deeds=deeds)
    @printed
    def spoil_dict(self, slot):
        # Not by way of __dict__, which would open the object.
        found = subject(slot)
        found.extra = 1
        for each in gc.get_referents(found):
            if type(each) is dict:
                each[Number()] = Number()

    @rule(slot=slots, kind=kinds, deeds=deeds)
    @printed
    def reclass(self, slot, kind):
        base = next(base for base in BASES if isinstance(subject(slot), base))
        kind = KINDS[
            BASES.index(base) * (len(KINDS) // len(BASES))
            + KINDS.index(kind) % (len(KINDS) // len(BASES))
        ]
        subject(slot).__class__ = kind

    @rule(
        slot=slots,
        kind=st.sampled_from(BASES[:5]),
        name=st.sampled_from([*OF_ALL, "__del__", "__eq__", "__getattribute__"]),
        how=st.integers(0, 3),
        method=names,
        field=names,
        given=arguments,
        deeds=deeds,
    )
    @printed
    def patched(self, *, slot, kind, name, how, method, field, given):
        new = [lying, refusing, None, mock.MagicMock()][how]
        with mock.patch.object(kind, name, new, create=True):
            for step in (
                lambda: getattr(subject(slot), name_in(subject(slot), field)),
                lambda: call_well(slot, method, given),
                lambda: kind(1),
            ):
                try:
                    step()
                except Exception as error:
                    look_at(error)

    @rule(slot=slots, to=slots, how=st.integers(0, 7), deeds=deeds)
    @printed
    def copy(self, slot, to, how):
        found = subject(slot)
        if how < 2:
            put(to, [copy.copy, copy.deepcopy][how](found))
        else:
            put(to, pickle.loads(pickle.dumps(found, how - 2)))

    @rule(slot=slots, deeds=deeds)
    @printed
    def refer_weakly(self, slot):
        world.kept.append(weakref.ref(subject(slot), lambda _reference: act()))

    @rule(slot=slots)
    @printed
    def share(self, slot):
        golock._golock.address(subject(slot, golock.Semaphore, golock.Event))

    @rule(base=st.sampled_from([golock.Semaphore, golock.Event]))
    @printed
    def look_up_while_it_goes(self, base):
        class Shared(base):
            __slots__ = ("looks",)

        found = Shared()
        address = golock._golock.address(found)
        found.looks = LooksUp(address)
        world.kept.append(weakref.ref(found, lambda _reference: LooksUp(address)))

    @rule(slot=slots, to=slots, name=st.sampled_from(["extra", "other", "_action", "_cond"]))
    @printed
    def link(self, slot, to, name):
        setattr(subject(slot), name, subject(to))

    @rule(kind=kinds, length=st.sampled_from([60, 300]), deeds=deeds)
    @printed
    def chain(self, kind, length):
        make_chain(kind, length)

    @rule(slot=slots, deeds=deeds)
    @printed
    def drop(self, slot):
        world.slots[slot] = None

    @rule(deeds=deeds)
    @printed
    def collect(self):
        gc.collect()

    @rule(
        slot=slots,
        steps=st.lists(
            st.tuples(st.sampled_from(["call", "get", "set"]), st.integers(0, 19), values),
            max_size=6,
        ),
        deeds=deeds,
    )
    @printed
    def beside(self, slot, steps):
        """Starts a thread that uses the object during the following steps."""
        if len(world.threads) < 3:
            world.threads.append(Thread(target=work, args=(subject(slot), steps), daemon=True))
            world.threads[-1].start()

    @rule(
        slot=slots,
        base=st.sampled_from(BASES[:5]),
        name=names,
        patch=st.sampled_from(["wait", "notify", "acquire", "__init__", "_is_owned", None]),
        replaced=st.booleans(),
        deeds=deeds,
    )
    @printed
    def open_under_a_waiter(self, slot, base, name, patch, replaced):
        found = subject(slot, base)
        waiter = Thread(target=wait_briefly, args=(found,), daemon=True)
        world.threads.append(waiter)
        waiter.start()
        sleep(0.002)
        with mock.patch.object(golock.Condition, patch or "extra", lying, create=True):
            vars(found)
        if replaced:
            found._cond = found._lock = None
            vars(found)["_waiters"] = Number()
        read = getattr(found, name_in(found, name), None)
        del found, read
        drop() if replaced else finish()

    def teardown(self):
        say("end")
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        interrupter.began = 0  # makes it release the locks
        for thread in world.threads:
            thread.join()
        interrupter.attempt(world.slots.clear)
        for _ in range(3):
            interrupter.attempt(world.kept.clear)
            interrupter.attempt(gc.collect)
        faulthandler.cancel_dump_traceback_later()
        assert not world.errors, world.errors
        left = [each() for each in world.made if each() is not None]
        assert not left, [
            (type(each), sys.getrefcount(each), [type(other) for other in gc.get_referrers(each)])
            for each in left
        ]


BOUNDED = [
    ("wait", (0.001,)),
    ("acquire", (False,)),
    ("acquire", (True, 0.001)),
    ("release", ()),
    ("notify", ()),
    ("notify_all", ()),
    ("set", ()),
    ("clear", ()),
    ("is_set", ()),
    ("reset", ()),
    ("abort", ()),
    ("__repr__", ()),
    ("__init__", (1,)),
    ("__init__", ()),
    ("_is_owned", ()),
    ("wait_for", (bool, 0.001)),
    ("__exit__", (None, None, None)),
    ("__getstate__", ()),
    ("release", (3,)),
    ("_at_fork_reinit", ()),
]


def wait_briefly(found):
    try:
        if isinstance(found, golock.Semaphore):
            while found.acquire(timeout=0.01):
                pass
        elif isinstance(found, golock.Condition):
            with found:
                found.wait(0.01)
        else:
            found.wait(0.01)
    except Exception as error:
        look_at(error)


def work(found, steps):
    for _ in range(15):
        for what, number, value in steps:
            try:
                if what == "call":
                    name, arguments = BOUNDED[number]
                    if name in {"wait", "wait_for"} and hasattr(type(found), "notify"):
                        if found.acquire(timeout=0.001):
                            getattr(found, name)(*arguments)
                    else:
                        getattr(found, name)(*arguments)
                elif what == "get":
                    note(getattr(found, name_in(found, value * 20 + number)))
                else:
                    setattr(found, name_in(found, value * 20 + number), value_of(value))
            except Exception as error:
                look_at(error)


def make_chain(kind, length):
    """Makes a chain of objects, each referred to only by the next, and drops it."""
    gc.disable()
    last = None
    for _ in range(length):
        barrier = issubclass(kind, golock.Barrier)
        made = kind(1, last) if barrier else kind()
        if not barrier:
            made.extra = last
        last = made
    gc.enable()
    del last, made


def main():
    global interrupter  # noqa: PLW0603
    examples, steps, number = map(int, sys.argv[1:])
    faulthandler.enable()
    sys.setswitchinterval(0.0005)
    interrupter = Interrupter()
    for base in BASES:
        kinds = [base] if base is not golock.RLock else []
        for kind in [*kinds, type("Derived", (base,), {})]:
            say("chain", kind)
            make_chain(kind, 200_000 if kind is golock.Barrier else 20_000)
    gc.freeze()  # so that collections visit only the examples
    run_state_machine_as_test(
        seed(number)(Machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.unraisablehook = sys.__unraisablehook__
    say("passed")


if __name__ == "__main__":
    main()
