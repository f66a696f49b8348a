"""Images of golock.sight for the tests of the page, and a process that answers with them."""

from __future__ import annotations

import os
from random import Random

import sight_images
from golock.sight import _image
from golock.sight._client import ClientError
from golock.sight._image import Image

HELD = _image.OBJECT_HELD
WAITS = _image.WAITS
MAIN = (("/srv/shop/app.py", 12, "main"),)
GOROUTINE = _image.GOROUTINE
MILLISECOND = 1_000_000


def at(line, function, file="/srv/shop/orders.py"):
    return (*MAIN, (file, line, function))


def contention(waiters=5):
    """One lock that others wait for, and one that nobody does."""
    maker = sight_images.Maker()
    maker.thread(1, "MainThread", main=True)
    for number in range(waiters):
        maker.thread(2 + number, f"worker-{number}")
        maker.wait(0x1000, 2 + number, ago=3 - number / 10, stack=at(40 + number, "add"))
    maker.object(0x1000, owner=1, ago=5, stack=at(30, "load"), name="orders", flags=HELD)
    maker.object(0x2000, "RLock", owner=1, ago=2, stack=at(31, "load"), name="prices", flags=HELD)
    for seconds, name, kind, function in (
        (3, "orders", "Lock", "add"),
        (2, "prices", "RLock", "remove"),
    ):
        maker.sample(
            2,
            0,
            name=name,
            kind=kind,
            stack=at(40, function),
            number=12,
            delay=seconds * 1000 * MILLISECOND,
        )
    maker.sample(3, 0x3000, kind="Event", name="ready", stack=at(60, "wait"), delay=MILLISECOND)
    return maker


def deadlock(members=2, *, certain=True):
    """A circle of threads, the last of which is a goroutine, and one thread that waits for it."""
    maker = sight_images.Maker()
    keys = [*range(1, members), GOROUTINE | 7]
    for key in keys[:-1]:
        maker.thread(key, f"clerk-{key}", main=key == 1)
    maker.thread(keys[-1])
    waits = []
    for number, key in enumerate(keys):
        address, after = 0x1000 + number, (number + 1) % members
        maker.object(
            address,
            owner=key,
            ago=9,
            stack=at(10 + number, "take"),
            name=f"lock-{number}",
            flags=HELD,
        )
        waits.append(maker.wait(0x1000 + after, key, ago=8, stack=at(20 + number, "book")))
    maker.thread(members + 1, "visitor")
    maker.wait(0x1000, members + 1, ago=4, left=3, stack=at(50, "look"))
    maker.cycle(*waits, certain=certain, main=members > 1)
    return maker


def many(threads=24):
    """Chains of threads that hold locks and wait for others, a semaphore, and a deadlock."""
    maker = deadlock(3)
    random = Random(1)
    for number in range(threads):
        key, address = 100 + number, 0x5000 + number
        maker.thread(key, f"handler-{number}")
        maker.object(
            address, owner=key, ago=9, stack=at(10, "take"), name=f"row {number}", flags=HELD
        )
        if number >= 3:
            maker.wait(0x5000 + random.randrange(number), key, ago=8, stack=at(20, "book"))
    maker.object(0x9000, "Semaphore", name="connections", flags=HELD)
    for number in range(6):
        maker.thread(200 + number, f"client-{number}")
    for number in range(3):
        maker.permit(0x9000, 200 + number, ago=3, stack=at(70, "connect"))
        maker.wait(0x9000, 203 + number, ago=2, stack=at(70, "connect"))
    return maker


class Process:
    """Answers as a golock.sight._client.Client does that is connected to this process."""

    def __init__(self, maker):
        self.maker, self.levels, self.problem = maker, [], ""
        self.process, self.is_closed = os.getpid(), False

    def reconnect(self, process):
        self._fail()
        self.is_closed = False
        return self

    def hello(self):
        return {"command": "python shop/app.py"}

    def image(self, sections=0):
        self._fail()
        return Image(self.maker.image())

    def set_level(self, level):
        self._fail()
        self.levels.append(level)
        self.maker.level = level

    def _fail(self):
        if self.problem:
            self.is_closed = True
            raise ClientError(self.problem)
