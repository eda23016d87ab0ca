"""The text of a failure is short, and says what is missing and what is doubled."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.failures import LINES_MAX, explain_comparison, logs_of, shorten

MANY = [*range(1000)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (
            [*MANY, 7],
            [*MANY[:500], *MANY[501:]],
            [
                "list of 1001 == list of 999",
                "first difference at index 500: 500 != 501",
                "only on the left: 2: 7, 500",
                "more often on the left: 1: (7, 2)",
            ],
        ),
        (
            [MANY, MANY],
            [MANY, MANY[:-1]],
            [
                "element 1: list of 1000 == list of 999",
                "first difference at index 999: 999 != nothing",
                "only on the left: 1: 999",
            ],
        ),
        (
            {"archive": Counter(MANY)},
            {"archive": Counter([*MANY[:-1], 0])},
            [
                "element 'archive': Counter of 1000 == Counter of 999",
                "only on the left: 1: 999",
                "with another value: 1: 0: 1 != 2",
            ],
        ),
        (
            set(MANY),
            {*MANY[10:], "x"},
            [
                "set of 1000 == set of 991",
                "only on the left: 10: 0, 1, 2, 3, 4, ...",
                "only on the right: 1: 'x'",
            ],
        ),
        ([1], [2], None),
        ("x" * 1000, "y" * 1000, None),
        (MANY, 5, None),
    ],
)
def test_long_collections_are_not_printed(
    left: object, right: object, expected: list[str] | None
) -> None:
    """Pytest prints all elements of both where the environment says that it is CI."""
    assert explain_comparison("==", left, right) == expected


def test_a_set_that_must_be_a_subset_is_explained_by_its_other_elements() -> None:
    """All other comparisons have pytest's text."""
    expected = ["set of 1000 <= set of 999", "only on the left: 1: 999"]
    assert explain_comparison("<=", set(MANY), set(MANY[:-1])) == expected
    assert explain_comparison("in", MANY, [MANY]) is None


def test_a_log_of_a_program_is_shown_by_its_end(tmp_path: Path) -> None:
    """Kafka's segments, which are called logs too, are not shown."""
    (tmp_path / "sync-1.log").write_text("".join(f"{number}\n" for number in MANY))
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / f"{0:020}.log").write_bytes(b"records")
    (tmp_path / "empty.log").touch()
    server = SimpleNamespace(log=tmp_path / "kafka" / "kafka.log")
    server.log.write_text("fenced\n")
    found = dict(logs_of({"tmp_path": tmp_path, "broker": server, "count": 3}))
    text = found.pop(f"{tmp_path.name}/sync-1.log")
    assert found == {"kafka/kafka.log": "fenced\n"}
    assert text.splitlines() == [f"[{1000 - LINES_MAX} lines before]", *map(str, MANY[-LINES_MAX:])]
    assert shorten("a\nb") == "a\nb"
