"""A program for golock.sight to look at, which two locks keep busy, until its input ends."""

import sys
import threading
import time

import golock
import golock.sight

accounts = golock.Lock()
journal = golock.Lock()
ended = threading.Event()
golock.sight.name(accounts, "accounts")
golock.sight.name(journal, "journal")
both = threading.Barrier(2)


def hold():
    with accounts:
        ended.wait()


def book():
    if accounts.acquire():
        accounts.release()


def lock_both(first, second):
    with first:
        both.wait()
        if second.acquire(timeout=1000):
            second.release()


def deadlock():
    locks = [
        golock.Lock(),
        golock.Lock(),
    ]
    for index, lock in enumerate(locks):
        golock.sight.name(lock, f"side{index}")
    for index, name in enumerate(["left", "right"]):
        threading.Thread(
            target=lock_both, args=(locks[index], locks[1 - index]), name=name, daemon=True
        ).start()


def contend():
    while not ended.is_set():
        with journal:
            time.sleep(0.001)


golock.sight.listen()
for target, name in [(hold, "holder"), (book, "clerk"), (contend, "a"), (contend, "b")]:
    threading.Thread(target=target, name=name, daemon=True).start()
    while name == "holder" and not accounts.locked():
        pass
if "deadlock" in sys.argv:
    deadlock()
print("ready", flush=True)
sys.stdin.read()
