"""16 threads count in one row of an SQLite file, through a QueuePool of at most 6 connections."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from sqlalchemy import QueuePool, create_engine, event, text
from whose import whose

THREADS, TRANSACTIONS, POOL_SIZE, OVERFLOW = 16, 25, 4, 2


def main(path: str) -> None:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=OVERFLOW,
        connect_args={"timeout": 60, "isolation_level": None},
    )
    checked_out: list[int] = []

    @event.listens_for(engine, "connect")
    def configure(connection: object, record: object) -> None:
        connection.execute("pragma synchronous=off")  # type: ignore[attr-defined]

    @event.listens_for(engine, "checkout")
    def count(connection: object, record: object, proxy: object) -> None:
        checked_out.append(engine.pool.checkedout())

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        connection.exec_driver_sql("begin immediate")  # type: ignore[attr-defined]

    with engine.begin() as connection:
        connection.execute(text("create table counter (value integer)"))
        connection.execute(text("insert into counter values (0)"))

    def work(_: None) -> None:
        for _ in range(TRANSACTIONS):
            with engine.begin() as connection:
                value = connection.execute(text("select value from counter")).scalar_one()
                connection.execute(text("update counter set value = :v"), {"v": value + 1})

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, repeat(None, THREADS)))
    with engine.connect() as connection:
        total = connection.execute(text("select value from counter")).scalar_one()
    pool = engine.pool
    assert total == THREADS * TRANSACTIONS
    assert len(checked_out) == total + 2
    assert max(checked_out) <= POOL_SIZE + OVERFLOW
    assert pool.checkedout() == 0
    queue = pool._pool
    locks = [pool._overflow_lock, queue.mutex, queue.not_empty]
    engine.dispose()
    print(json.dumps([whose(lock) for lock in locks]))


if __name__ == "__main__":
    main(sys.argv[1])
