"""The end of a chain is found among any names, by few requests, while names change."""

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import P0

from consumers.archive import segment_name
from consumers.archive.listing import REQUESTS_MAX, Page, find_last_name
from consumers.runtime.handler import Unavailable

OFFSETS_MAX = 2**63 - 1
HOURS = st.sampled_from(("0001-01-01T00", "1970-01-01T00", "2026-11-23T14", "9999-12-31T23"))


def name(offset: int, hour: str) -> str:
    """Return a name in the partition of these tests."""
    return segment_name.of_hour(P0, offset=offset, hour=hour)


# Dense, sparse, and dense runs far from each other.
RUNS = st.lists(
    st.tuples(
        st.integers(0, OFFSETS_MAX // 2), st.integers(1, 40), st.sampled_from((1, 2, 1000, 10**9))
    ),
    max_size=4,
).map(lambda runs: [at + n * step for at, count, step in runs for n in range(count)])
NAMES = st.builds(
    lambda offsets, hours: sorted(
        {name(offset, hours[n % len(hours)]) for n, offset in enumerate(offsets)}
    ),
    RUNS,
    st.lists(HOURS, min_size=1, max_size=5),
)


class SegmentStore:
    """A store of names in order, which a test may change before each request."""

    def __init__(self, names: list[str], page_names: int) -> None:
        self.names = names
        self.page_names = page_names
        self.requests = 0
        self.changes: Callable[[], None] = lambda: None
        # The last name at the time of each request.
        self.lasts: list[str | None] = []

    async def page(self, offset: int) -> Page:
        """Return the first names from `offset` on."""
        self.changes()
        self.requests += 1
        self.lasts.append(max(self.names, default=None))
        after = f"{P0}/{segment_name.prefix(offset)}"
        names = sorted(each for each in self.names if each > after)
        first = segment_name.first_offset(names[0]) if names else 0
        same = sum(segment_name.first_offset(each) == first for each in names)
        taken = max(self.page_names, same + 1)
        return Page(names[:taken], has_more=len(names) >= taken)

    def last_name(self, known: int) -> str | None:
        """Search for the last name."""
        return asyncio.run(find_last_name(self.page, search_from=known, page_names=self.page_names))


@given(NAMES, st.integers(2, 8), st.integers(0, OFFSETS_MAX), st.data())
def test_the_last_name_is_found_for_any_known_name(
    names: list[str], page_names: int, anything: int, data: st.DataObject
) -> None:
    """The known name may exist, be deleted, or be wrong: only the number of requests differs."""
    known = [0, anything, *map(segment_name.first_offset, names)]
    store = SegmentStore(names, page_names)
    assert store.last_name(data.draw(st.sampled_from(known))) == max(names, default=None)
    assert store.requests <= REQUESTS_MAX


@given(NAMES, st.integers(2, 8))
def test_one_request_is_enough_if_the_last_name_is_known(names: list[str], page_names: int) -> None:
    """This is the usual case: a member that knows its own last segment."""
    store = SegmentStore(names, page_names)
    known = segment_name.first_offset(names[-1]) if names else 0
    assert store.last_name(known) == max(names, default=None)
    assert store.requests == 1


@given(
    NAMES.filter(bool),
    st.integers(2, 8),
    st.integers(0, OFFSETS_MAX),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from((1, 2, 1000))), max_size=8),
)
def test_a_name_that_was_the_last_at_some_request_is_found_while_others_come_and_go(
    names: list[str],
    page_names: int,
    known: int,
    changes: list[tuple[int, int]],
) -> None:
    """Members append after the last name, expiry deletes from the first one on."""
    store, waiting = SegmentStore(names, page_names), iter(changes)

    def change() -> None:
        appended, step = next(waiting, (0, 1))
        for _ in range(appended):
            offset = segment_name.first_offset(store.names[-1]) + step
            store.names.append(name(offset, "2026-11-23T14"))
        del store.names[: min(appended // 2, len(store.names) - 1)]

    store.changes = change
    assert store.last_name(known) in store.lasts


def test_a_year_is_searched_by_few_requests() -> None:
    """Half a million names in pages of a thousand take some 15 requests instead of 526."""
    year = range(0, 2 * 525_600, 2)
    asked: list[int] = []

    async def page(offset: int) -> Page:
        asked.append(offset)
        at = min(math.ceil(offset / 2), len(year))
        listed = [name(each, "2026-11-23T14") for each in year[at : at + 1000]]
        return Page(listed, has_more=len(year) - at >= 1000)

    for known in (0, 1, 525_600, 2 * 525_599, OFFSETS_MAX):
        asked.clear()
        assert asyncio.run(find_last_name(page, search_from=known)) == name(
            year[-1], "2026-11-23T14"
        )
        assert len(asked) <= 20


@pytest.mark.parametrize("lie", ["nothing from an offset on", "the same page for every offset"])
def test_a_store_that_lists_wrongly_is_refused(lie: str) -> None:
    """A wrong last name would be worse than an outage."""
    names = [name(offset, "2026-11-23T14") for offset in range(10)]

    async def page(offset: int) -> Page:
        if lie == "nothing from an offset on" and offset:
            return Page([], has_more=False)
        return Page(names[:4], has_more=True)

    with pytest.raises(Unavailable):
        asyncio.run(find_last_name(page, page_names=4))
