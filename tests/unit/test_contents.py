"""All records of one id, and all records of one sequence, have the same content."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from ops.audit.contents import COUNTED, UP_TO_END, Contents, Difference, Location
from schemas.topics import CALLBACKS, DEAD_LETTERS

ORIGIN = "o" * 16


def add(contents: Contents, ce_id: str, body: bytes, place: Location) -> bool:
    """Add a callback whose content is its whole body."""
    return contents.add(ce_id, body, place, lambda: body.ljust(8))


IDS = st.sampled_from(["a" * 32, "b" * 32, "order-4711", "", "ab" * 16])
PLACES = st.tuples(st.sampled_from([ORIGIN, "p"]), st.sampled_from([1, 2, 255, 256, 10**18 - 1]))


def at(sequence: int, origin: str = ORIGIN, offset: int = 0, partition: int = 0) -> Location:
    """Return a place in the main topic."""
    return Location(origin, sequence, CALLBACKS.name, partition, offset)


def test_different_contents_under_one_id_are_named_with_both_places() -> None:
    """The places differ in partition, origin and topic."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    first = at(1, offset=7, partition=3)
    second = Location("p", 9, DEAD_LETTERS.name, 0, (1 << 47) + 5)
    assert not add(contents, "id", b"one", first)
    assert add(contents, "id", b"two", second)
    assert differences == [Difference("id", first, second)]
    assert str(differences[0]) == (
        "different callbacks under one id, id: origin oooooooooooooooo sequence 1"
        " (tim.callbacks.v1/3 offset 7) and origin p sequence 9"
        f" (tim.callbacks.dead.v1/0 offset {(1 << 47) + 5})"
    )


def test_a_repeat_is_not_a_difference_and_a_copy_is_not_a_repeat() -> None:
    """A repeat has the same bytes at two sequences; a copy is the archived record."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    assert not add(contents, "id", b"one", at(1))
    assert add(contents, "id", b"one", at(2))
    assert not add(contents, "id", b"one", at(1, offset=99))
    assert differences == []
    add(contents, "id", b"other", at(1, offset=99))
    add(contents, "another id", b"one", at(1, offset=98))
    assert [(each.ce_id, each.first.offset, each.second.offset) for each in differences] == [
        ("", 0, 99),
        ("", 0, 98),
    ]


def test_one_content_may_have_several_bodies_at_several_sequences() -> None:
    """Copies of one sequence, however, must have the same bytes."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    assert not contents.add("id", b"one", at(1), lambda: b"the same")
    assert contents.add("id", b"two", at(2), lambda: b"the same")
    assert differences == []
    assert contents.add("id", b"two", at(3), lambda: b"another!")
    assert differences == [Difference("id", at(1), at(3))]


@given(seen=st.lists(st.tuples(IDS, PLACES, st.binary(max_size=3))))
def test_differences_and_repeats_are_those_of_a_model(
    seen: list[tuple[str, tuple[str, int], bytes]],
) -> None:
    """The model keeps every record."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    of_place: dict[tuple[str, int], bytes] = {}
    of_id: dict[str, bytes] = {}
    first_place: dict[str, tuple[str, int]] = {}
    varied: set[tuple[str, int]] = set()
    expected = repeats = model_repeats = 0
    for ce_id, (origin, sequence), content in seen:
        repeats += add(contents, ce_id, content, at(sequence, origin))
        if (origin, sequence) in of_place:
            may_be_of = ce_id in of_id and (
                first_place[ce_id] == (origin, sequence)
                or (origin, sequence) in varied
                or of_id[ce_id] == content
            )
            expected += of_place[origin, sequence] != content or not may_be_of
            continue
        of_place[origin, sequence] = content
        if ce_id in of_id:
            model_repeats += 1
            expected += of_id[ce_id] != content
            if of_id[ce_id] != content:
                varied.add((origin, sequence))
        of_id.setdefault(ce_id, content)
        first_place.setdefault(ce_id, (origin, sequence))
    assert (len(differences), repeats) == (expected, model_repeats)


def test_each_mark_of_an_id_is_set_once() -> None:
    """A mark does not change the first place of the id."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    add(contents, "id", b"one", at(10**18 - 1))
    marks = [
        contents.mark("id", mark) for mark in (COUNTED, COUNTED, UP_TO_END, UP_TO_END, COUNTED)
    ]
    assert marks == [True, False, True, False, False]
    assert not contents.mark("another", COUNTED)
    add(contents, "id", b"two", at(2))
    assert differences[0].first == at(10**18 - 1)


def test_many_ids_in_one_bucket_are_distinguished(scaled: Callable[..., int]) -> None:
    """Even if the bytes of two entries together contain another id."""
    differences: list[Difference] = []
    contents = Contents(differences.append)
    numbers = (*range(scaled(1000, at_most=3000)), *range(0, 1 << 64, 1 << 56))
    ids = [f"0000{number:016x}{'0' * 12}" for number in numbers]
    distinct = list(dict.fromkeys(ids))
    for sequence, ce_id in enumerate(distinct, 1):
        assert not add(contents, ce_id, b"%d" % sequence, at(sequence))
    assert all(contents.mark(ce_id, COUNTED) for ce_id in distinct)
    assert not any(contents.mark(ce_id, COUNTED) for ce_id in distinct)
    for sequence, ce_id in enumerate(distinct, 1):
        assert add(contents, ce_id, b"%d" % sequence, at(len(distinct) + sequence))
    assert differences == []
