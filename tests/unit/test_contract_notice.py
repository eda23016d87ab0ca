"""A removal from the contract needs notice: a mark in two releases, for six months."""

from datetime import date, timedelta

import pytest
from support.contract_changes import Change, DocumentKind, breaking_changes
from support.contract_edits import Document, Edit, edited, header, schema
from support.contract_notice import broken_promises, end_of_notice
from support.schema_changes import Kind

from consumers.stats.contract_page import contract_page
from schemas.contract import tables
from schemas.contract.asyncapi import asyncapi
from schemas.contract.documents import ASYNCAPI
from schemas.contract.objects import object_of

SINCE = date(2026, 12, 1)
IN_TIME = date(2027, 6, 1)
SUCCESSOR = "tim.callbacks.dead.v2"


def marked(*, use: str = "ce_ip") -> dict[str, object]:
    """Return the mark of something that is deprecated since SINCE."""
    return {"x-deprecated": {"since": SINCE.isoformat(), "use": use}}


def deprecates(name: str) -> Edit:
    """Return the edit that marks a header of records."""
    return lambda document: header(document, name).update(marked(), deprecated=True)


def removes(name: str) -> Edit:
    """Return the edit that removes a header of records."""

    def edit(document: Document) -> None:
        headers = schema(document, "RecordHeaders")
        del headers["properties"][name]
        headers["required"] = [each for each in headers["required"] if each != name]

    return edit


def released(edit: Edit, on: date = SINCE) -> Document:
    """Return the document of a release."""
    document = edited(edit)
    document["info"]["x-released"] = on.isoformat()
    return document


def replaces_dead_letters(document: Document) -> None:
    """Add the successor of a topic, and mark the topic."""
    channels = document["channels"]
    channels["deadLettersV2"] = channels["deadLetters"] | {"address": SUCCESSOR}
    channels["deadLetters"] |= marked(use=SUCCESSOR)


def replaces_dead_letters_by(use: str) -> Edit:
    """Return the edit that names another topic as the successor."""

    def edit(document: Document) -> None:
        replaces_dead_letters(document)
        document["channels"]["deadLetters"] |= marked(use=use)

    return edit


def only_marks_dead_letters(document: Document) -> None:
    """Mark a topic whose successor is not there."""
    document["channels"]["deadLetters"] |= marked(use=SUCCESSOR)


def removes_dead_letters(document: Document) -> None:
    """Remove a topic."""
    document["channels"].pop("deadLetters")


def nothing(_: Document) -> None:
    """Edit nothing."""


CLIENT_IP = deprecates("ce_clientip"), removes("ce_clientip")
DEAD = DocumentKind.CHANNEL_REMOVED


@pytest.mark.parametrize(
    ("earlier", "last", "removal", "today", "broken"),
    [
        (CLIENT_IP[0], CLIENT_IP[0], CLIENT_IP[1], IN_TIME, None),
        (CLIENT_IP[0], CLIENT_IP[0], CLIENT_IP[1], IN_TIME - timedelta(days=1), Kind.FIELD_REMOVED),
        (nothing, CLIENT_IP[0], CLIENT_IP[1], IN_TIME, Kind.FIELD_REMOVED),
        (CLIENT_IP[0], nothing, CLIENT_IP[1], IN_TIME, Kind.FIELD_REMOVED),
        (nothing, nothing, CLIENT_IP[1], IN_TIME, Kind.FIELD_REMOVED),
        # A header that every record has goes only with the topic.
        (
            deprecates("ce_time"),
            deprecates("ce_time"),
            removes("ce_time"),
            IN_TIME,
            Kind.FIELD_REMOVED,
        ),
        # What is deprecated keeps its type until it is removed.
        (
            CLIENT_IP[0],
            CLIENT_IP[0],
            lambda d: header(d, "ce_clientip").update(type="integer"),
            IN_TIME,
            Kind.TYPE_REMOVED,
        ),
        (replaces_dead_letters, replaces_dead_letters, removes_dead_letters, IN_TIME, None),
        (replaces_dead_letters, replaces_dead_letters, removes_dead_letters, SINCE, DEAD),
        (only_marks_dead_letters, replaces_dead_letters, removes_dead_letters, IN_TIME, DEAD),
        (only_marks_dead_letters, only_marks_dead_letters, removes_dead_letters, IN_TIME, DEAD),
    ],
)
def test_only_what_was_announced_in_time_may_be_removed(
    earlier: Edit, last: Edit, removal: Edit, today: date, broken: DocumentKind | Kind | None
) -> None:
    """By a mark in two releases and six months; a topic also by its successor beside it."""

    def removed(document: Document) -> None:
        last(document)
        removal(document)

    found = broken_promises([released(earlier), released(last)], edited(removed), today)
    assert {change.kind for change in found} >= ({broken} if broken else set())
    assert bool(found) == (broken is not None)


def test_a_mark_of_a_single_release_is_no_notice() -> None:
    """However old it is."""
    found = broken_promises([released(CLIENT_IP[0])], edited(CLIENT_IP[1]), IN_TIME)
    assert [change.kind for change in found] == [Kind.FIELD_REMOVED]


