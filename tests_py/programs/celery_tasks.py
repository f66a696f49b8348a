"""Eight tasks for a Celery worker with its default pool, over the broker in the file system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

TASKS = 8

folder = Path(os.environ.get("CELERY_FOLDER", ".")).resolve()
queue, control, results = (folder / name for name in ("queue", "control", "results"))
for each in (queue, control, results):
    each.mkdir(exist_ok=True, parents=True)

app = Celery("celery_tasks", broker="filesystem://", backend=f"file://{results}")
app.conf.broker_transport_options = {
    "data_folder_in": str(queue),
    "data_folder_out": str(queue),
    "control_folder": str(control),
}


@app.task
def square(number: int) -> tuple[int, int, bool]:
    golock = sys.modules.get("golock")
    return number * number, os.getpid(), golock is not None and golock.installed()


def main() -> None:
    """Run a worker with this command line, and print what it did and how it ended."""
    command = [*sys.argv[1:], "-m", "celery", "-A", "celery_tasks", "worker", "-c", "2"]
    environment = {**os.environ, "CELERY_FOLDER": str(folder)}
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command,
            cwd=Path(__file__).parent,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        answers = [square.delay(number) for number in range(TASKS)]
        while worker.poll() is None and not all(answer.ready() for answer in answers):
            time.sleep(0.05)
        values = [answer.get(timeout=1) for answer in answers]
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    finally:
        worker.kill()
    squares, processes, installed = zip(*values, strict=True)
    result = {
        "squares": squares,
        "in other processes": worker.pid not in processes,
        "installed": sorted(set(installed)),
        "status": status,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
