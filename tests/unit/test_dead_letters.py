"""Dead letters: reading them, grouping them, and what may be sent where. Without Kafka."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord
from support.builders import a_body, a_callback

from ops.dead_letters.actions import action
from ops.dead_letters.filters import LetterFilter
from ops.dead_letters.groups import GROUPS_MAX, OTHERS, Groups
from ops.dead_letters.letter import UNKNOWN_CONSUMER, DeadLetter, dead_letter, parse_id
from ops.dead_letters.output import print_groups
from ops.dead_letters.repaired import repaired
from ops.dead_letters.targets import CannotResend, ResendCounts, check_can_resend, result_text
from schemas.body import Malformed
from schemas.dead_letter import COMPONENT, CONNECT, GROUP
from schemas.dead_letter_actions import Action, ActionResult, Actions, RecordId, decoded, encoded
from schemas.outgoing_record import (
    OutgoingRecord,
    main_topic_record,
    malformed_record,
    refused_record,
    with_place_and_id,
)

AT_MS = 1_700_000_000_000


def stored(
    record: OutgoingRecord, offset: int = 5, more: Mapping[str, bytes] = MappingProxyType({})
) -> DeadLetter:
    """Return a record as a dead letter at an offset; `more` are headers."""
    headers = [*with_place_and_id(record.headers, "o" * 16, 3), *more.items()]
    return dead_letter(
        ConsumerRecord(
            *("topic", 0, offset, AT_MS, 1, record.key, record.value, None, 0, 0), headers
        )
    )


def rejected(consumer: str, reason: str, offset: int = 5) -> DeadLetter:
    """Return a dead letter of a consumer."""
    more = {
        GROUP: consumer.encode(),
        CONNECT + "exception.message": reason.encode(),
        CONNECT + "partition": b"4",
        CONNECT + "offset": b"17",
    }
    return stored(main_topic_record(a_callback()), offset, more)


def test_a_dead_letter_names_who_rejected_it_and_which_record() -> None:
    """Headers of the rejection are not part of the original record."""
    letter = rejected("sync", "violates a rule")
    assert (letter.consumer, letter.source, str(letter.id)) == ("sync", (4, 17), "0/5")
    assert not [name for name, _ in letter.headers if "errors" in name]
    assert (letter.origin, letter.sequence) == ("o" * 16, 3)
    of_ingress = stored(malformed_record(a_callback(b"{"), Malformed("not JSON")))
    assert (of_ingress.consumer, of_ingress.source) == ("ingress", None)
    other = stored(main_topic_record(a_callback()), more={COMPONENT: b"connector"})
    assert other.consumer == UNKNOWN_CONSUMER


@pytest.mark.parametrize("text", ["", "1", "1/", "/1", "-1/2", "1/2/3", "٣/1", "1/" + "9" * 19])
def test_an_id_is_a_partition_and_an_offset(text: str) -> None:
    """Nothing else is taken for one."""
    assert parse_id(text) is None
    assert parse_id("0/1234") == RecordId(0, 1234)


def test_groups_are_bounded_and_none_of_the_letters_is_left_out() -> None:
    """Whatever texts other programs write."""
    groups = Groups(Actions("topic"))
    groups.add(rejected("sync", "row 5 of b violates rule2", at) for at in range(10))
    (group,) = groups.sorted()
    assert (group.open, group.reason) == (10, "row N of b violates rule2")
    groups.add(rejected("sync", "x" * at, 10 + at) for at in range(150))
    groups.add(rejected(f"team-{at:x}-", "text", at) for at in range(2 * GROUPS_MAX))
    sorted_groups = groups.sorted()
    assert len(sorted_groups) <= GROUPS_MAX + 1
    assert sum(each.open for each in sorted_groups) == 160 + 2 * GROUPS_MAX
    assert OTHERS in {each.consumer for each in sorted_groups}


def test_groups_are_in_the_order_of_their_consumers() -> None:
    """Of each consumer, that with the most open dead letters is first."""
    groups = Groups(Actions("topic"))
    groups.add([rejected("sync", "rule", 0), rejected("counters", "rule", 1)])
    groups.add(rejected("sync", "another rule", at) for at in (2, 3))
    assert [(each.consumer, each.open) for each in groups.sorted()] == [
        ("counters", 1),
        ("sync", 2),
        ("sync", 1),
    ]


@pytest.mark.parametrize(
    ("consumer", "why"),
    [("ingress", "by another command"), ("sync", "sync will read"), ("webhook-a", "do not name a")],
)
def test_a_resend_says_why_it_has_skipped_dead_letters(consumer: str, why: str) -> None:
    """Only if it has skipped some."""
    assert result_text(ResendCounts(2, 0, 0), consumer) == "2 sent, 0 rejected again, 0 skipped"
    assert why in result_text(ResendCounts(1, 0, 1), consumer)


def taken(letters: Iterable[DeadLetter], result: ActionResult, topic_id: str = "topic") -> Action:
    """Return an action as it is read again."""
    made = decoded(encoded(action(list(letters), result, by="test", topic_id=topic_id)))
    assert made is not None
    return made


def test_an_action_is_about_the_dead_letters_of_one_topic() -> None:
    """What was rejected again stays open; a later dead letter of the same callback is a new one."""
    actions, letter = Actions("topic"), rejected("sync", "a rule")
    actions.add(taken([letter], ActionResult.RESENT, topic_id="another"))
    actions.add(taken([letter], ActionResult.REJECTED))
    assert actions.is_open(letter.id)
    actions.add(taken([letter], ActionResult.RESENT))
    assert not actions.is_open(letter.id)
    later = rejected("sync", "a rule", offset=6)
    assert actions.is_open(later.id)
    assert actions.was_resent(later.consumer, later.origin, later.sequence)
    assert decoded(b'{"of": "another program"}') is None


def test_a_filter_selects_by_all_that_it_names() -> None:
    """Reasons by a part of them, in any case of letters."""
    letter = rejected("sync", "violates the rule no_user3")
    for wanted, selects in (
        (LetterFilter(), True),
        (LetterFilter(consumer="sync", reason="NO_USER", ids=(letter.id,)), True),
        (LetterFilter(consumer="counters"), False),
        (LetterFilter(reason="no_user4"), False),
        (LetterFilter(command="State.StateChange"), False),
        (LetterFilter(since=letter.at.replace(year=2025)), False),
        (LetterFilter(until=letter.at), False),
        (LetterFilter(ids=(RecordId(0, 6),)), False),
    ):
        assert wanted.selects(letter) is selects, wanted


def test_a_malformed_callback_becomes_the_record_that_the_ingress_would_have_made() -> None:
    """Except its id, which its dead letter has, too."""
    callback = a_callback(a_body(CloudCustomData="中"), command="C2C.CallbackAfterSendMsg")
    letter = stored(malformed_record(callback, Malformed("an earlier rule")))
    made, expected = repaired(letter), main_topic_record(callback)
    headers = dict(with_place_and_id(expected.headers, "o" * 16, 3))
    assert (made.topic, made.key, made.value) == (expected.topic, expected.key, expected.value)
    assert dict(made.headers) == headers | {"ce_id": dict(letter.headers)["ce_id"]}


def test_a_callback_that_kafka_refused_is_sent_as_it_was() -> None:
    """With its own id and key."""
    record = main_topic_record(a_callback())
    made = repaired(stored(refused_record(record, ValueError("too large"), 1)))
    assert made == msgspec.structs.replace(
        record, headers=with_place_and_id(record.headers, "o" * 16, 3)
    )


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b"{}", {}),
        # Its command was cut, so it would become another one.
        (b"{}", {"command": "x" * 300}),
        (a_body(), {"command": "Group.CallbackAfterSendMsg"}),
    ],
)
def test_what_is_still_malformed_is_not_sent(body: bytes, fields: dict[str, str]) -> None:
    """By the rules of the ingress."""
    letter = stored(malformed_record(a_callback(body, **fields), Malformed("a rule")))
    with pytest.raises(Malformed):
        repaired(letter)


@pytest.mark.parametrize(
    ("consumer", "remedy"),
    [
        ("archive", "rejects no record"),
        ("counters", "hookline counters rebuild"),
        ("webhook-", "hookline dead-letters drop"),
        ("billing", "docs/contract.md"),
    ],
)
def test_an_error_says_what_to_do_with_other_dead_letters(consumer: str, remedy: str) -> None:
    """Only sync, the ingress and webhooks can get them again."""
    with pytest.raises(CannotResend, match=remedy):
        check_can_resend(consumer)
    check_can_resend("sync")
    check_can_resend("ingress")
    check_can_resend("webhook-crm")


def printed_groups(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines about a dead letter of sync, and one of a webhook that was sent again."""
    reason = "row violates the check constraint no_user3 of the table messages"
    letters = [rejected("sync", reason), rejected("webhook-crm", "answered 422", 6)]
    groups = Groups(Actions("topic"))
    groups.add(letters)
    print_groups(groups.sorted(), as_json=False)
    return capsys.readouterr().out.splitlines()


def test_each_row_is_on_one_line_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So grep finds the command, the id and the whole reason of a row together."""
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed_groups(capsys)
    (row,) = (line for line in lines if "no_user3 of the table messages" in line)
    for part in ("sync", "C2C.CallbackAfterSendMsg", "2023-11-14T22:13:20Z", "0/5"):
        assert part in row.split()
    assert not [line for line in lines if line.endswith(" ")]


def test_no_word_is_broken_where_a_row_has_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group has a line for each thing then."""
    monkeypatch.setenv("COLUMNS", "80")
    assert printed_groups(capsys)[:4] == [
        "sync: C2C.CallbackAfterSendMsg",
        "  1 open, 0 sent again, 0 dropped",
        "  2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z, for example 0/5",
        "  row violates the check constraint no_user3 of the table messages",
    ]
