"""16 threads call two cached functions: one with a lock, one whose callers wait for each other."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from cachetools import LRUCache, cached
from whose import whose

THREADS, CALLS, KEYS, SIZE = 16, 2_000, 50, 20

computed: Counter[int] = Counter()


@cached(LRUCache(SIZE), lock=threading.Lock(), info=True)
def square(number: int) -> int:
    return number * number


@cached(LRUCache(KEYS), condition=threading.Condition(), info=True)
def once(number: int) -> int:
    computed[number] += 1
    time.sleep(0.001)  # so that other threads ask for the same number
    return -number


def work(thread: int) -> int:
    numbers = [(thread + call) * (call % 7 + 1) % KEYS for call in range(CALLS)]
    return sum(square(number) == number * number and once(number) == -number for number in numbers)


def main() -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        assert sum(threads.map(work, range(THREADS))) == THREADS * CALLS
    info = square.cache_info()
    assert info.hits + info.misses == THREADS * CALLS
    assert info.currsize == len(square.cache) == SIZE
    assert set(computed.values()) == {1}
    assert once.cache_info().misses == len(computed) == KEYS
    print(json.dumps([whose(lock) for lock in (square.cache_lock, once.cache_condition)]))


if __name__ == "__main__":
    main()
