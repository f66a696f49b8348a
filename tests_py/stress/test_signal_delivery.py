"""Thousands of signals to threads that wait.

If the program hangs, the count of handled signals stops. A watchdog thread then prints all
tracebacks and ends the program.
"""

from __future__ import annotations

import pytest

PRELUDE = """
import faulthandler, os, signal, sys, threading, time
import golock

class Hit(Exception):
    pass

class Handler:
    '''Counts its runs; every other one raises once, when armed.'''
    def __init__(self):
        self.runs = self.raised = 0
        self.armed = False
    def __call__(self, *args):
        self.runs += 1
        if self.armed and self.runs % 2:
            self.armed = False
            self.raised += 1
            raise Hit

handler = Handler()

def interrupted(call, argument):
    '''Return what the call returned, or None if a handler ended it.

    A handler may raise between any two bytecodes, so extend and map make the call and store its
    result in C, where no handler can come in between.'''
    result = []
    try:
        handler.armed = True
        result.extend(map(call, (argument,)))
        handler.armed = False
    except Hit:
        pass
    return result[0] if result else None

def watch():
    '''Check, without golock, that signals go on being handled.'''
    runs = -1
    while not finished.wait(20):
        if handler.runs == runs:
            faulthandler.dump_traceback(all_threads=True)
            os._exit(9)
        runs = handler.runs
finished = threading.Event()
threading.Thread(target=watch, daemon=True).start()

wanted = int(sys.argv[1])
signal.signal(signal.SIGALRM, handler)
def start_timer():
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
def stop_timer():
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.fixture
def under_timer(numbers, stress):
    """Run a program that handles `wanted` signals of a timer, and counts in `done`."""

    def under_timer(short: int, soak: int, program: str) -> None:
        wanted = stress.size(short, soak)
        ending = "finished.set()\nprint(handler.runs, handler.raised, done)\n"
        handled, raised, acquires = numbers(PRELUDE + program + ending, wanted, timeout=200)
        assert handled >= wanted
        stress.count("signals handled in Python", handled)
        stress.count("waits ended by a handler's exception", raised)
        stress.count("acquires under signals", acquires)

    return under_timer


def test_timer_against_a_blocked_acquire(under_timer):
    """The lock is never free while handlers run: each must run during the wait."""
    under_timer(
        2_000,
        20_000,
        """
lock = golock.allocate_lock()
lock.acquire()
done = 0
def free():
    while handler.runs < wanted // 2:
        time.sleep(0.001)
    lock.release()
start_timer()
threading.Thread(target=free).start()
assert lock.acquire()  # handlers return
done += 1
while handler.runs < wanted:
    try:
        handler.armed = True
        lock.acquire()  # every other handler raises
    except Hit:
        pass
    else:
        raise AssertionError('the lock was taken twice')
stop_timer()
lock.release()
assert lock.acquire(False)
""",
    )


def test_timer_against_timed_acquires(under_timer):
    under_timer(
        2_000,
        20_000,
        """
lock = golock.allocate_lock()
lock.acquire()
done = 0
start_timer()
while handler.runs < wanted:
    for timeout in 0.00001, 0.0003, 0.001, 0.02:
        before = time.monotonic()
        assert not lock.acquire(timeout=timeout)
        assert time.monotonic() - before >= timeout
        done += 1
        try:
            handler.armed = True
            assert not lock.acquire(timeout=timeout)
            handler.armed = False
        except Hit:
            pass
        done += 1
stop_timer()
""",
    )


def test_timer_against_contended_acquires(under_timer):
    under_timer(
        500,
        5_000,
        """
lock = golock.allocate_lock()
stop, done = False, 0
def critical_section():
    global done
    seen = done
    for _ in range(20):
        pass
    done = seen + 1
counts = [0] * 4
def fight(k):
    while not stop:
        with lock:
            critical_section()
        counts[k] += 1
fighters = [threading.Thread(target=fight, args=(k,)) for k in range(4)]
for fighter in fighters:
    fighter.start()
start_timer()
mine = 0
while handler.runs < wanted:
    if interrupted(lock.acquire, True):
        critical_section()
        mine += 1
        lock.release()
stop_timer()
stop = True
for fighter in fighters:
    fighter.join()
assert done == mine + sum(counts), (done, mine, counts)
assert lock.acquire(False)
""",
    )


def test_timer_against_waits_at_a_condition(under_timer):
    """Each item is notified to one waiter. Handlers interrupt the main thread, which takes an item
    only if its wait returned: interrupted, it must pass its notification on."""
    under_timer(
        1_000,
        10_000,
        """
