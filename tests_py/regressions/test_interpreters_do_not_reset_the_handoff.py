"""Importing golock in a second interpreter does not reset the hand-off threshold."""

from __future__ import annotations

import os

import pytest


def test_import_in_another_interpreter_leaves_the_threshold_alone(python, check):
    pytest.importorskip("_testcapi")
    result = python(
        """
        import _testcapi, os
        import golock
        before = golock.get_handoff()
        golock.set_handoff(0)
        assert _testcapi.run_in_subinterp('import golock') == 0
        print(before, golock.get_handoff())
        """,
        env=dict(os.environ, GOLOCK_HANDOFF="0.005"),
    )
    check(result, "0.005 0.0\n")
