"""A signal handler may open a process lock while its thread opens one."""

from __future__ import annotations


def test_handler_opens_a_lock(python, check):
    program = """
        import secrets, signal
        from golock import process

        name = secrets.token_hex(8)
        opened = []
        signal.signal(signal.SIGUSR1, lambda *_: opened.append(process.Lock(name)))
        make = process._make

        def interrupted(*arguments):
            process._make = make
            signal.raise_signal(signal.SIGUSR1)
            return make(*arguments)

        process._make = interrupted
        lock = process.Lock(name)
        with lock:
            print(opened[0].locked())
        process.unlink(name)
        """
    check(python(program, timeout=60), "True\n")
