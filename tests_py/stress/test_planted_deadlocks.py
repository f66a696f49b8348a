"""Every planted deadlock is told, once, with its members."""

from __future__ import annotations

from planted_deadlocks import plant


def test_planted_deadlocks_are_told(stress):
    outcome = plant(programs=stress.size(30, 2000), parked=stress.size(200, 2000))
    print(outcome)
    assert outcome.missed == 0
    assert outcome.wrong == 0
    stress.count("deadlocks found", outcome.told)
