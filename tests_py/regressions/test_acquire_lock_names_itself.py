"""From 3.15 on, errors about acquire_lock's arguments name acquire_lock, not acquire."""

from __future__ import annotations

import _thread
import re

import pytest

import golock


@pytest.mark.parametrize("name", ["acquire", "acquire_lock"])
@pytest.mark.parametrize(
    ("args", "kwargs"), [((True, 0, 0), {}), ((), {"a": 1}), ((True,), {"blocking": True})]
)
def test_names_in_messages(name, args, kwargs):
    def named(lock):
        with pytest.raises(TypeError) as raised:
            getattr(lock, name)(*args, **kwargs)
        return re.findall(r"(\w+)\(\)", str(raised.value))

    assert named(golock.allocate_lock()) == named(_thread.allocate_lock()) != []
