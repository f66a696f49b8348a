"""Every wait at every primitive ends under limits that keep the core away.

limits.py is the program that runs under the limits.
"""

from __future__ import annotations

import pytest

from limits import LIMITS, MOMENTS, NAMES, outcome_of

pytestmark = pytest.mark.slow

SPARE = {  # more and less than a core needs: threads, or MB
    "threads": range(3, 12),
    "memory": range(8, 120, 8),
    "address space": range(8, 240, 16),
}
WARNING = "golock waits without its lock core"


def check(limit, moment, *arguments):
    outcome = outcome_of(limit, moment, *arguments)
    assert outcome.status is not None, f"hangs: {outcome.begun}"
    assert (outcome.status, outcome.stderr) == (0, ""), f"ends: {outcome.begun}"
    if outcome.impossible:
        pytest.skip(outcome.impossible)
    moments = [moment, f"child of {moment}"]
    assert set(outcome.cells) == {(moment, name) for moment in moments for name in NAMES}
    assert all(message.startswith(WARNING) for _, message in outcome.warned), outcome.warned
    for each in moments:
        warned = sum(where == each for where, _ in outcome.warned)
        assert ("without" in outcome.summary(each)) <= warned <= 1
    return outcome


@pytest.mark.parametrize(
    ("limit", "moment"), [(name, moment) for name in LIMITS for moment in LIMITS[name].moments]
)
def test_every_wait_ends(limit: str, moment: str, stress) -> None:
    for first in NAMES[: stress.size(1, len(NAMES))]:
        outcome = check(limit, moment, first)
        for where in (moment, f"child of {moment}"):
            if where in LIMITS[limit].without:
                assert outcome.summary(where).startswith("without")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("limit", SPARE)
def test_with_more_to_spare(limit: str, moment: str, stress) -> None:
    for spare in SPARE[limit][:: stress.size(5, 1)]:
        check(f"{limit}={spare}", moment)
