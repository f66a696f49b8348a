"""A process lists the folder of pages once, and errors name the lock's file."""

from __future__ import annotations

import errno
import os
import secrets
import subprocess

import pytest

from golock import process


def test_folder_is_listed_once(monkeypatch):
    listed = []
    scan = os.scandir
    monkeypatch.setattr(process, "_swept", set(), raising=False)
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
    names = [secrets.token_hex(8) for _ in range(3)]
    locks = [process.Lock(name) for name in names]
    for lock, name in zip(locks, names, strict=True):
        assert lock.name == name
        process.unlink(name)
    assert listed == [process.folder()]


@pytest.mark.parametrize("inodes", [2, 3])
def test_no_room_for_another_file(python, inodes):
    """The root and the folder are two; the page's file has two names for a moment."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs mount namespaces")
    program = f"""if True:
        import subprocess
        mount = "mount -t tmpfs -o nr_inodes={inodes} tmpfs /dev/shm"
        subprocess.run(mount, shell=True, check=True)
        from golock.process import Lock
        try:
            Lock("small")
        except OSError as error:
            print(error)
        """
    code = """
        import os, sys
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-c", sys.argv[1]])
        """
    path = f"/dev/shm/golock-{os.geteuid()}/small"
    expected = f"[Errno {errno.ENOSPC}] No space left on device: '{path}'\n"
    assert python(code, program).stdout == expected