def test_a_successor_has_the_messages_of_its_topic_and_stays() -> None:
    """The topic itself is not its successor, and neither is one with other records."""

    def removes_both(document: Document) -> None:
        removes_dead_letters(document)
        document["channels"].pop("deadLettersV2")

    def renames_channel(document: Document) -> None:
        document["channels"]["dead"] = document["channels"].pop("deadLetters")

    for use, removal, is_allowed in (
        (SUCCESSOR, removes_dead_letters, True),
        ("tim.callbacks.dead.v1", removes_dead_letters, False),
        ("tim.callbacks.v1", removes_dead_letters, False),
        (SUCCESSOR, removes_both, False),
        ("tim.callbacks.dead.v1", renames_channel, False),
    ):
        replaces = replaces_dead_letters_by(use)
        new = edited(replaces)
        removal(new)
        found = broken_promises([released(replaces), released(replaces)], new, IN_TIME)
        assert (Change(DEAD, "channels.deadLetters") not in found) is is_allowed


def test_the_notice_begins_with_the_release_that_has_the_mark() -> None:
    """A mark of an earlier day, and two releases on one day, are no notice."""
    day = date(2027, 6, 1)
    releases = [released(nothing), released(CLIENT_IP[0], day), released(CLIENT_IP[0], day)]
    new = edited(CLIENT_IP[1])
    for today, kinds in ((date(2027, 11, 30), [Kind.FIELD_REMOVED]), (date(2027, 12, 1), [])):
        assert [change.kind for change in broken_promises(releases, new, today)] == kinds
    # A release without the mark ends the notice of those before it.
    assert broken_promises([released(CLIENT_IP[0]), *releases], new, day)


def test_a_new_mark_is_not_backdated() -> None:
    """The last release did not have it, so readers could not know it before."""
    new = edited(CLIENT_IP[0])
    place = "components.schemas.RecordHeaders.properties.ce_clientip"
    before, on, after = (SINCE + timedelta(days=days) for days in (-1, 0, 1))
    assert broken_promises([released(nothing, before)], new, after) == []
    assert broken_promises([released(nothing, on)], new, after) == []
    backdated = [Change(DocumentKind.MARK_BACKDATED, place)]
    assert broken_promises([released(nothing, after)], new, after) == backdated
    assert broken_promises([released(CLIENT_IP[0], after)], new, after) == []


def test_what_was_removed_does_not_come_back_as_something_else() -> None:
    """The archive has the records of all releases."""
    releases = [released(nothing), released(removes("ce_clientip"))]
    assert broken_promises(releases, edited(nothing), IN_TIME) == []
    other = edited(lambda d: header(d, "ce_clientip").update(type="integer"))
    place = "components.schemas.RecordHeaders.properties.ce_clientip"
    assert broken_promises(releases, other, IN_TIME) == [
        Change(Kind.TYPE_REMOVED, place),
        Change(Kind.TYPE_ADDED, place),
    ]


def test_a_topic_that_was_removed_does_not_come_back_with_other_messages() -> None:
    """Whatever name the document gives to its channel."""

    def adds_again(document: Document) -> None:
        channels = document["channels"]
        channels["new"] = channels["callbacks"] | {"address": channels["deadLetters"]["address"]}
        removes_dead_letters(document)

    releases = [released(nothing), released(removes_dead_letters)]
    place = "channels.tim.callbacks.dead.v1.messages.DeadLetter"
    change = Change(DocumentKind.MESSAGE_REMOVED, place)
    assert change in broken_promises(releases, edited(adds_again), IN_TIME)


def test_the_notice_is_counted_in_months() -> None:
    """Six months have 181 to 184 days; in a shorter month, they end on its last day."""
    assert end_of_notice(date(2026, 12, 1)) == date(2027, 6, 1)
    assert end_of_notice(date(2027, 1, 31)) == date(2027, 7, 31)
    assert end_of_notice(date(2027, 8, 31)) == date(2028, 2, 29)


def test_a_mark_is_no_break() -> None:
    """Readers and records stay as they are."""
    assert breaking_changes(asyncapi(), edited(CLIENT_IP[0])) == []


def test_a_row_of_a_table_gets_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of JSON Schema, which generators know, and since when and what to use."""
    row = "ce_clientip | name | deprecated 2026-12-01 ce_ip | an address | 地址"
    monkeypatch.setattr(tables, "_lines", lambda _: [row])
    made = object_of(tables.described("record-headers"))
    field = made["properties"]["ce_clientip"]
    assert field["deprecated"] is True
    assert field["x-deprecated"] == {"since": "2026-12-01", "use": "ce_ip"}
    assert made["required"] == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Deprecated since 2026-12-01, use <code>{}</code>"),
        ("zh", "请改用 <code>{}</code>"),
    ],
)
def test_the_page_has_the_mark(language: str, text: str) -> None:
    """Of a header and of a topic."""

    def both(document: Document) -> None:
        CLIENT_IP[0](document)
        only_marks_dead_letters(document)

    page = contract_page({ASYNCAPI: edited(both)}, language, "", "1")
    assert text.format("ce_ip") in page
    assert text.format(SUCCESSOR) in page
    assert page.count("<strong>") == 2
