"""Tasks of several event loops and threads contend for a lock while tasks are cancelled."""

from __future__ import annotations

import os

import pytest

PROGRAM = """
import sys
import golock
sys.path.insert(0, {folder!r})
from contending_tasks import Contest

contest = Contest(getattr(golock, sys.argv[1])())
contest.run(int(sys.argv[2]))
assert contest.lock.acquire(False)
print(contest.count - contest.expected, contest.count, contest.cancelled)
"""


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
@pytest.mark.parametrize("setting", ["GOLOCK_HANDOFF=0.001", "GOLOCK_HANDOFF=0", "GOLOCK_CORE=0"])
def test_nothing_is_lost(numbers, stress, kind, setting):
    name, _, value = setting.partition("=")
    lost, taken, cancelled = numbers(
        PROGRAM.format(folder=os.path.dirname(__file__)),  # noqa: PTH120
        kind,
        stress.size(10_000, 1_000_000),
        env={**os.environ, name: value, "PYTHONWARNINGS": "ignore"},
        timeout=280,
    )
    assert lost == 0
    stress.count("acquires of threads and tasks", taken)
    stress.count("cancelled tasks", cancelled)


CONSUMERS = """
import asyncio, random, sys, threading
import golock

items, rounds = 0, int(sys.argv[1])
lock = golock.Lock()
condition, room = golock.Condition(lock), golock.Condition(lock)
consumed, cancelled, totals = 0, 0, threading.Lock()

def produce():
    global items
    for _ in range(rounds):
        with lock:
            room.wait_for(lambda: items < 5)
            items += 1
            condition.notify()

async def consume(taken):
    global items
    async with condition:
        while not items:
            await condition.wait_async(random.choice([None, 0.001]))
        items -= 1
        room.notify()
        taken.append(None)

async def loop(total):
    global consumed, cancelled
    taken, tasks, cancels = [], set(), 0
    while consumed < total:
        while len(tasks) < 10:
            tasks.add(asyncio.create_task(consume(taken)))
        await asyncio.sleep(0)
        for task in list(tasks):
            if task.done():
                tasks.discard(task)
            elif random.random() < 0.2:
                task.cancel()
                cancels += 1
        with totals:
            consumed += len(taken)
        taken.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with totals:
        consumed += len(taken)
        cancelled += cancels

total = 2 * rounds
threads = [threading.Thread(target=produce) for _ in range(2)]
threads += [threading.Thread(target=lambda: asyncio.run(loop(total))) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(consumed - total, items, cancelled)
"""


def test_every_item_is_consumed(numbers, stress):
    lost, left, cancelled = numbers(CONSUMERS, stress.size(2_000, 200_000), timeout=280)
    assert (lost, left) == (0, 0)
    stress.count("cancelled tasks", cancelled)


NOTIFIED = """
import asyncio, random, re, sys, threading, time
import golock

rounds = int(sys.argv[1])
condition = golock.Condition(golock.Lock())
woken, sent, slow = 0, 0, 0
over = False

def waiters():
    return int(re.search(r", (\\d+)\\)>$", repr(condition))[1])

def thread():
    global woken
    with condition:
        while not over:
            notified = condition.wait(random.choice([None, 0.01]))
            woken += notified

async def task():
    global woken
    async with condition:
        while not over:
            notified = await condition.wait_async(random.choice([None, 0.01]))
            woken += notified

async def loop():
    global slow
    tasks = [asyncio.create_task(task()) for _ in range(3)]
    while not over:
        await asyncio.sleep(0.001)
        if random.random() < 0.005:
            slow += 1
            time.sleep(0.15)
    await asyncio.gather(*tasks)

threads = [threading.Thread(target=thread) for _ in range(3)]
threads += [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(3)]
for each in threads:
    each.start()
while sent < rounds:
    with condition:
        n = min(waiters(), random.randrange(3))
        condition.notify(n)
        sent += n
    time.sleep(0.001)
while woken < sent:
    time.sleep(0.01)
with condition:
    surplus = woken - sent
    over = True
    condition.notify_all()
for each in threads:
    each.join()
print(surplus, sent, slow)
"""


def test_notifications_end_as_many_waits(numbers, stress):
    """Loops are blocked for longer than the patience with them; waits reach their limits."""
    surplus, sent, slow = numbers(NOTIFIED, stress.size(1_000, 20_000), timeout=280)
    assert surplus == 0
    stress.count("notifications", sent)
    stress.count("blocked loops", slow)
