"""Under a limit that a core needs more than, every wait at every primitive ends, with a core or without.

limits.py is what runs under the limits.
"""

from __future__ import annotations

import pytest
from limits import LIMITS, MOMENTS, NAMES, outcome_of

SPARE = {  # more and less than a core needs: threads, or MB
    "threads": range(3, 12),
    "memory": range(8, 120, 8),
    "address space": range(8, 240, 16),
}
WARNING = "golock waits without its lock core"


under_each_limit = pytest.mark.parametrize(
    ("limit", "moment"), [(name, moment) for name in LIMITS for moment in LIMITS[name].moments]
)


def check(limit, moment, *arguments):
    outcome = outcome_of(limit, moment, *arguments)
    assert outcome.status is not None, f"hangs: {outcome.last}"
    assert (outcome.status, outcome.stderr) == (0, ""), outcome.last
    if outcome.impossible:
        pytest.skip(outcome.impossible)
    moments = [moment, f"child of {moment}"]
    assert set(outcome.cells) == {(moment, name) for moment in moments for name in NAMES}
    assert all(message.startswith(WARNING) for _, message in outcome.warned), outcome.warned
    for moment in moments:
        warned = sum(where == moment for where, _ in outcome.warned)
        assert warned == outcome.summary(moment).startswith("without")
    return outcome


@under_each_limit
def test_every_wait_ends(limit: str, moment: str) -> None:
    outcome = check(limit, moment)
    for moment in (moment, f"child of {moment}"):
        if moment in LIMITS[limit].without:
            assert outcome.summary(moment).startswith("without")


@under_each_limit
def test_whichever_is_first(limit: str, moment: str, storm) -> None:
    for name in NAMES[1 : storm.size(0, len(NAMES))]:
        check(limit, moment, name)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("limit", SPARE)
def test_with_more_to_spare(limit: str, moment: str, storm) -> None:
    for spare in SPARE[limit][:: storm.size(5, 1)]:
        check(f"{limit}={spare}", moment)
