"""Programs that end while sight is on: daemon threads wait and hold, and clients read.

PYTHONMALLOC=debug overwrites memory that is freed.
"""

from __future__ import annotations

import os

import pytest

PROGRAM = """
import os, random, sys, threading, time
import golock
from golock import sight
# A daemon thread that imports while the interpreter ends crashes it.
from golock.sight import _client, _model, _samples

os.environ["XDG_RUNTIME_DIR"] = sys.argv[2]
choose = random.Random(int(sys.argv[1]))
sight.start(choose.choice(["waits", "owners", "order"]),
            on_deadlock=choose.choice(["raise", None, lambda found: None]), threshold=0.01)
sight.listen()
lock, rlock, semaphore = golock.Lock(), golock.RLock(), golock.Semaphore(2)
event, condition = golock.Event(), golock.Condition()

def with_locks():
    with lock, rlock:
        pass

def with_semaphore():
    with semaphore:
        time.sleep(0.0001)

def with_condition():
    with condition:
        condition.notify()
        condition.wait(0.001)

calls = [with_locks, with_semaphore, with_condition, lambda: event.wait(0.001), sight.snapshot]

def work(seed):
    mine = random.Random(seed)
    while True:
        mine.choice(calls)()

def read():
    with _client.Client(os.getpid()) as client:
        while True:
            client.image()
            client.set_level(choose.randrange(4))

for seed in range(6):
    threading.Thread(target=work, args=(seed,), daemon=True).start()
if choose.random() < 0.5:
    threading.Thread(target=read, daemon=True).start()
if choose.random() < 0.3:
    lock.acquire()
time.sleep(choose.random() * 0.1)
"""


@pytest.mark.slow
def test_programs_end_while_sight_is_on(python, stress, tmp_path):
    debug = {**os.environ, "PYTHONMALLOC": "debug"}
    programs = stress.size(12, 400)
    for seed in range(programs):
        result = python(PROGRAM, str(seed), str(tmp_path), env=debug)
        assert (result.returncode, result.stderr, result.stdout) == (0, "", ""), (seed, result)
    stress.count("programs that ended while sight was on", programs)
    assert not list(tmp_path.rglob("*.sock"))
