"""The table of the vendor's commands, and the parties, key and id of a callback of each."""

import json

import pytest
from support.builders import APP, a_callback
from support.vendor_samples import SAMPLES

from schemas.body_fields import MESSAGE_COMMANDS
from schemas.commands import COMMANDS, UNKNOWN
from schemas.outgoing_record import ID, main_topic_record
from schemas.parties import parties

MESSAGES = {
    "C2C.CallbackAfterSendMsg",
    "Group.CallbackAfterSendMsg",
    "OfficialAccount.CallbackAfterSendMsg",
    "Bot.OnC2CMessage",
    "Bot.OnGroupMessage",
}


def test_every_command_has_a_sample() -> None:
    """The table has a command for every sample, too."""
    assert list(SAMPLES) == list(COMMANDS)


def test_the_table_has_two_identities_and_two_orders() -> None:
    """The table is text, so this test checks its words."""
    assert {command.identity for command in COMMANDS.values()} == {"key", "request"}
    assert {command.order for command in COMMANDS.values()} == {"conversation", "account"}
    assert UNKNOWN not in [COMMANDS[name] for name in MESSAGES]


def test_messages_are_the_commands_that_report_a_sent_message() -> None:
    """In other commands MsgKey names the message that the event is about."""
    assert {name for name, rule in COMMANDS.items() if rule.identity == "key"} == MESSAGES
    assert set(MESSAGE_COMMANDS) <= MESSAGES


@pytest.mark.parametrize("command", SAMPLES)
def test_every_command_has_its_parties_and_its_key(command: str) -> None:
    """The conversation, the room, the official account or the account keeps one partition."""
    sample = SAMPLES[command]
    who = parties(sample.document)
    assert (who.sender, who.recipient, who.group) == (sample.sender, sample.recipient, sample.group)
    record = main_topic_record(a_callback(json.dumps(sample.document).encode(), command=command))
    assert record.key == (None if sample.key is None else f"{APP}/{sample.key}".encode())


@pytest.mark.parametrize("command", SAMPLES)
def test_a_callback_that_carries_a_time_has_an_identity_of_its_own(command: str) -> None:
    """Only the results of moderation are documented without a time."""
    record = main_topic_record(
        a_callback(json.dumps(SAMPLES[command].document).encode(), command=command)
    )
    assert any(name == ID for name, _ in record.headers) == (
        command != "ContentCallback.ResultNotify"
    )


def test_events_of_one_conversation_have_one_key_for_all_commands() -> None:
    """So a recall comes after its message, and a room's message after the room's creation."""
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
def test_several_events_have_a_party_if_all_of_them_name_it(
    events: object, who: tuple[str, str, str]
) -> None:
    """Otherwise they do not belong to one conversation, and need no order."""
    callback_parties = parties({"Events": events})
    assert (callback_parties.sender, callback_parties.recipient, callback_parties.group) == who


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
def test_a_party_of_an_unusual_type_counts_as_absent(document: dict[str, object]) -> None:
    """The callback is not malformed."""
    callback_parties = parties(document)
    assert (
        callback_parties.sender,
        callback_parties.recipient,
        callback_parties.group,
        callback_parties.official_account,
    ) == ("", "", "", "")
