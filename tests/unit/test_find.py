"""`hookline find` in an archive: whatever was written in a range is found there."""

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.builders import a_body, a_stored_record
from support.find_world import BEGINS, Made, World

from consumers.archive.segment import read_lines
from ops.failure import ExitCode
from ops.find import output
from ops.find.archive_search import ArchiveSearch
from ops.find.collection import (
    ARCHIVE,
    DATABASE,
    DEAD_LETTER,
    CallbackCollection,
    LocatedCallback,
    Sighting,
)
from ops.find.needle import Needle
from ops.find.question import NotAnId, Question, kind_of, moment, question_of
from ops.find.ranges import FindRequest, parts, range_of
from ops.find.search import Answer, Search
from ops.find.sources import Extent, NotSearched, Sources
from ops.records import archived
from ops.records.time_range import TimeRange

NOW = BEGINS + timedelta(hours=30)
# Questions of one archive.
A_WORLD = 50


def a_request(question: Question, **also: datetime) -> FindRequest:
    """Return a request, by default without a range."""
    return FindRequest(
        question=question,
        since=also.get("since"),
        until=also.get("until"),
        now=NOW,
        limit=1000,
        keeps_bodies=False,
        timeout_s=180,
    )


def a_question(chance: random.Random, made: Made) -> tuple[Question, Callable[[Made], bool]]:
    """Return a question that a record answers, and which other records answer it."""
    kind = chance.choice(("name", "name", "name", "place", "user", "pair", "group", "at", "ce_id"))
    if kind == "user":
        user = chance.choice(sorted(made.people - {""}))
        return Question(accounts=(user,)), lambda each: user in each.people
    if kind == "pair" and "" not in made.people:
        pair = tuple(sorted(made.people))
        return Question(accounts=pair), lambda each: each.people == set(pair)
    if kind == "group" and made.group:
        return Question(group=made.group), lambda each: each.group == made.group
    text, answers = made.ce_id, lambda each: each.ce_id == text
    if kind == "name" and made.names:
        text, answers = chance.choice(sorted(made.names)), lambda each: text in each.names
    elif kind == "place":
        text, answers = made.place, lambda each: each.place == text
    elif kind == "at":
        text = made.headers["ce_time"][: chance.choice((13, 16, 19))]
        answers = lambda each: each.headers["ce_time"].startswith(text)  # noqa: E731
    return question_of(text, kind_of(text), app=None), answers


async def found_in(
    directory: Path, question: Question, time_range: TimeRange
) -> set[tuple[int, int]]:
    """Return partition and offset of the records that a search finds."""
    collection = CallbackCollection(limit=1000, keeps_bodies=False)
    extent = await ArchiveSearch(str(directory), question, collection, lambda _: None).search(
        time_range
    )
    assert extent.range == time_range
    return {each.record for each in collection.callbacks if each.record} | {
        (sighting.partition or 0, sighting.offset or 0)
        for each in collection.callbacks
        for sighting in each.sightings
    }


