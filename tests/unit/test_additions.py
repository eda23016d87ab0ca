"""What a callback adds to the statistics."""

from typing import Any

import pytest
from support.builders import MAD_TIMES

from schemas.additions import Additions, additions_of, counted_at_s
from schemas.body_fields import sent_at, sent_s
from schemas.figures import ACTIVE, FIGURES_OF_ROLE, KINDS, PEOPLE

C2C = "C2C.CallbackAfterSendMsg"
GROUP = "Group.CallbackAfterSendMsg"
STATE = "State.StateChange"


def counted(command: str = C2C, platform: str = "iOS", **fields: Any) -> Additions:
    """Return what a message from a to b, with these fields, adds."""
    return additions_of(command, platform, {"From_Account": "a", "To_Account": "b"} | fields)


def kinds(additions: Additions) -> tuple[str, ...]:
    """Return the kinds of messages as which it is counted."""
    return tuple(kind for kind in KINDS if kind in additions.sums.numbers)


def numbers(additions: Additions, prefix: str) -> dict[str, int]:
    """Return the sums whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): number
        for name, number in additions.sums.numbers.items()
        if name.startswith(prefix)
    }


def test_a_message_is_counted_with_both_people() -> None:
    """In a group the sender is the only person. Fields may be absent."""
    plain = counted()
    assert plain.sums.numbers == {
        "callbacks": 1,
        "one_to_one_messages": 1,
        "command:" + C2C: 1,
        "platform:iOS": 1,
    }
    assert plain.members == (("one_to_one_senders", "a"), ("recipients", "b"))
    assert (
        plain.conversation == ("a", "b") == counted(From_Account="b", To_Account="a").conversation
    )
    assert counted(SendMsgResult=0, OnlineOnlyFlag=0) == plain
    group = counted(GROUP, To_Account=None, GroupId="@TGS#1")
    assert kinds(group) == ("group_messages",)
    assert group.members == (("group_senders", "a"), ("groups_with_messages", "@TGS#1"))
    assert group.members_in(ACTIVE) == {"a"}
    assert group.conversation == ("@TGS#1",)


def test_every_role_is_in_the_figures_that_are_made_of_it() -> None:
    """A figure of people is the union of its roles."""
    assert FIGURES_OF_ROLE["recipients"] == ("active", "recipients")
    assert {f for figures in FIGURES_OF_ROLE.values() for f in figures} == set(PEOPLE)


@pytest.mark.parametrize("command", [STATE, "C2C.CallbackAfterMsgReport", "Push.OfflinePush"])
def test_other_commands_are_not_messages(command: str) -> None:
    """They are counted only by their names."""
    additions = counted(command, OnlineOnlyFlag=1, SendMsgResult=5)
    assert (additions.sums.numbers, additions.members) == (
        {"callbacks": 1, "command:" + command: 1},
        (),
    )


def test_a_command_that_is_not_known_is_another_one() -> None:
    """Its name is bounded by the store."""
    sums = additions_of("New.Command", "", {}).sums
    assert sums.numbers == {"callbacks": 1, "command:other": 1}
    assert sums.unknown_command == "New.Command"


@pytest.mark.parametrize("result", [20006, -1, "80001"])
def test_a_message_that_was_not_delivered_is_counted_as_such(result: object) -> None:
    """SendMsgResult is an error code then."""
    additions = counted(SendMsgResult=result)
    assert kinds(additions) == ("one_to_one_messages", "undelivered")
    assert additions.sums.numbers["one_to_one_undelivered"] == 1
    assert "one_to_one_undelivered" not in counted(GROUP, SendMsgResult=result).sums.numbers


@pytest.mark.parametrize("result", [0, "0", None, True, 1.5, [], "refused", {}])
def test_a_result_that_is_not_an_error_code_is_ignored(result: object) -> None:
    """A value of an unusual type counts as absent."""
    assert kinds(counted(SendMsgResult=result)) == ("one_to_one_messages",)


@pytest.mark.parametrize("flag", [1, "1"])
@pytest.mark.parametrize("command", [C2C, GROUP])
def test_an_online_only_message_is_counted_apart(flag: object, command: str) -> None:
    """From every sender, delivered or not: a typing hint does not make a person active."""
    additions = counted(command, OnlineOnlyFlag=flag, SendMsgResult=5, From_Account="@RBT#1")
    assert additions.sums.numbers == {"callbacks": 1, "online_only": 1, "command:" + command: 1}
    assert (additions.members, additions.conversation) == ((), ())


@pytest.mark.parametrize("flag", [0, "0", None, True, 2, 1.0, [1], ""])
def test_another_online_only_flag_is_ignored(flag: object) -> None:
    """Only 1 is documented."""
    assert kinds(counted(OnlineOnlyFlag=flag)) == ("one_to_one_messages",)


@pytest.mark.parametrize("platform", ["RESTAPI", "RestApi", "restapi"])
@pytest.mark.parametrize("command", [C2C, GROUP])
def test_a_message_of_the_rest_api_is_by_the_app(platform: str, command: str) -> None:
    """In the name of any account: only the recipient is counted as a person."""
    additions = counted(command, platform, From_Account="service-17")
    assert (kinds(additions)[1:], additions.members) == (("by_app",), (("recipients", "b"),))


def test_an_administrator_is_the_app_on_every_platform() -> None:
    """The account `administrator` exists in every app; as a recipient it is not a person either."""
    additions = counted(From_Account="administrator")
    assert (kinds(additions), additions.members_in(ACTIVE)) == (
        ("one_to_one_messages", "by_app"),
        {"b"},
    )
    additions = counted(To_Account="administrator")
    assert (kinds(additions), additions.members_in(ACTIVE)) == (("one_to_one_messages",), {"a"})
    assert counted(From_Account="administrators").members_in(ACTIVE) == {"administrators", "b"}


def test_an_administrator_sends_to_a_group_in_another_name() -> None:
    """Operator_Account shows it, also if the platform is not known."""
    fields = {"To_Account": None, "From_Account": "news"}
    additions = counted(GROUP, "", **fields, Operator_Account="administrator")
    assert (kinds(additions), additions.members) == (("group_messages", "by_app"), ())
    assert counted(GROUP, "", **fields, Operator_Account="news").members_in(ACTIVE) == {"news"}


@pytest.mark.parametrize("platform", ["RESTAPI", "", "iOS"])
def test_a_robot_is_a_robot_on_every_platform(platform: str) -> None:
    """Robots answer by the REST API; as recipients they are not persons either."""
    additions = counted(platform=platform, From_Account="@RBT#case")
    assert (kinds(additions), additions.members_in(ACTIVE)) == (
        ("one_to_one_messages", "by_robots"),
        {"b"},
    )
    additions = counted(To_Account="@RBT#case")
    assert (kinds(additions), additions.members_in(ACTIVE)) == (("one_to_one_messages",), {"a"})
    both = counted(From_Account="a@RBT#", To_Account="@rbt#1")
    assert both.members_in(ACTIVE) == {"a@RBT#", "@rbt#1"}


def test_one_message_may_have_several_kinds() -> None:
    """For example not delivered, and by a robot."""
    additions = counted(From_Account="@RBT#1", SendMsgResult=1)
    assert kinds(additions) == ("one_to_one_messages", "undelivered", "by_robots")


@pytest.mark.parametrize(
    ("elements", "right"),
    [
        (["TIMTextElem"], {"TIMTextElem": 1}),
        (["TIMTextElem", "TIMImageElem", "TIMTextElem"], {"TIMTextElem": 1, "TIMImageElem": 1}),
        (["TIMNewElem", "x", "TIMFaceElem"], {"other": 1, "TIMFaceElem": 1}),
        ([None, 1, {}], {}),
        ([], {}),
    ],
)
def test_a_message_has_each_of_its_types_once(elements: list[Any], right: dict[str, int]) -> None:
    """Types that are not known are one figure."""
    body = [{"MsgType": kind} for kind in elements]
    assert numbers(counted(MsgBody=body), "type:") == right


@pytest.mark.parametrize("body", [None, {}, "TIMTextElem", ["TIMTextElem"], 7])
def test_a_body_of_an_unusual_type_has_no_elements(body: object) -> None:
    """The message counts all the same."""
    assert numbers(counted(MsgBody=body), "type:") == {}


@pytest.mark.parametrize(
    ("platform", "right"),
    [
        ("IOS", "iOS"),
        ("ipad", "iPad"),
        ("", "Unknown"),
        ("unknown", "Unknown"),
        ("Vision", "other"),
    ],
)
def test_a_message_has_a_platform_of_a_bounded_list(platform: str, right: str) -> None:
    """In whatever case it is written."""
    assert numbers(counted(platform=platform), "platform:") == {right: 1}


@pytest.mark.parametrize(
    ("info", "right"),
    [
        ({"Action": "Login", "Reason": "Register"}, {"log_ins": 1, "registrations": 1}),
        ({"Action": "Login", "Reason": "Other"}, {"log_ins": 1}),
        ({"Action": "Logout", "Reason": "Unregister"}, {"log_outs": 1}),
        ({"Action": "Disconnect", "Reason": "LinkClose"}, {"log_outs": 1}),
        ({"Action": "TimeOut"}, {"log_outs": 1}),
        ({"Action": ["Login"]}, {}),
        ("Login", {}),
    ],
)
def test_a_change_of_state_is_a_log_in_or_a_log_out(info: Any, right: dict[str, int]) -> None:
    """The account of a log-in counts as a person who logged in, and not as active."""
    document = {"Info": info | {"To_Account": "a"} if isinstance(info, dict) else info}
    additions = additions_of(STATE, "", document)
    assert additions.sums.numbers == {"callbacks": 1, "command:" + STATE: 1, **right}
    assert additions.members == ((("logged_in", "a"),) if "log_ins" in right else ())


@pytest.mark.parametrize(
    ("command", "field", "figure"),
    [
        ("Group.CallbackAfterNewMemberJoin", "NewMemberList", "group_joins"),
        ("Group.CallbackAfterMemberExit", "ExitMemberList", "group_leaves"),
        ("Sns.CallbackFriendAdd", "PairList", "contacts_added"),
        ("Sns.CallbackFriendDelete", "PairList", "contacts_removed"),
    ],
)
def test_a_list_adds_its_length_within_a_bound(command: str, field: str, figure: str) -> None:
    """At least 1, at most 1000."""
    for entries, right in (([{}] * 3, 3), ([], 1), (None, 1), ("abc", 1), ([1] * 5000, 1000)):
        assert additions_of(command, "", {field: entries}).sums.numbers[figure] == right


def test_groups_are_created_and_dissolved() -> None:
    """Each callback is one group."""
    assert (
        additions_of("Group.CallbackAfterCreateGroup", "", {}).sums.numbers["groups_created"] == 1
    )
    assert (
        additions_of("Group.CallbackAfterGroupDestroyed", "", {}).sums.numbers["groups_dissolved"]
        == 1
    )


RECEIVED_S = 1_700_000_000


@pytest.mark.parametrize("time", MAD_TIMES)
def test_without_a_plausible_time_a_callback_is_counted_at_its_receipt(time: object) -> None:
    """Whatever is in the body."""
    assert counted_at_s({"MsgTime": time}, RECEIVED_S) == RECEIVED_S


@pytest.mark.parametrize(
    ("away_s", "is_plausible"),
    [(0, True), (-31 * 86400, True), (-31 * 86400 - 1, False), (86400, True), (86401, False)],
)
def test_a_plausible_time_is_the_one_that_counts(away_s: int, is_plausible: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """From 31 days before the receipt to a day after it."""
    at = RECEIVED_S + away_s
    assert counted_at_s({"MsgTime": at}, RECEIVED_S) == (at if is_plausible else RECEIVED_S)
    assert counted_at_s({"EventTime": at * 1000 + 999}, RECEIVED_S) == (
        at if is_plausible else RECEIVED_S
    )


@pytest.mark.parametrize("time", [*MAD_TIMES, 1764688415, "1764688415", -62135596800, -62135596801])
def test_both_readers_of_a_time_agree(time: object) -> None:
    """One returns a datetime, the other one whole seconds."""
    for field in ("MsgTime", "EventTime"):
        slow, fast = sent_at({field: time}), sent_s({field: time})
        assert fast == (None if slow is None else int(slow.timestamp() // 1))