condition, progress = golock.Condition(), golock.Condition(golock.allocate_lock())
items, done, stop = 0, 0, False
def take():
    global items, done
    if items > 0:
        items -= 1
        done += 1
        with progress:
            progress.notify()
def consume():
    with condition:
        while not stop:
            take()
            condition.wait()
def produce():
    global items
    for made in range(1, sys.maxsize):
        with condition:
            items += 1
            condition.notify()
        with progress:
            if not progress.wait_for(lambda: done == made, 60):
                os.write(2, b'a notification was lost')
                os._exit(1)
        if handler.runs >= wanted:
            return
consumers = [threading.Thread(target=consume) for _ in range(2)]
producer = threading.Thread(target=produce)
for thread in [*consumers, producer]:
    thread.start()
start_timer()
while producer.is_alive():
    with condition:
        notified = interrupted(condition.wait, 0.003)
        assert condition._is_owned()
        if notified:
            take()
    while items:
        time.sleep(0)
stop_timer()
stop = True
with condition:
    condition.notify_all()
for thread in consumers:
    thread.join()
""",
    )


def test_timer_against_semaphore_event_barrier_and_rlock(under_timer):
    under_timer(
        1_000,
        10_000,
        """
stop, done = False, 0
semaphore, bounded, event = golock.Semaphore(0), golock.BoundedSemaphore(3), golock.Event()
barrier, rlock = golock.Barrier(2), golock.RLock()
released = acquired = 0

def release():
    global released
    while not stop:
        released += 1
        semaphore.release()
        while released - acquired > 5 and not stop:
            time.sleep(0)
def use_bounded():
    while not stop:
        with bounded, bounded:
            time.sleep(0)
def flash():
    while not stop:
        event.set()
        event.clear()
        time.sleep(0.0001)
def arrive():
    while not stop:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            assert stop
def nest():
    while not stop:
        with rlock, rlock:
            time.sleep(0)
threads = [threading.Thread(target=work) for work in (release, use_bounded, flash, arrive, nest)]
for thread in threads:
    thread.start()
start_timer()
while handler.runs < wanted:
    if interrupted(semaphore.acquire, True):
        acquired += 1
        done += 1
    if interrupted(bounded.acquire, True):
        bounded.release()
        done += 1
    result = interrupted(event.wait, None)
    assert result in (True, None)
    result = interrupted(barrier.wait, None)
    assert result in (0, 1, None)
    if interrupted(rlock.acquire, True):
        with rlock:
            done += 1
        rlock.release()
    assert not rlock._is_owned()
stop_timer()
stop = True
barrier.abort()
for thread in threads:
    thread.join()
assert semaphore._value == released - acquired, (semaphore._value, released, acquired)
assert bounded._value == 3
""",
    )


C_HANDLERS = """
import ctypes, faulthandler, signal, sys, threading
import golock
library = ctypes.CDLL(sys.argv[1])
order, wanted = sys.argv[2:4]
def load_core():
    lock = golock.allocate_lock()
    lock.acquire()
    lock.acquire(timeout=0.001)
def install():
    assert library.install(signal.SIGUSR1) == 0
def enable():
    faulthandler.enable()
for step in order.split():
    {'core': load_core, 'handler': install, 'faulthandler': enable}[step]()

lock, never = golock.allocate_lock(), golock.allocate_lock()
never.acquire()
stop, acquires = False, 0
def fight():
    global acquires
    library.become_target()
    while not stop:
        with lock:
            acquires += 1
            for _ in range(20):
                pass
def expire():
    library.become_target()
    while not stop:
        assert not never.acquire(timeout=0.0002)
condition, event, permits = golock.Condition(), golock.Event(), golock.Semaphore(0)
rlock, pair, rounds = golock.RLock(), golock.Barrier(2), 0
def listen():
    library.become_target()
    while not stop:
        with condition:
            condition.wait(0.001)
        event.wait(0.001)
        if permits.acquire(timeout=0.001):
            with rlock, rlock:
                pass
def notify():
    global acquires
    library.become_target()
    while not stop:
        with condition:
            condition.notify()
        event.set()
        event.clear()
        with rlock:
            permits.release(3)  # one for each listener, which then waits for rlock
            permits.acquire()
            acquires += 1
def meet():
    global rounds
    library.become_target()
    try:
        while not stop:
            pair.wait()
            rounds += 1
    except threading.BrokenBarrierError:
        assert stop
def pass_on():  # new threads, for a thread's first call into the core
    def take():
        library.become_target()
        with lock:
            pass
    for _ in range(20):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
works = fight, fight, fight, expire, pass_on, listen, listen, notify, meet, meet
threads = [threading.Thread(target=work) for work in works]
for thread in threads:
    thread.start()
