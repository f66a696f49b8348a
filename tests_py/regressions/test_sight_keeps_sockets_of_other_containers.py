"""A socket of golock.sight was removed when its process had no number in this container."""

import socket
from pathlib import Path

from golock.sight import _place


def test_a_socket_that_is_served_stays(tmp_path):
    # No process has this number: it is above the kernel's limit.
    served, dead = (Path(_place.path(str(tmp_path), (1 << 22) + n)) for n in (1, 2))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(served))
        listener.listen()
        with socket.socket(socket.AF_UNIX) as ended:
            ended.bind(str(dead))
        _place.sweep(str(tmp_path))
        assert list(tmp_path.iterdir()) == [served]
    _place.sweep(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
