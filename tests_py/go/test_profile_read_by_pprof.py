"""A profile of waits, read by the package that go tool pprof uses, and by the tool."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import golock
from go_tool import GO, needs_go, takes_minutes
from golock import sight
from waiting import join

HERE = Path(__file__).resolve().parent

pytestmark = [needs_go, takes_minutes]


def go(*arguments, **options):
    environment = {**os.environ, "PPROF_TMPDIR": os.devnull}
    result = subprocess.run(
        [GO, *arguments], env=environment, capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def hold(lock):
    with lock:
        time.sleep(0.01)


def fight(lock):
    for _ in range(5):
        hold(lock)


@pytest.fixture(scope="module")
def profile():
    with sight.profile() as profile:
        table, journal = golock.Lock(), golock.RLock()
        threads = [
            threading.Thread(target=fight, args=(lock,), name=f"worker {number}")
            for number in range(3)
            for lock in (table, journal)
        ]
        for thread in threads:
            thread.start()
        join(threads)
    return profile


@pytest.fixture(scope="module")
def path(profile, tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "waits.pb.gz"
    profile.write(path)
    return path


@pytest.fixture(scope="module")
def read(path):
    return json.loads(go("run", "-buildvcs=false", "./readprofile", str(path), cwd=HERE))


def test_what_it_says_of_itself(read, profile):
    assert read["types"] == [
        "contentions/count",
        "delay/nanoseconds",
        "gil_delay/nanoseconds",
        "hold/nanoseconds",
    ]
    assert (read["default"], read["functions"]) == ("delay", True)
    assert (read["period"], read["duration"]) == (profile.period, profile.nanoseconds)
    assert abs(read["time"] - profile.began) < 1000
    assert f"{profile.waits} waits" in read["comments"][0]


def test_both_sides_have_the_same_sums(read, profile):
    sums = {"waiter": Counter(), "holder": Counter()}
    for sample in read["samples"]:
        sums[sample["Labels"]["side"]].update(sample["Values"])
    hold = sums["holder"].pop("hold")
    assert sums["waiter"].pop("hold") == 0
    assert sums["waiter"] == sums["holder"]
    waits = [sample for sample in profile.samples if not sample.is_hold]
    assert sums["waiter"]["delay"] == sum(sample.delay for sample in waits) > 0
    assert hold == sum(sample.delay for sample in profile.samples if sample.is_hold) > 0


def is_wait_of_a_worker(sample):
    labels = sample["Labels"]
    workers = [f"worker {number}" for number in range(3)]
    return (
        labels["side"] == "waiter"
        and labels["kind"] in ("Lock", "RLock")
        and labels["thread"] in workers
    )


def test_the_labels(read):
    waits = [each for each in read["samples"] if is_wait_of_a_worker(each)]
    assert {each["Labels"]["kind"] for each in waits} == {"Lock", "RLock"}
    locks = {each["Labels"]["lock"] for each in waits}
    site = re.escape(Path(__file__).name)
    assert all(re.fullmatch(rf"R?Lock {site}:\d+ \(profile\)", lock) for lock in locks)
    assert all(each["Labels"]["holder"].startswith(f"{__file__}:") for each in waits)


def test_the_stacks(read):
    for sample in read["samples"]:
        if sample["Labels"]["kind"] == "Lock" and is_wait_of_a_worker(sample):
            functions = [frame["Function"] for frame in sample["Stack"]]
            assert functions[:2] == [f"{Path(__file__).stem}.hold", f"{Path(__file__).stem}.fight"]
            run = getattr(threading.Thread.run.__code__, "co_qualname", "run")
            assert f"threading.{run}" in functions
            assert sample["Stack"][0]["File"] == __file__
            assert sample["Stack"][0]["Line"] == hold.__code__.co_firstlineno + 1


def test_the_tool(path):
    both = go("tool", "pprof", "-top", "-tagroot=side", str(path))
    (waiter,), (holder,) = (
        re.findall(rf" (\S+) +[\d.]+%  {side}$", both, re.MULTILINE)
        for side in ("waiter", "holder")
    )
    assert waiter == holder
    waiters = go("tool", "pprof", "-top", "-tagfocus=side=waiter", str(path))
    assert f"{Path(__file__).stem}.hold" in waiters
    assert "unknown" not in waiters
    raw = go("tool", "pprof", "-raw", str(path))
    assert "contentions/count delay/nanoseconds[dflt] gil_delay/nanoseconds hold/nanoseconds" in raw
    assert "side:[waiter]" in raw
    holds = go("tool", "pprof", "-top", "-sample_index=hold", str(path))
    assert f"{Path(__file__).stem}.hold" in holds
