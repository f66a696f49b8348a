"""golock.sight.profile: what waits cost, against drivers that know it."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

import jsonschema
import pytest

import golock
from golock import _golock, sight
from golock.sight import _formats, _image, _profile
from golock.sight._client import ClientError
from golock.sight._image import Image
from golock.sight._samples import Profile
from sight_images import NOW, SECOND, Maker
from waiting import join, start, wait_until

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
PERIOD = 20e-6  # the default


@pytest.fixture(autouse=True)
def _sight():
    yield
    sight.start("off", period=PERIOD)


class Driver:
    """Lets a thread wait, again and again, and knows for how long it has waited."""

    def __init__(self, thing, wait, end, begin=lambda: None):
        self.thing, self.wait, self.begin, self.end = thing, wait, begin, end
        self.least = self.most = self.waits = 0

    def run(self, times, seconds):
        for _ in range(times):
            self.begin()
            thread = start(self._measure)
            wait_until(lambda: waits_for(self.thing), "waits")
            begun = time.monotonic_ns()
            time.sleep(seconds)
            self.least += time.monotonic_ns() - begun
            self.end()
            join([thread])

    def _measure(self):
        begun = time.monotonic_ns()
        self.wait()
        self.most += time.monotonic_ns() - begun
        self.waits += 1


def of_lock():
    lock = golock.Lock()
    lock.acquire()
    return lock, lock.acquire, lock.release


def of_rlock():
    lock = golock.RLock()
    taken, let_go = golock.Semaphore(0), golock.Semaphore(0)

    def own():
        with lock:
            taken.release()
            let_go.acquire()

    def begin():
        start(own)
        taken.acquire()

    def wait():
        with lock:
            pass

    return lock, wait, let_go.release, begin


def of_semaphore():
    semaphore = golock.Semaphore(0)
    return semaphore, semaphore.acquire, semaphore.release


def of_event():
    event = golock.Event()

    def wait():
        event.wait()
        event.clear()

    return event, wait, event.set


def of_condition():
    condition = golock.Condition()

    def wait():
        with condition:
            condition.wait()

    def end():
        with condition:
            condition.notify()

    return condition, wait, end


def of_barrier():
    barrier = golock.Barrier(2)
    return barrier, barrier.wait, barrier.wait


KINDS = {
    "Lock": of_lock,
    "RLock": of_rlock,
    "Semaphore": of_semaphore,
    "Event": of_event,
    "Condition": of_condition,
    "Barrier": of_barrier,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_total_is_what_the_driver_has_waited(kind):
    sight.start("waits", period=0)
    driver = Driver(*KINDS[kind]())
    with sight.profile(level="waits") as profile:
        driver.run(3, 0.1)
    samples = [each for each in profile.samples if each.kind == kind and "_measure" in each.thread]
    total = sum(each.delay + each.gil_delay for each in samples)
    # A condition's waiter waits for the lock of the condition too, but hardly ever for long.
    assert sum(each.count for each in samples) == driver.waits == 3
    assert 0.99 * driver.least <= total <= 1.01 * driver.most


def test_sampled_totals():
    """The standard deviation of a total is below the root of period / total, which is 1 %."""
    sight.start("waits", period=50e-6)
    balls = [golock.Semaphore(0) for _ in range(2)]
    stop = threading.Event()

    def play(side):
        while not stop.is_set():
            balls[side].acquire()
            balls[1 - side].release()

    with sight.profile(level="waits") as profile:
        threads = [start(play, side) for side in range(2)]
        balls[0].release()
        wait_until(lambda: profile.update() or profile.delay > SECOND // 2, "has waited for 0.5 s")
        stop.set()
        for ball in balls:
            ball.release()
        join(threads)
    samples = [
        each for each in profile.samples if each.kind == "Semaphore" and "play" in each.thread
    ]
    assert sum(each.delay for each in samples) == pytest.approx(profile.delay, rel=0.05)
    assert sum(each.count for each in samples) != profile.waits


def of(lock, profile):
    """Return the samples of a lock that was made before sight was switched on.

    Threads that other tests have left behind wait, too.
    """
    return [each for each in profile.samples if each.lock == f"Lock at {id(lock):#x}"]


def waits_for(thing):
    return any(wait.lock.id == id(thing) for wait in sight.snapshot().waits)


def test_every_wait_is_counted():
    """Also those that end while they spin, whose stacks are not recorded."""
    lock = golock.Lock()
    sight.start("waits", period=1000)
    with lock, sight.profile(level="waits") as profile:
        for _ in range(300):
            lock.acquire(timeout=1e-6)
    assert profile.waits == 300
    assert profile.delay + profile.gil_delay >= 300 * 1000
    assert sum(each.count for each in of(lock, profile)) < 300


def test_nothing_is_sampled_away_without_a_period():
    lock = golock.Lock()
    sight.start("waits", period=0)
    with lock, sight.profile(level="waits") as profile:
        for _ in range(300):
            lock.acquire(timeout=1e-6)
    (sample,) = of(lock, profile)
    assert (sample.count, sample.delay) == (profile.waits, profile.delay) == (300, sample.delay)
    assert sample.stack[-1].function.rpartition(".")[2] == (
        "test_nothing_is_sampled_away_without_a_period"
    )


def hold(lock, taken, let_go):
    with lock:
        taken.set()
        let_go.wait()


@pytest.mark.skipif(not HAS_GIL, reason="a waiter reads its holder's stack with the GIL")
def test_the_holder_is_where_it_was_when_the_wait_began():
    lock, taken, let_go = golock.Lock(), golock.Event(), golock.Event()
    sight.name(lock, "the table")
    with sight.profile() as profile:
        holder = threading.Thread(target=hold, args=(lock, taken, let_go), name="the holder")
        holder.start()
        taken.wait()
        waiter = threading.Thread(target=lock.acquire, name="the waiter")
        waiter.start()
        wait_until(lambda: waits_for(lock), "waits")
        let_go.set()
        join([holder, waiter])
    (sample,) = [each for each in profile.samples if each.lock == "the table" and not each.is_hold]
    assert (sample.thread, sample.holding_thread) == ("the waiter", "the holder")
    line = hold.__code__.co_firstlineno + 3  # let_go.wait()
    assert ("hold", line) in [(frame.function, frame.line) for frame in sample.holder]
    assert "hold" not in [frame.function for frame in sample.stack]
    (top,) = [each for each in profile.top() if each.lock == "the table"]
    assert (top.held_at.function, top.held_at.line) == ("hold", line)


def test_holds_are_as_long_as_the_driver_knows():
    lock = golock.Lock()
    least = most = 0
    with sight.profile() as profile:
        for _ in range(4):
            begun = time.monotonic_ns()
            with lock:
                taken = time.monotonic_ns()
                time.sleep(0.05)
                least += time.monotonic_ns() - taken
            most += time.monotonic_ns() - begun
    (sample,) = [each for each in of(lock, profile) if each.is_hold]
    tick = time.clock_getres(6) * SECOND  # CLOCK_MONOTONIC_COARSE
    assert least - 4 * tick <= sample.delay <= most + 4 * tick
    assert sample.stack[-1].function.endswith("test_holds_are_as_long_as_the_driver_knows")


def test_a_wait_under_way():
    lock = golock.Lock()
    lock.acquire()
    sight.start("waits")
    begun = time.monotonic_ns()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    time.sleep(0.1)
    with sight.profile(level="waits") as within:
        time.sleep(0.01)
    with sight.profile(level="waits") as last:
        lock.release()
        join([thread])
    most = time.monotonic_ns() - begun
    (sample,) = of(lock, within)
    assert (sample.count, sample.delay + sample.gil_delay) == (0, within.nanoseconds)
    (sample,) = of(lock, last)
    assert sample.count == 1
    assert 0 < sample.delay + sample.gil_delay <= last.nanoseconds < most


def test_the_table_is_bounded():
    """Locks that are made before the start have no site, so each is known by its address."""
    locks = [golock.Lock() for _ in range(17000)]
    for lock in locks:
        lock.acquire()
    sight.start("waits", period=0)
    for lock in locks:
        lock.acquire(timeout=1e-9)
    image = Image(_golock.sight_image(1 << _image.SAMPLES))
    ended = [each for each in image.samples if not each.flags & _image.SAMPLE_UNDER_WAY]
    assert len(ended) < 1 << 14
    assert image.header.dropped_samples > 0
    assert sum(each.number for each in ended) == image.header.ended_waits == 17000
    assert sum(each.delay for each in ended) == image.header.delay


def test_an_exception_survives_the_wait_for_the_lock(numbers):
    """The handler raises while the main thread waits at a condition, whose lock is then held."""
    seen = numbers(
        """
        import os, signal, threading, time
        import golock
        from golock import sight
        from waiting import asleep_in_kernel, start, wait_until

        def handler(*_):
            raise KeyError

        signal.signal(signal.SIGUSR1, handler)
        sight.start("waits")
        condition = golock.Condition()
        main = threading.current_thread()

        def interrupt():
            wait_until(lambda: asleep_in_kernel(main), "sleeps")
            time.sleep(0.03)  # so that the name of the thread is read again
            with condition:
                os.kill(os.getpid(), signal.SIGUSR1)
                wait_until(lambda: [w.lock.kind for w in sight.snapshot().waits] == ["RLock"], "")

        thread = start(interrupt)
        try:
            with condition:
                condition.wait()
        except KeyError:
            print(1)
        """
    )
    assert seen == [1]


def test_an_rlock_is_named_by_the_caller_of_threading_rlock(python, check):
    """threading.RLock is a function, whose line would be the site of every RLock."""
    result = python(
        """
        import threading
        import golock
        from golock import sight

        golock.install()
        sight.start("waits")
        lock = threading.RLock()
        with lock:
            print(*(each.name for each in sight.snapshot().locks if each.id == id(lock)))
            thread = threading.Thread(target=lock.acquire, args=(True, 0.001))
            thread.start()
            thread.join()
        print(*(each.name for each in sight.snapshot().locks if each.id == id(lock)))
        """
    )
    check(result, 2 * "RLock <string>:8 (<module>)\n")


def test_a_child_has_none_of_its_parents_samples(numbers):
    parent, child, status = numbers(
        """
        import os, warnings
        import golock
        from golock import sight

        warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
        sight.start("waits", period=0)
        lock = golock.Lock()
        with lock, sight.profile(level="waits") as profile:
            lock.acquire(timeout=0.001)
        print(len(profile.samples), flush=True)
        process = os.fork()
        if process == 0:
            with lock, sight.profile(level="waits") as profile:
                lock.acquire(timeout=0.001)
            print(profile._last.header.ended_waits, flush=True)
            os._exit(0)
        print(os.waitpid(process, 0)[1])
        """
    )
    assert (parent, child, status) == (1, 1, 0)


def test_the_level_is_set_back():
    with sight.profile():
        assert sight.level() == "owners"
    assert sight.level() == "off"
    sight.start("owners")
    with sight.profile(level="waits"):
        assert sight.level() == "owners"
    assert sight.level() == "owners"
    sight.stop()
    with sight.profile(level="waits") as profile:
        sight.start("owners")
    assert sight.level() == "owners"
    assert profile.stop() is profile


WORK = [("/app/main.py", 3, "main"), ("/app/work.py", 7, "Worker.run")]
HOLD = [("/app/main.py", 3, "main"), ("/usr/lib/python3.11/logging/__init__.py", 9, "Handler.emit")]


def first_and_last():
    """Return a profile of two images."""
    first, last = Maker(), Maker()
    for maker, more in (first, 0), (last, 1):
        maker.ended = (10 + 4 * more, 500, 20 + 2 * more)
        maker.sample(
            2,
            0,
            stack=WORK,
            holder=HOLD,
            created=("/app/table.py", 1, "Table"),
            kind="RLock",
            number=3 + 4 * more,
            delay=100 + 1000 * more,
            gil_delay=10 + 7 * more,
            thread_name="worker",
            holding_name="holder; 1",
        )
    last.sample(3, 0x1234, stack=WORK, number=2, delay=50, thread_name="other")
    last.sample(
        2, 0, name="a name", stack=HOLD, flags=_image.SAMPLE_HOLD, number=1, delay=4_000_000
    )
    images = iter([Image(first.image()), Image(last.image())])
    return Profile(lambda: next(images)).stop()


def test_the_difference_of_two_images():
    rlock, other, held = first_and_last().samples
    assert (rlock.lock, rlock.kind) == ("RLock table.py:1 (Table)", "RLock")
    assert (rlock.count, rlock.delay, rlock.gil_delay) == (4, 1000, 7)
    assert (other.lock, other.count, other.holder) == ("Lock at 0x1234", 2, ())
    assert (held.lock, held.is_hold, held.delay) == ("a name", True, 4_000_000)


def test_the_first_image_does_not_count_after_another_start():
    first, last = Maker(), Maker()
    first.sample(2, 1, number=3, delay=100)
    last.sample(2, 1, number=1, delay=30)
    images = [Image(first.image()), Image(last.image())]
    images[0].header = images[0].header._replace(started=5)
    (sample,) = Profile(lambda: images.pop(0)).stop().samples
    assert (sample.count, sample.delay) == (1, 30)


def under_way(maker, thread, seconds, stack=WORK):
    maker.sample(
        thread, 1, stack=stack, flags=_image.SAMPLE_UNDER_WAY, delay=round(seconds * SECOND)
    )


def test_of_waits_under_way_the_part_within_counts():
    first, last = Maker(), Maker()
    for maker in first, last:
        maker.sample(9, 1, stack=HOLD, number=7, delay=7)
    last.sample(2, 1, stack=WORK, number=1, delay=5 * SECOND)
    under_way(first, 2, 4)  # has ended
    under_way(first, 3, 3)  # goes on
    under_way(last, 3, 5)
    under_way(last, 4, 1)  # has begun
    under_way(first, 5, 1)  # has been merged
    images = [Image(first.image()), Image(last.image())]
    images[0].header = images[0].header._replace(now=NOW - 2 * SECOND)
    samples = Profile(lambda: images.pop(0)).stop().samples
    assert [(each.thread, each.count, each.delay) for each in samples] == [
        ("thread 2", 1, 1 * SECOND),
        ("thread 3", 0, 2 * SECOND),
        ("thread 4", 1, 1 * SECOND),
    ]


def test_top():
    profile = first_and_last()
    (first, second) = profile.top()
    assert (first.lock, first.count, first.seconds) == ("RLock table.py:1 (Table)", 4, 1e-6)
    assert (first.waited_at.line, first.held_at.line) == (7, 3)
    assert second.held_at is None
    assert str(first) == (
        "1 µs in 4 waits for RLock table.py:1 (Table), waited at /app/work.py:7 in Worker.run, "
        "held at /app/main.py:3 in main"
    )
    assert profile.top(1) == [first]
    assert profile.top(kinds=["Event"]) == []


def test_collapsed_stacks():
    lines = _formats.collapsed(first_and_last()).splitlines()
    assert lines == [
        "other;main.main (main.py:3);work.Worker.run (work.py:7);[Lock at 0x1234] 50",
        "worker;main.main (main.py:3);work.Worker.run (work.py:7);[RLock table.py:1 (Table)] 1000",
    ]


def test_a_semicolon_in_a_name_ends_no_frame():
    maker = Maker()
    images = [Image(maker.image())]
    maker.sample(2, 1, name="a;b\nc", stack=WORK, delay=5)
    images.append(Image(maker.image()))
    text = _formats.collapsed(Profile(lambda: images.pop(0)).stop())
    assert text.splitlines() == [
        "thread 2;main.main (main.py:3);work.Worker.run (work.py:7);[a b c] 5"
    ]


def test_speedscope():
    """The schema is that of speedscope 1.25."""
    document = json.loads(_formats.encode(first_and_last(), "speedscope"))
    schema = Path(__file__).with_name("speedscope.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft7Validator(json.loads(schema)).validate(document)
    frames = document["shared"]["frames"]
    waiters, holders = document["profiles"][:2]
    assert [sum(each["weights"]) for each in document["profiles"]] == [1050, 1050, 7, 4_000_000]
    for profile in document["profiles"]:
        assert profile["endValue"] == sum(profile["weights"])
        assert len(profile["samples"]) == len(profile["weights"])
    assert [frames[index]["name"] for index in waiters["samples"][0]] == [
        "worker",
        "main.main",
        "work.Worker.run",
        "[RLock table.py:1 (Table)]",
    ]
    assert [frames[index]["name"] for index in holders["samples"][0]] == [
        "holder; 1",
        "main.main",
        "logging.Handler.emit",
        "[RLock table.py:1 (Table)]",
    ]
    assert [frames[index]["name"] for index in holders["samples"][1]][1] == "unknown"


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.pb.gz", "pprof"),
        ("a.pprof", "pprof"),
        ("a.collapsed", "collapsed"),
        ("a.folded", "collapsed"),
        ("a.txt", "collapsed"),
        ("a.speedscope.json", "speedscope"),
    ],
)
def test_the_name_says_the_format(tmp_path, name, format_):
    profile = first_and_last()
    profile.write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == _formats.encode(profile, format_)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_unknown_formats(tmp_path):
    profile = first_and_last()
    with pytest.raises(ValueError, match="does not say which format"):
        profile.write(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no such format: 'png'"):
        profile.write(tmp_path / "a.pb.gz", format="png")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_former_file(tmp_path, numbers):
    """The limit on a file's size stands for the disk."""
    path = tmp_path / "a.json"
    path.write_text("before")
    numbers(
        """
        import resource, sys
        from golock import sight

        profile = sight.profile(0.001)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            profile.write(sys.argv[1])
        except OSError:
            pass
        else:
            sys.exit("written")
        """,
        path,
    )
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_device_is_written_and_not_replaced():
    with pytest.raises(OSError, match="No space left"):
        first_and_last().write("/dev/full", format="pprof")
    assert Path("/dev/full").is_char_device()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "file.json")
    first_and_last().write(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "file.json").read_text())["exporter"] == "golock"


