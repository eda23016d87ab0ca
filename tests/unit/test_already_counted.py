"""A member forgets who is counted when it knows too much, and knows how much it still knows."""

import pytest

from consumers.counters import already_counted
from consumers.counters.already_counted import MINUTE, AlreadyCounted


@pytest.mark.parametrize("kind", [MINUTE, "day"])
def test_too_many_windows_do_not_count_against_the_next_ones(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The people of windows that were forgotten take no room any more."""
    monkeypatch.setattr(already_counted, "WINDOWS_MAX", 2)
    for bound in ("PEOPLE_MAX", "PEOPLE_OF_MINUTES_MAX"):
        monkeypatch.setattr(already_counted, bound, 4)
    known = AlreadyCounted()
    for at in range(3):
        known.add_people((kind, "app", at), {"sender": {"a"}})
    assert known.people((kind, "app", 9)) == {}
    known.add_people((kind, "app", 9), {"sender": {"a"}})
    known.add_people((kind, "app", 10), {"sender": {"a", "b"}})
    assert known.people((kind, "app", 9)) == {"sender": {"a"}}
