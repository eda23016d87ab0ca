"""All records of one id, and all records of one sequence, have the same content."""

import hashlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.audit import bucket_file, grouping
from ops.audit.content_check import ContentCheck
from ops.audit.contents import Contents
from ops.audit.difference import Difference, Differences, Location
from schemas.topics import CALLBACKS, DEAD_LETTERS

ORIGIN = "o" * 16
IDS = st.sampled_from(["a" * 32, "b" * 32, "A" * 32, "order-4711", "", "ab" * 16, " a" * 16])
PLACES = st.tuples(st.sampled_from([ORIGIN, "p"]), st.sampled_from([1, 2, 255, 256, 10**18 - 1]))


# Four rows.
FEW_ROWS_BYTES = 200


@pytest.fixture(params=["memory", "file", "ids in parts"], autouse=True)
def _rows_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows stay in memory, or be written to the temporary file after every fourth."""
    if request.param != "memory":
        monkeypatch.setattr(bucket_file, "BUFFER_BYTES_MAX", FEW_ROWS_BYTES)
    if request.param == "ids in parts":
        monkeypatch.setattr(grouping, "ROWS_OF_ID_MAX", 1)


def add(
    contents: Contents,
    ce_id: str,
    body: bytes,
    place: Location,
    content: bytes | None = None,
    *,
    archived: bool = False,
) -> None:
    """Add a callback, or a copy of it; its content is its whole body unless given."""
    digest = hashlib.sha256(body).digest()
    if contents.has_callback(place.origin, place.sequence):
        add_copy = contents.add_archived_copy if archived else contents.add_copy
        add_copy(ce_id, digest, place)
    else:
        contents.add(ce_id, digest, place, body.ljust(8) if content is None else content, 0)


def compared(contents: Contents) -> tuple[list[Difference], int]:
    """Return the differences, and the number of repeats."""
    differences = Differences(listed_max=1000)
    check = ContentCheck(differences)
    for group in contents.groups():
        check.compare(group)
    listed = differences.listed(contents.locations(differences.not_located))
    assert len(listed) == differences.count
    return listed, check.repeats


def at(sequence: int, origin: str = ORIGIN, offset: int = 0, partition: int = 0) -> Location:
    """Return a place in the main topic."""
    return Location(origin, sequence, CALLBACKS.name, partition, offset)


def test_different_contents_under_one_id_are_named_with_both_places() -> None:
    """The places differ in partition, origin and topic."""
    for ce_id in ("id", "0123456789abcdef" * 2):
        contents = Contents()
        first = at(1, offset=7, partition=3)
        second = Location("p", 9, DEAD_LETTERS.name, 0, (1 << 47) + 5)
        add(contents, ce_id, b"one", first)
        add(contents, ce_id, b"two", second)
        differences, repeats = compared(contents)
        assert (differences, repeats) == ([Difference(ce_id, first, second)], 1)
        assert str(differences[0]) == (
            f"different callbacks under one id, {ce_id}: origin oooooooooooooooo sequence 1"
            " (tim.callbacks.v1/3 offset 7) and origin p sequence 9"
            f" (tim.callbacks.dead.v1/0 offset {(1 << 47) + 5})"
        )


def test_a_repeat_is_not_a_difference_and_a_copy_is_not_a_repeat() -> None:
    """A repeat has the same bytes at two sequences; a copy is the archived record."""
    contents = Contents()
    add(contents, "id", b"one", at(1))
    add(contents, "id", b"one", at(2))
    add(contents, "id", b"one", at(1, offset=99))
    assert compared(contents) == ([], 1)
    add(contents, "id", b"other", at(1, offset=99))
    add(contents, "another id", b"one", at(1, offset=98))
    differences, _ = compared(contents)
    assert {(each.ce_id, each.first.offset, each.second.offset) for each in differences} == {
        ("", 0, 99),
        ("", 0, 98),
    }


def test_one_content_may_have_several_bodies_at_several_sequences() -> None:
    """Copies of one sequence, however, must have the same bytes."""
    contents = Contents()
    add(contents, "id", b"one", at(1), b"the same")
    add(contents, "id", b"two", at(2), b"the same")
    assert compared(contents) == ([], 1)
    add(contents, "id", b"two", at(3), b"another!")
    assert compared(contents) == ([Difference("id", at(1), at(3))], 2)


def test_a_dead_letter_is_a_copy_or_the_callback_itself() -> None:
    """Only if no callback has its sequence, a callback that comes later included."""
    contents = Contents()
    digest = hashlib.sha256(b"one").digest()
    for sequence in (1, 2):
        contents.add_dead_letter("id", digest, at(sequence), b"the same")
    assert contents.has(ORIGIN, 1)
    assert compared(contents) == ([], 1)
    add(contents, "id", b"one", at(1, offset=5), b"the same")
    assert compared(contents) == ([], 1)
    contents.add_dead_letter("another", digest, at(1, offset=6), b"another!")
    assert compared(contents) == ([Difference("", at(1, offset=5), at(1, offset=6))], 1)
    contents.add_dead_letter("another", digest, at(2, offset=7), b"another!")
    differences, _ = compared(contents)
    assert len(differences) == 2


@given(
    seen=st.lists(
        st.tuples(IDS, PLACES, st.binary(max_size=3), st.booleans(), st.sampled_from([1, 2, 9999]))
    ),
    compared_at=st.integers(0, 20),
)
def test_differences_and_repeats_are_those_of_a_model(
    seen: list[tuple[str, tuple[str, int], bytes, bool, int]], compared_at: int
) -> None:
    """The model keeps every record."""
    contents = Contents()
    of_place: dict[tuple[str, int], tuple[str, bytes]] = {}
    of_id: dict[str, tuple[tuple[str, int], bytes]] = {}
    expected: list[tuple[str, tuple[str, int], tuple[str, int]]] = []
    repeats = 0
    for index, (ce_id, place, body, archived, offset) in enumerate(seen):
        if index == compared_at:
            compared(contents)
        add(contents, ce_id, body, at(place[1], place[0], offset), archived=archived)
        if place in of_place:
            if of_place[place] != (ce_id, body):
                expected.append(("", place, place))
            continue
        of_place[place] = (ce_id, body)
        if ce_id in of_id:
            repeats += 1
            first, first_body = of_id[ce_id]
            if first_body.ljust(8) != body.ljust(8):
                expected.append((ce_id, first, place))
        of_id.setdefault(ce_id, (place, body))
    differences, counted_repeats = compared(contents)
    named = [(each.ce_id, each.first[:2], each.second[:2]) for each in differences]
    assert (sorted(named), counted_repeats) == (sorted(expected), repeats)


def ids_alike(count: int) -> Iterator[str]:
    """Yield ids that differ in few bits, wherever these are."""
    for number in (*range(count), *range(0, 1 << 64, 1 << 56)):
        for zeros in (0, 4, 16):
            yield f"{'0' * zeros}{number:016x}{'0' * (16 - zeros)}"


def test_many_ids_that_are_alike_are_distinguished(
    scaled: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is a repeat of another one; then each is, and is named by its whole text."""
    if bucket_file.BUFFER_BYTES_MAX == FEW_ROWS_BYTES:
        # Each id in parts reads its whole bucket, so pieces of four rows would be a million reads.
        monkeypatch.setattr(bucket_file, "BUFFER_BYTES_MAX", 100 * FEW_ROWS_BYTES)
    contents = Contents()
    distinct = list(dict.fromkeys(ids_alike(scaled(100, at_most=1500))))
    for sequence, ce_id in enumerate(distinct, 1):
        add(contents, ce_id, b"one", at(sequence))
    assert compared(contents) == ([], 0)
    for sequence, ce_id in enumerate(distinct, 1):
        add(contents, ce_id, b"one", at(sequence, origin="p"))
    assert compared(contents) == ([], len(distinct))
    assert sorted(group.ce_id for group in contents.groups()) == sorted(distinct)