class Target:
    """Stands for a connection to a process that dies after some images."""

    def __init__(self, lives=1 << 30, level=0):
        self.lives, self.level, self.levels = lives, level, []
        self.images = iter(range(1 << 30))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def image(self, sections):
        if sections == 1 << 63:
            return Image(Maker(level=self.level).image())
        number = next(self.images)
        if number >= self.lives:
            raise ClientError("process 1 has ended")
        maker = Maker(level=self.level)
        maker.sample(2, 1, stack=WORK, number=number, delay=number * SECOND)
        image = Image(maker.image())
        image.header = image.header._replace(now=NOW + number * SECOND)
        return image

    def set_level(self, level):
        self.level = level
        self.levels.append(level)


@pytest.fixture
def target(monkeypatch):
    def target(**options):
        target = Target(**options)
        monkeypatch.setattr(_profile, "connect", lambda _: target)
        monkeypatch.setattr(_profile, "_INTERVAL", 0.01)
        return target

    return target


def test_the_command(target, tmp_path, capsys):
    process = target()
    path = tmp_path / "a.folded"
    assert _profile.main(["1", "--seconds", "0.03", "-o", str(path)]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert output.endswith("waits for Lock at 0x1, waited at /app/work.py:7 in Worker.run\n")
    assert path.read_text().startswith(
        "thread 2;main.main (main.py:3);work.Worker.run (work.py:7);"
    )
    assert process.levels == [2, 0]


def test_the_command_leaves_a_higher_level(target):
    process = target(level=3)
    assert _profile.main(["1", "--seconds", "0.01"]) == 0
    assert process.levels == []


def test_a_target_that_dies(target, tmp_path, capsys):
    target(lives=3)
    path = tmp_path / "a.json"
    assert _profile.main(["1", "--seconds", "60", "-o", str(path)]) == 1
    output, errors = capsys.readouterr()
    assert output.startswith("2 s in 2 waits")
    assert errors == ("python -m golock profile: process 1 has ended; the profile covers 2.0 s\n")
    assert json.loads(path.read_text())["profiles"][0]["endValue"] == 2 * SECOND


def test_a_target_that_dies_at_once(target, tmp_path, capsys):
    target(lives=1)
    assert _profile.main(["1", "--seconds", "60", "-o", str(tmp_path / "a.json")]) == 1
    assert capsys.readouterr().err == "python -m golock profile: process 1 has ended\n"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(target, capsys):
    target()
    assert _profile.main(["1", "--seconds", "0.01", "-f", "pprof", "-o", "/dev/full"]) == 1
    assert capsys.readouterr().err == (
        "python -m golock profile: /dev/full: No space left on device\n"
    )


def test_a_full_disk_loses_no_output(target, capsys):
    target(lives=3)
    assert _profile.main(["1", "--seconds", "60", "-f", "pprof", "-o", "/dev/full"]) == 1
    assert capsys.readouterr().out.startswith("2 s in 2 waits")


def test_a_folder_that_is_not_there(target, tmp_path, capsys):
    """It is told before the recording."""
    process = target()
    path = tmp_path / "none" / "a.json"
    assert _profile.main(["1", "--seconds", "600", "-o", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"python -m golock profile: {path}: No such file or directory\n"
    )
    assert process.levels == []


def test_a_file_that_cannot_be_made_is_named(tmp_path):
    path = tmp_path / "none" / "a.json"
    with pytest.raises(FileNotFoundError) as caught:
        sight.profile(0.001).write(path)
    assert caught.value.filename == str(path)


def test_ctrl_c_ends_early(target, tmp_path):
    process = target()
    path = tmp_path / "a.json"
    main = threading.main_thread()

    def interrupt():
        wait_until(lambda: process.levels, "has begun")
        signal.pthread_kill(main.ident, signal.SIGINT)

    thread = start(interrupt)
    assert _profile.main(["1", "--seconds", "600", "-o", str(path)]) == 0
    join([thread])
    assert json.loads(path.read_text())["profiles"][0]["endValue"] > 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["x"], "PID"),
        (["1", "--seconds", "0"], "not between 0 and 86400 seconds"),
        (["1", "--seconds", "nan"], "not between 0 and 86400 seconds"),
        (["1", "-o", "a.png"], "does not say which format"),
        (["1", "--level", "all"], "invalid choice"),
    ],
)
def test_bad_arguments(arguments, error, capsys):
    with pytest.raises(SystemExit) as caught:
        _profile.main(arguments)
    assert caught.value.code == 2
    assert error in capsys.readouterr().err


def test_a_process_that_is_not_there(capsys):
    assert _profile.main([str(2**22 + 1)]) == 1
    assert "there is no process" in capsys.readouterr().err
