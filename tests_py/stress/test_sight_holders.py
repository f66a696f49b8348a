"""Who holds what, read without the GIL while locks change hands and levels change."""

from __future__ import annotations

PROGRAM = """
import itertools, random, sys, threading, time
import golock
from golock import sight

sys.setswitchinterval(0.0001)
seconds = float(sys.argv[1])
names = [f"take_{number}" for number in range(4)]
locks = [golock.Lock(), golock.RLock(), golock.Lock(), golock.RLock()]
semaphore = golock.Semaphore(2)
relay = golock.Lock()
ended = False
function_of = {}

SOURCE = '''
def {name}(lock):
    with lock:
        for _ in range(random.randrange(40)):
            pass
'''

def take(name):
    space = {"random": random}
    exec(compile(SOURCE.format(name=name), name, "exec"), space)
    function = space[name]
    function_of[threading.get_ident()] = name
    for lock in itertools.cycle([*locks, semaphore]):
        if ended:
            return
        function(lock)
        mine = golock.Lock()  # a record that another lock has had before
        function(mine)
        if relay.acquire(False):
            pass
        else:
            try:
                relay.release()  # of any thread's
            except RuntimeError:
                pass

threads = [threading.Thread(target=take, args=[name], daemon=True) for name in names]
sight.start("owners")
for thread in threads:
    thread.start()
while len(function_of) < len(threads):
    pass

known = {id(lock): lock for lock in locks}
held = permits = marked = switches = 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    now = sight.snapshot()
    for lock in now.locks:
        if lock.holder is None or not lock.acquired_at:
            continue
        function = lock.acquired_at[-1].function
        if lock.id in known or lock.created_at and lock.created_at.function == "take":
            held += 1
            assert function_of[lock.holder.identifier] == function, (lock, function_of)
            assert not lock.released_by_another, lock
        marked += lock.id == id(relay) and lock.released_by_another
    for permit in now.permits:
        if permit.lock.id == id(semaphore):
            permits += 1
            assert permit.count == 1, permit
            assert function_of[permit.thread.identifier] == permit.acquired_at[-1].function
    if random.random() < 0.1:
        switches += 1
        sight.start(random.choice(["off", "waits", "owners", "order"]))
        sight.start("owners")
ended = True
for thread in threads:
    thread.join()
sight.snapshot()
left = [lock for lock in sight.snapshot().locks if lock.id in known and lock.state == "held"]
assert not left, left
sight.stop()
print(held, permits, marked, switches)
"""


def test_no_holder_is_made_up(numbers, stress):
    held, permits, marked, switches = numbers(PROGRAM, stress.size(4, 120))
    assert min(held, permits, marked, switches) > 0
    stress.count("holders seen while locks changed hands", held + permits)
    stress.count("switches of levels in mid-hold", switches)


OUTSIDE = """
import os, sys, threading, time
import golock
from golock import sight
from golock.sight import _client

sys.setswitchinterval(0.0001)
seconds, os.environ["XDG_RUNTIME_DIR"] = float(sys.argv[1]), sys.argv[2]
sight.listen()
locks = [golock.Lock() for _ in range(4)]
end = time.monotonic() + seconds

def take():
    while time.monotonic() < end:
        for lock in locks:
            with lock:
                time.sleep(0)

for lock in locks:
    sight.name(lock, "ours")
threads = [threading.Thread(target=take) for _ in range(3)]
for thread in threads:
    thread.start()
switches = looks = 0
with _client.Client(os.getpid()) as client:
    while time.monotonic() < end:
        for level in ("owners", "waits"):
            client.set_level(sight.LEVELS.index(level))
            switches += 1
            for lock in sight.snapshot().locks:
                if lock.name == "ours":
                    looks += 1
                    assert not lock.released_by_another, lock
                    assert level == "owners" or lock.holder is None, lock
for thread in threads:
    thread.join()
sight.stop()
print(switches, looks)
"""


def test_no_release_is_missed_while_the_level_changes_without_the_gil(numbers, stress, tmp_path):
    switches, looks = numbers(OUTSIDE, stress.size(3, 60), tmp_path)
    assert min(switches, looks) > 0
    stress.count("switches of levels from outside, in mid-hold", switches)