library.start_sending(signal.SIGUSR1, 10_000)
while library.count_handled() < int(wanted):
    assert not never.acquire(timeout=0.01)
library.stop_sending()
stop = True
pair.abort()
for thread in threads:
    thread.join()
assert rounds > 0
assert library.is_as_installed(signal.SIGUSR1)
print(library.count_handled(), library.count_astray(), acquires)
sys.stdout.flush()
"""

ORDERS = ["handler core faulthandler", "faulthandler core handler"]


@pytest.mark.parametrize("order", ORDERS)
def test_handlers_of_c_code_that_need_64_kib_of_stack(numbers, stress, compiled, order):
    wanted = stress.size(20_000, 300_000)
    handled, astray, acquires = numbers(
        C_HANDLERS, compiled("handler.c"), order, wanted, timeout=200
    )
    assert handled >= wanted
    assert astray == 0
    stress.count("signals handled in C, 64 KiB of stack each", handled)
    stress.count("acquires under signals", acquires)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fault", ["of a thread that has waited", "sent to a thread that waits"])
def test_fault_after_many_signals_prints_a_traceback(python, stress, compiled, order, fault):
    result = python(
        C_HANDLERS
        + """
import resource, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
def crash_here():
    assert not never.acquire(timeout=0.001)
    ctypes.string_at(0)
def wait_here():
    never.acquire()
if sys.argv[4] == 'of a thread that has waited':
    thread = threading.Thread(target=crash_here)
    thread.start()
else:
    thread = threading.Thread(target=wait_here)
    thread.start()
    while open(f'/proc/self/task/{thread.native_id}/stat').read().rpartition(') ')[2][0] != 'S':
        time.sleep(0.001)
    signal.pthread_kill(thread.ident, signal.SIGSEGV)
thread.join()
""",
        compiled("handler.c"),
        order,
        "2000",
        fault,
    )
    assert result.returncode == -11
    assert "Fatal Python error: Segmentation fault" in result.stderr
    assert ("crash_here" if fault.startswith("of") else "wait_here") in result.stderr
    stress.count("faults with a traceback")


def test_dispositions_before_and_after_many_signals(python, check, stress, compiled):
    """Compare what signal.getsignal says, what the kernel holds, and what a child inherits."""
    result = python(
        """
import ctypes, faulthandler, signal, subprocess, sys, threading
import golock
library = ctypes.CDLL(sys.argv[1])

class Action(ctypes.Structure):  # the kernel's struct sigaction
    _fields_ = [('handler', ctypes.c_void_p), ('flags', ctypes.c_ulong),
                ('restorer_and_mask', ctypes.c_ulong * 2)]
libc = ctypes.CDLL(None)
number = {'x86_64': 13, 'aarch64': 134}[__import__('platform').machine()]
def kernel(signum):
    action = Action()
    libc.syscall(number, signum, None, ctypes.byref(action), 8)
    return action.handler, action.flags & ~0x04000000  # the C library sets SA_RESTORER

STATUS = '''
for line in open("/proc/self/status"):
    if line.startswith(("SigBlk", "SigIgn", "SigCgt")):
        print(line)
'''
def state():
    masks = 'SigBlk', 'SigIgn', 'SigCgt'
    own = [line for line in open('/proc/self/status') if line.startswith(masks)]
    return ([signal.getsignal(n) for n in signal.valid_signals()],
            [kernel(n) for n in range(1, 65)], own,
            signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            subprocess.check_output([sys.executable, '-I', '-S', '-c', STATUS]))

faulthandler.enable()
library.install(signal.SIGUSR1)
library.install(signal.SIGPROF)
library.install(signal.SIGCHLD)
signal.signal(signal.SIGUSR2, lambda *args: None)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
threading.Thread(target=int).start()  # glibc installs a handler with the first thread
before = state()
print(before == state())

lock = golock.allocate_lock()
rounds = int(sys.argv[2])
same = []
def fight():
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for turn in range(rounds):
        with lock:
            for _ in range(200):
                pass
        same.append(mask == signal.pthread_sigmask(signal.SIG_BLOCK, ()))
threads = [threading.Thread(target=fight) for _ in range(4)]
for thread in threads:
    library.start_sending(signal.SIGUSR1, 10_000)
    thread.start()
    library.stop_sending()
for thread in threads:
    thread.join()
lock.acquire()
lock.acquire(timeout=0.001)
print(golock._golock.core()['loaded'], all(same), before == state())
""",
        compiled("handler.c"),
        str(stress.size(2_000, 50_000)),
    )
    check(result, "True\nTrue True True\n")
