"""An id with more entries than the memory can hold is compared as any other one."""

import hashlib
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.webhook.callback_filter import CallbackFilter
from ops.audit import bucket_file, grouping, large_group
from ops.audit.content_check import ContentCheck
from ops.audit.contents import Contents
from ops.audit.difference import Difference, Differences, Location
from ops.audit.expected_counts import ExpectedCounts
from ops.audit.group import Group
from ops.audit.origins import Origins
from ops.audit.row_check import RowCheck
from ops.audit.spool_ends import SpoolEnds
from ops.audit.webhook_check import WebhookCheck
from ops.audit.webhook_log import LoggedDelivery
from schemas.topics import CALLBACKS, DEAD_LETTERS

ORIGIN = "o" * 16
ID = "ab" * 16
IDS = st.sampled_from([ID, "order-4711"])
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["callback", "archived", "dead letter", "receipt", "delivery", "id alone"]),
        IDS,
        st.sampled_from([ORIGIN, "p"]),
        st.integers(1, 3),
        st.sampled_from([b"one", b"two"]),
    )
)


def at(origin: str, sequence: int, offset: int = 0, topic: str = CALLBACKS.name) -> Location:
    """Return a place in a topic."""
    return Location(origin, sequence, topic, 0, offset)


def contents_of(entries: Iterable[tuple[str, str, str, int, bytes]]) -> Contents:
    """Return contents with entries: kind, `ce_id`, origin, sequence and body."""
    contents = Contents()
    for offset, (kind, ce_id, origin, sequence, body) in enumerate(entries):
        digest = hashlib.sha256(body).digest()
        place = at(origin, sequence, offset)
        if kind == "receipt":
            contents.add_receipt(ce_id, digest, origin, sequence)
        elif kind == "dead letter":
            dead = at(origin, sequence, offset, DEAD_LETTERS.name)
            contents.add_dead_letter(ce_id, digest, dead, b"contents")
        elif kind in {"delivery", "id alone"}:
            named = None if kind == "id alone" else (origin, sequence)
            contents.add_delivery(ce_id, digest, named, webhook_number=0)
        elif not contents.has_callback(origin, sequence):
            contents.add(ce_id, digest, place, b"contents", key_number=0)
        elif kind == "archived":
            contents.add_archived_copy(ce_id, digest, place)
        else:
            contents.add_copy(ce_id, digest, place)
    return contents


def groups_of(contents: Contents) -> list[tuple[str, list[list[object]]]]:
    """Return the groups that have an entry to compare, each list of entries in one order."""

    def is_compared(group: Group) -> bool:
        unequal = [*group.copies, *group.receipts, *group.deliveries]
        return bool(unequal) or len(list(group.callbacks)) > 1

    return sorted(
        (
            group.ce_id,
            [
                sorted(entries, key=str)
                for entries in (
                    # The position of the id's text may be that of any entry.
                    [each._replace(rest=0) for each in group.callbacks],
                    group.copies,
                    group.receipts,
                    group.deliveries,
                )
            ],
        )
        for group in contents.groups()
        if is_compared(group)
    )


@given(entries=ENTRIES)
def test_an_id_in_parts_has_the_same_entries(
    entries: list[tuple[str, str, str, int, bytes]],
) -> None:
    """Each with the callback of its place; the first callback is the first one that came."""
    with pytest.MonkeyPatch.context() as patch:
        expected = contents_of(entries)
        expected_groups = groups_of(expected)
        firsts = {group.ce_id: next(iter(group.callbacks), None) for group in expected.groups()}
        patch.setattr(bucket_file, "BUFFER_BYTES_MAX", 200)
        patch.setattr(bucket_file, "PIECE_BYTES_MAX", 128)
        patch.setattr(grouping, "ROWS_OF_ID_MAX", 0)
        contents = contents_of(entries)
        assert groups_of(contents) == expected_groups
        for group in contents.groups():
            first = next(iter(group.callbacks), None)
            if first is not None and first.location.topic == CALLBACKS.name:
                assert firsts.get(group.ce_id, first) == first


def compared(contents: Contents, webhook: WebhookCheck) -> tuple[list[Difference], int]:
    """Return the differences and the repeats, as a report finds them."""
    differences = Differences(listed_max=20)
    content_check, row_check = ContentCheck(differences), RowCheck(contents, differences)
    expected_counts = ExpectedCounts({}, [])
    webhook.begin_report()
    for group in contents.groups():
        content_check.compare(group)
        row_check.compare(group)
        expected_counts.leave_out_repeats(each.key_or_webhook for each in group.callbacks)
        webhook.compare(group, differences)
    return differences.listed(contents.locations(differences.not_located)), content_check.repeats


def test_the_memory_does_not_grow_with_the_callbacks_of_one_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A probe sends one body again and again; a fault among its callbacks is named all the same."""
    for module, limit in (
        (bucket_file, "BUFFER_BYTES_MAX"),
        (bucket_file, "PIECE_BYTES_MAX"),
        (large_group, "SORTED_BYTES_MAX"),
    ):
        monkeypatch.setattr(module, limit, 64 << 10)
    monkeypatch.setattr(grouping, "ROWS_OF_ID_MAX", 1000)
    contents = Contents()
    webhook = WebhookCheck("crm", CallbackFilter(), contents, 0, Origins(SpoolEnds()))
    body, other = hashlib.sha256(b"one"), hashlib.sha256(b"other")
    last = 3_000
    for sequence in range(1, last + 1):
        content = b"contents" if sequence < last else b"another!"
        contents.add(ID, body.digest(), at(ORIGIN, sequence, sequence), content, key_number=0)
        contents.add_receipt(ID, body.digest(), ORIGIN, sequence)
        webhook.add_delivery(LoggedDelivery(id=ID, sha256=body.hexdigest()))
    contents.add_copy(ID, other.digest(), at(ORIGIN, 77, last + 1))
    contents.add_receipt(ID, other.digest(), ORIGIN, 78)
    tracemalloc.start()
    listed, repeats = compared(contents, webhook)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert repeats == last - 1
    assert listed == [
        Difference(ID, at(ORIGIN, 1, 1), at(ORIGIN, last, last)),
        Difference("", at(ORIGIN, 77, 77), at(ORIGIN, 77, last + 1)),
        Difference(ID, at(ORIGIN, 78, 78), Location(ORIGIN, 78, "PostgreSQL", -1, -1)),
    ]
    # In memory they would take twice as much.
    assert peak < 3 << 19, f"{peak >> 10} KiB"