async def test_whatever_is_in_the_named_range_is_found(
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also escaped, in base64, repeated, delayed, at the border of an hour, with other clocks."""
    # Most lines are then in two blocks.
    monkeypatch.setattr(archived, "BLOCK_BYTES", 700)
    finds = sightings = outside = 0
    for seed in range(scaled(2, at_most=200)):
        world = World(seed, tmp_path / str(seed))
        broken = [each for each in world.made if each.is_broken]
        for _ in range(A_WORLD):
            made = world.chance.choice(world.made)
            question, answers = a_question(world.chance, made)
            request = a_request(question)
            if world.chance.random() < 0.5 or question.sent_at is None:
                since = made.taken_at - timedelta(minutes=world.chance.randrange(200))
                until = made.taken_at + timedelta(minutes=world.chance.randrange(1, 200))
                request = a_request(question, since=since, until=until)
            time_range = range_of(request, ())
            places_found = await found_in(world.directory, question, time_range)
            matching = [each for each in world.made if answers(each)]
            expected = {each.offset for each in matching if each.taken_at in time_range}
            # A body that is not JSON has no fields: it is found if it has the text anywhere.
            possible = {each.offset for each in (*broken, *matching)}
            assert expected <= places_found <= possible, (seed, str(question))
            finds, sightings = finds + 1, sightings + len(places_found)
            outside += len(matching) - len(places_found)
    assert sightings > finds
    assert outside > finds / 20
    say(f"{finds} finds, {sightings} sightings found, {outside} outside the range")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("48374_2837546_1557481126", "message"),
        ("144115233406643804-1727580296-4026038328", "message"),
        ("3f2504e04f8911d39a0c0305e82c3301", "ce_id"),
        ("00ff00ff00ff00ff/12", "place"),
        ("00FF00FF00FF00FF:12", "place"),
        ("@TGS#1AB", "group"),
        ("2026-01-31T09:05:10", "time"),
        ("2026-01-31", "time"),
        ("jared", "user"),
        ("8611111111111", "user"),
        ("00ff00ff00ff00ff/0", "user"),
        ("48374_2837546", "user"),
    ],
)
def test_the_form_of_an_id_decides_its_kind(text: str, kind: str) -> None:
    """--as overrules it."""
    assert kind_of(text) == kind
    assert str(question_of(text, kind, app=None))


def test_a_message_key_has_the_second_of_sending() -> None:
    """A number that is not a time of a message counts as none."""
    sent_at = question_of("1_2_1557481126", "message", app=None).sent_at
    assert sent_at == datetime(2019, 5, 10, 9, 38, 46, tzinfo=UTC)
    assert question_of("1_2_3", "message", app=None).sent_at is None
    assert question_of("5-1727580296-7", "message", app=None).sent_at is not None


@pytest.mark.parametrize("text", ["2026-02-30", "today", "2026-01-31T25", "99999-01-01"])
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    """The error says how a time is written."""
    with pytest.raises(NotAnId):
        moment(text)


def test_the_range_begins_with_the_hour_of_sending_and_lasts_six_hours_more() -> None:
    """A sender whose clock is ahead by some minutes at the border of an hour is allowed for."""
    sent_at = BEGINS + timedelta(minutes=30)
    question = Question(message="1_2_3", sent_at=sent_at)
    time_range = range_of(a_request(question), ())
    assert time_range == TimeRange(since=BEGINS, until=BEGINS + timedelta(hours=6))
    early = range_of(a_request(Question(message="1_2_3", sent_at=BEGINS)), ())
    assert early.since == BEGINS - timedelta(hours=1)
    assert parts(a_request(question), time_range, ()) == [
        TimeRange(since=BEGINS, until=BEGINS + timedelta(hours=1)),
        time_range,
    ]
    after = a_request(question, since=BEGINS + timedelta(hours=20))
    assert range_of(after, ()).until == NOW + timedelta(minutes=1)
    later = a_request(question, until=BEGINS + timedelta(hours=20))
    assert range_of(later, ()) == TimeRange(since=BEGINS, until=BEGINS + timedelta(hours=20))


def test_a_callback_that_was_received_later_is_searched_from_its_receipt_on() -> None:
    """Without any time, the last day is searched."""
    received = BEGINS + timedelta(hours=5, minutes=10)
    time_range = range_of(a_request(Question(ce_id="f" * 32)), [received])
    assert time_range.since == BEGINS + timedelta(hours=5)
    assert range_of(a_request(Question(ce_id="f" * 32)), ()).since == NOW - timedelta(
        hours=23, minutes=59
    )


def test_a_needle_finds_every_writing_and_nothing_of_another_line() -> None:
    """A line that has the text twice comes once."""
    needle = Needle("ab/1")
    block = b'{"x":"ab/1 ab/1"}\n{"x":"no"}\n{"x":"ab\\/1"}\n{"x":"\\u0061b/1"}\n'
    lines = {line for _, line in needle.lines(block)}
    assert lines == {block.splitlines(keepends=True)[at] for at in (0, 2, 3)}
    assert sum(1 for _ in needle.lines(block)) == 3


def an_answer(*stores: str, not_searched: tuple[str, ...] = (), searched: bool = True) -> Answer:
    """Return an answer with a callback that was found in these stores."""
    collection = CallbackCollection(limit=20, keeps_bodies=False)
    record = a_stored_record(0)
    headers = {name: value.decode() for name, value in record.headers}
    for store in stores:
        collection.add(headers, record.value, Sighting(store=store, where="here"))
    time_range = TimeRange(since=BEGINS, until=BEGINS + timedelta(hours=6))
    return Answer(
        question=Question(accounts=("jared",)),
        collection=collection,
        range=time_range,
        searched={ARCHIVE: Extent("1 segment", time_range)} if searched else {},
        not_searched=dict.fromkeys(not_searched, "why"),
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (an_answer(ARCHIVE), ExitCode.OK),
        (an_answer(ARCHIVE, DEAD_LETTER, not_searched=("database",)), ExitCode.OK),
        (an_answer(DEAD_LETTER), ExitCode.DEAD_LETTERED),
        (an_answer(), ExitCode.FAULT),
        (an_answer(not_searched=("counters",)), ExitCode.FAULT),
        (an_answer(not_searched=("topic",)), ExitCode.INCOMPLETE),
        (an_answer(not_searched=("archive",), searched=False), ExitCode.UNREADABLE),
    ],
)
def test_only_a_search_of_all_sources_may_say_not_found(answer: Answer, code: ExitCode) -> None:
    """And the text names the range."""
    assert answer.exit_code == code
    if not answer.callbacks:
        assert "between 2026-01-31 08:00 and 14:00 UTC" in output.verdict(answer)


def test_the_output_has_80_columns_and_no_body() -> None:
    """Text from outside is printed without control characters."""
    collection = CallbackCollection(limit=20, keeps_bodies=False)
    body = a_body(From_Account="\x1b[31m" + "x" * 300, CloudCustomData="a secret")
    record = a_stored_record(0, body)
    headers = {name: value.decode() for name, value in record.headers}
    name = "tim.callbacks.v1/3/00000000000000000071-2026-11-23T14.jsonl.zst line 7"
    collection.add(headers, record.value, Sighting(store=ARCHIVE, where=name, at=BEGINS))
    answer = an_answer(not_searched=("topic",))
    answer.collection = collection
    lines = list(output.lines(answer, now=NOW, with_body=True))
    assert max(map(len, lines)) <= output.WIDTH
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "secret" not in text
    assert "red packet" not in text
    assert "TIMTextElem" in text


def test_only_the_first_callbacks_are_kept_and_all_are_counted() -> None:
    """So memory is bounded; a callback that is known gets further sightings."""
    collection = CallbackCollection(limit=2, keeps_bodies=False)
    for at in (0, 1, 2, 3, 0):
        record = a_stored_record(at)
        headers = {name: value.decode() for name, value in record.headers}
        collection.add(
            headers, record.value, Sighting(store=ARCHIVE, where=f"{at} {len(record.value)}")
        )
        collection.add(headers, record.value, Sighting(store=DEAD_LETTER, where=f"{at}"))
    assert [len(each.sightings) for each in collection.callbacks] == [2, 2]
    assert collection.further == 2


def a_row(ce_id: str) -> LocatedCallback:
    """Return the row of a callback in the database."""
    return LocatedCallback(
        origin="", sequence=0, ce_id=ce_id, sightings=[Sighting(store=DATABASE, where=ce_id)]
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 20])
def test_a_row_is_another_callback_only_if_no_record_has_its_id(limit: int) -> None:
    """Rows come first, and take no room from records, whether those are shown or counted."""
    collection = CallbackCollection(limit=limit, keeps_bodies=False)
    records = [a_stored_record(at, a_body(MsgKey=str(at))) for at in range(3)]
    headers = [{name: value.decode() for name, value in each.headers} for each in records]
    for ce_id in ("only in the database", *(each["ce_id"] for each in headers)):
        collection.add_row(a_row(ce_id))
    for record, texts in zip(records, headers, strict=True):
        collection.add(texts, record.value, Sighting(store=ARCHIVE, where="here"))
    shown = [sighting.store for each in collection.callbacks for sighting in each.sightings]
    assert shown == ([ARCHIVE] * 3 + [DATABASE])[:limit]
    assert collection.further == max(0, 4 - limit)
    assert collection.is_further_exact
    collection.has_more_rows = True
    assert not collection.is_further_exact
    answer = an_answer()
    answer.collection = collection
    text = "\n".join(output.lines(answer, now=NOW, with_body=False))
    assert ("at least 1 more callback found" in text) == (limit == 3)


def test_rows_above_the_limit_make_further_inexact_also_if_all_others_are_in_records() -> None:
    """Without Kafka, an archive that lags has the oldest callbacks, and not the younger ones."""
    collection = CallbackCollection(limit=1, keeps_bodies=False)
    collection.has_more_rows = True
    for at in range(2):
        record = a_stored_record(at, a_body(MsgKey=str(at)))
        headers = {name: value.decode() for name, value in record.headers}
        collection.add_row(a_row(headers["ce_id"]))
        collection.add(headers, record.value, Sighting(store=ARCHIVE, where="here"))
    assert (collection.further, collection.is_further_exact) == (1, False)


async def test_a_damaged_segment_is_not_searched_and_the_others_are(tmp_path: Path) -> None:
    """The answer is then not "not there". A place names the line of the segment."""
    world = World(1, tmp_path)
    made = world.made[40]
    question = question_of(made.ce_id, "ce_id", app=None)
    time_range = TimeRange(since=BEGINS - timedelta(hours=1), until=NOW)
    whole = await found_in(tmp_path, question, time_range)
    collection = CallbackCollection(limit=20, keeps_bodies=False)
    await ArchiveSearch(str(tmp_path), question, collection, lambda _: None).search(time_range)
    sighting = collection.callbacks[0].sightings[0]
    name, number = sighting.where.split(" line ")
    content = bytearray((tmp_path / name).read_bytes())
    line = list(read_lines(bytes(content)))[int(number) - 1]
    assert json.loads(line)["offset"] == sighting.offset
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    collection = CallbackCollection(limit=20, keeps_bodies=False)
    with pytest.raises(NotSearched, match=re.escape(name)):
        await ArchiveSearch(str(tmp_path), question, collection, lambda _: None).search(time_range)
    assert len(collection.callbacks) == len(whole) - 1


async def test_an_archive_alone_never_proves_that_a_callback_is_nowhere(tmp_path: Path) -> None:
    """The other sources are listed with the options that name them."""
    World(1, tmp_path, records=10)
    sources = Sources(archive=str(tmp_path))
    question = question_of("f" * 32, "ce_id", app=None)
    answer = await Search(a_request(question), sources, lambda _: None).run()
    assert answer.exit_code == ExitCode.INCOMPLETE
    assert "--postgres" in answer.not_searched["database"]
    gone = Sources(archive=str(tmp_path / "nothing"))
    answer = await Search(a_request(question), gone, lambda _: None).run()
    assert answer.exit_code == ExitCode.UNREADABLE
    assert "no such directory" in answer.not_searched[ARCHIVE]
