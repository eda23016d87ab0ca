"""The table of the vendor's commands, and what a callback of each one comes to."""

import json

import pytest
from support.builders import APP, a_callback
from support.vendor_samples import SAMPLES

from schemas.commands import COMMANDS, UNKNOWN
from schemas.message import MESSAGE_COMMANDS
from schemas.parties import parties
from schemas.record import ID, callback_record

MESSAGES = {
    "C2C.CallbackAfterSendMsg",
    "Group.CallbackAfterSendMsg",
    "OfficialAccount.CallbackAfterSendMsg",
    "Bot.OnC2CMessage",
    "Bot.OnGroupMessage",
}


def test_every_command_has_a_sample() -> None:
    """And no sample is of a command that the table forgot."""
    assert list(SAMPLES) == list(COMMANDS)


def test_the_table_knows_two_identities_and_two_orders() -> None:
    """It is text, so its words are checked here."""
    assert {command.identity for command in COMMANDS.values()} == {"message", "event"}
    assert {command.order for command in COMMANDS.values()} == {"conversation", "account"}
    assert UNKNOWN not in [COMMANDS[name] for name in MESSAGES]


def test_messages_are_the_commands_that_say_that_one_was_sent() -> None:
    """Elsewhere MsgKey names the message that the event is about."""
    assert {name for name, rule in COMMANDS.items() if rule.identity == "message"} == MESSAGES
    assert set(MESSAGE_COMMANDS) <= MESSAGES


@pytest.mark.parametrize("command", SAMPLES)
def test_every_command_has_its_parties_and_its_key(command: str) -> None:
    """The conversation, the room, the official account or the account keeps one partition."""
    sample = SAMPLES[command]
    who = parties(sample.document)
    assert (who.sender, who.recipient, who.group) == (sample.sender, sample.recipient, sample.group)
    record = callback_record(a_callback(json.dumps(sample.document).encode(), command=command))
    assert record.key == (None if sample.key is None else f"{APP}/{sample.key}".encode())


@pytest.mark.parametrize("command", SAMPLES)
def test_a_callback_that_carries_a_time_has_an_identity_of_its_own(command: str) -> None:
    """Only the results of moderation are documented without a time."""
    record = callback_record(
        a_callback(json.dumps(SAMPLES[command].document).encode(), command=command)
    )
    assert any(name == ID for name, _ in record.headers) == (
        command != "ContentCallback.ResultNotify"
    )


def test_events_of_one_conversation_share_a_key_whichever_command_tells_them() -> None:
    """A recall follows its message, a room's message the room's creation."""
    for commands in (
        ("C2C.CallbackAfterSendMsg", "C2C.CallbackAfterMsgReport", "Bot.OnC2CMessage"),
        ("Group.CallbackAfterSendMsg", "Group.CallbackAfterTopicDestroyed", "Bot.OnGroupMessage"),
        ("Sns.CallbackFriendAdd", "Sns.CallbackFriendDelete", "State.StateChange"),
        ("Live.CallbackAfterCreateRoom", "Live.CallbackAfterEndBattle"),
    ):
        assert len({SAMPLES[command].key for command in commands}) == 1


@pytest.mark.parametrize(
    ("events", "who"),
    [
        ([{"From_Account": "a", "To_Account": "b", "GroupID": "g"}], ("a", "b", "g")),
        ([{"To_Account": "b"}, {"To_Account": "b"}], ("", "b", "")),
        ([{"To_Account": "b"}, {"To_Account": "c"}], ("", "", "")),
        ([{"To_Account": "b"}, {}], ("", "", "")),
        ([{"To_Account": "b"}, "c"], ("", "", "")),
        ([], ("", "", "")),
        ("b", ("", "", "")),
        (None, ("", "", "")),
    ],
)
def test_a_batch_is_of_a_party_that_all_of_its_events_have(
    events: object, who: tuple[str, str, str]
) -> None:
    """Else it belongs to no conversation, and its events need no order."""
    found = parties({"Events": events})
    assert (found.sender, found.recipient, found.group) == who


@pytest.mark.parametrize(
    "document",
    [
        {"To_Account": ["b", "c"]},
        {"To_Account": []},
        {"To_Account": {"b": 1}},
        {"PairList": {"From_Account": "a"}},
        {"PairList": ["a"]},
        {"Info": "a"},
        {"GiftWater": [{"To_Account": "b"}]},
        {"From_Account": 1.5, "GroupId": True},
    ],
    ids=str,
)
def test_a_party_of_an_unusual_type_is_none(document: dict[str, object]) -> None:
    """Nothing is malformed for it."""
    found = parties(document)
    assert (found.sender, found.recipient, found.group, found.channel) == ("", "", "", "")
