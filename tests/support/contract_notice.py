"""
Find the breaking changes of the contract that the released documents did not announce in time.

A removal is announced by a mark, `x-deprecated`, that the last NOTICE_RELEASES documents have. The
notice begins with the day of the first of them, not with the day that the author wrote.
"""

import calendar
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import takewhile
from typing import Any

from support.contract_changes import Change, Document, DocumentKind, breaking_changes
from support.schema_changes import Kind

# For how long, and in how many releases, a removal is announced (docs/contract.md).
NOTICE_MONTHS = 6
NOTICE_RELEASES = 2


def broken_promises(releases: Sequence[Document], new: Document, today: date) -> list[Change]:
    """
    Return the breaking changes since `releases`, oldest first, that were not announced in time.

    What only an earlier release has may be added again, but not with another meaning: the archive
    has its records, and readers of that release still run.
    """
    last = releases[-1]
    return [
        *(
            change
            for change in breaking_changes(last, new)
            if not _was_announced(releases, change, new, today)
        ),
        *(change for earlier in releases[:-1] for change in _reuses(earlier, last, new)),
        *_backdated_marks(last, new),
    ]


def released_on(release: Document) -> date:
    """Return the day of a release."""
    return date.fromisoformat(release["info"]["x-released"])


def end_of_notice(begin: date) -> date:
    """Return the first day on which something may go whose notice began on `begin`."""
    months = begin.month - 1 + NOTICE_MONTHS
    year, month = begin.year + months // 12, months % 12 + 1
    return date(year, month, min(begin.day, calendar.monthrange(year, month)[1]))


def _was_announced(
    releases: Sequence[Document], change: Change, new: Document, today: date
) -> bool:
    if change.kind is DocumentKind.CHANNEL_REMOVED and not _has_successor(
        releases[-1], change, new
    ):
        return False
    announced = list(takewhile(lambda release: _announces(release, change), reversed(releases)))
    if len(announced) < NOTICE_RELEASES:
        return False
    since = (_mark(release, change.place)["since"] for release in announced)
    begin = max(released_on(announced[-1]), *map(date.fromisoformat, since))
    return end_of_notice(begin) <= today


def _announces(release: Document, change: Change) -> bool:
    if not _mark(release, change.place):
        return False
    if change.kind is DocumentKind.CHANNEL_REMOVED:
        return _has_successor(release, change, release)
    owner, _, name = change.place.rpartition(".properties.")
    required = (_at(release, owner) or {}).get("required", ())
    return change.kind is Kind.FIELD_REMOVED and name not in required


def _has_successor(release: Document, change: Change, document: Document) -> bool:
    """Return whether `document` has the topic that replaces one of `release`, for all messages."""
    removed = _at(release, change.place) or {}
    use = _mark(release, change.place).get("use")
    return use != removed["address"] and any(
        other["address"] == use and removed["messages"].keys() <= other["messages"].keys()
        for other in document["channels"].values()
    )


def _mark(document: Document, place: str) -> Document:
    mark: Document = (_at(document, place) or {}).get("x-deprecated", {})
    return mark


def _reuses(earlier: Document, last: Document, new: Document) -> Iterator[Change]:
    """Yield the breaking changes of what `last` lacks, but an earlier release and `new` have."""
    earlier, last, new = map(_by_topic, (earlier, last, new))
    if added := [f"{place}." for place in _added_again(earlier, last, new, "")]:
        for change in breaking_changes(earlier, new):
            if any(f"{change.place}.".startswith(place) for place in added):
                yield change


def _by_topic(document: Document) -> Document:
    """Return a document whose channels have the names of their topics, which readers know."""
    channels = {each["address"]: each for each in document["channels"].values()}
    return {**document, "channels": channels}


def _added_again(earlier: Any, last: Any, new: Any, place: str) -> Iterator[str]:
    parts, parts_of_last, parts_of_new = map(_parts, (earlier, last, new))
    for name in parts.keys() & parts_of_new.keys():
        inner = f"{place}.{name}" if place else name
        if name in parts_of_last:
            yield from _added_again(parts[name], parts_of_last[name], parts_of_new[name], inner)
        else:
            yield inner


def _backdated_marks(last: Document, new: Document) -> Iterator[Change]:
    for place, since in _marks(new, ""):
        if _mark(last, place).get("since") != since and date.fromisoformat(since) < released_on(
            last
        ):
            yield Change(DocumentKind.MARK_BACKDATED, place)


def _marks(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place of each mark, and since when it says that something is deprecated."""
    for name, inner in _parts(node).items():
        if name == "x-deprecated":
            yield place, inner["since"]
        else:
            yield from _marks(inner, f"{place}.{name}" if place else name)


def _parts(node: Any) -> Mapping[str, Any]:
    """Return the named parts of a part of a document, as the places of changes name them."""
    if isinstance(node, list):
        return {str(index): each for index, each in enumerate(node)}
    if not isinstance(node, Mapping):
        return {}
    # A place does not name that a schema has a format.
    parts: Mapping[str, Any] = node["schema"] if "schemaFormat" in node else node
    return parts


def _at(node: Any, place: str) -> Document | None:
    """Return the part of a document at a place; the name of a part may contain dots."""
    parts = _parts(node)
    if not place:
        return parts if isinstance(node, Mapping) else None
    for name, inner in parts.items():
        if f"{place}.".startswith(f"{name}.") and (found := _at(inner, place[len(name) + 1 :])):
            return found
    return None
