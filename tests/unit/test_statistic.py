"""The contribution of a callback to the statistics."""

from typing import Any

import pytest

from schemas.message import Statistic, statistic

C2C = "C2C.CallbackAfterSendMsg"
GROUP = "Group.CallbackAfterSendMsg"


def counted(command: str = C2C, platform: str = "iOS", **fields: Any) -> Statistic:
    """Return what a message from a to b, with these fields, adds."""
    return statistic(command, platform, {"From_Account": "a", "To_Account": "b"} | fields)


def test_a_message_is_counted_with_both_people() -> None:
    """In a group the sender is the only person. Fields may be absent."""
    both = Statistic(("one_to_one_messages",), ("a", "b"))
    assert counted() == counted(SendMsgResult=0, OnlineOnlyFlag=0) == both
    assert counted(GROUP, To_Account=None) == Statistic(("group_messages",), ("a",))


@pytest.mark.parametrize("command", ["State.StateChange", "C2C.CallbackAfterMsgReport", ""])
def test_other_commands_are_not_messages(command: str) -> None:
    """They are counted only by their names."""
    assert counted(command, OnlineOnlyFlag=1, SendMsgResult=5) == Statistic((), ())


@pytest.mark.parametrize("result", [20006, -1, "80001"])
def test_a_message_that_was_not_delivered_is_counted_as_such(result: object) -> None:
    """SendMsgResult is an error code then."""
    assert counted(SendMsgResult=result).kinds == ("one_to_one_messages", "undelivered")


@pytest.mark.parametrize("result", [0, "0", None, True, 1.5, [], "refused", {}])
def test_a_result_that_is_not_an_error_code_is_ignored(result: object) -> None:
    """A value of an unusual type counts as absent."""
    assert counted(SendMsgResult=result).kinds == ("one_to_one_messages",)


@pytest.mark.parametrize("flag", [1, "1"])
@pytest.mark.parametrize("command", [C2C, GROUP])
def test_an_online_only_message_is_counted_apart(flag: object, command: str) -> None:
    """From every sender, delivered or not: a typing hint does not make a person active."""
    assert counted(command, OnlineOnlyFlag=flag, SendMsgResult=5, From_Account="@RBT#1") == (
        ("online_only",),
        (),
    )


@pytest.mark.parametrize("flag", [0, "0", None, True, 2, 1.0, [1], ""])
def test_another_online_only_flag_is_ignored(flag: object) -> None:
    """Only 1 is documented."""
    assert counted(OnlineOnlyFlag=flag).kinds == ("one_to_one_messages",)


@pytest.mark.parametrize("platform", ["RESTAPI", "RestApi", "restapi"])
@pytest.mark.parametrize("command", [C2C, GROUP])
def test_a_message_of_the_rest_api_is_by_the_app(platform: str, command: str) -> None:
    """In the name of any account: only the recipient is counted as a person."""
    kinds, people = counted(command, platform, From_Account="service-17")
    assert (kinds[1:], people) == (("by_app",), ("b",))


def test_an_administrator_is_the_app_on_every_platform() -> None:
    """The account `administrator` exists in every app; as a recipient it is not a person either."""
    assert counted(From_Account="administrator") == (("one_to_one_messages", "by_app"), ("b",))
    assert counted(To_Account="administrator") == (("one_to_one_messages",), ("a",))
    assert counted(From_Account="administrators").people == ("administrators", "b")


def test_an_administrator_sends_to_a_group_in_another_name() -> None:
    """Operator_Account shows it, also if the platform is not known."""
    fields = {"To_Account": None, "From_Account": "news"}
    assert counted(GROUP, "", **fields, Operator_Account="administrator") == (
        ("group_messages", "by_app"),
        (),
    )
    assert counted(GROUP, "", **fields, Operator_Account="news").people == ("news",)


@pytest.mark.parametrize("platform", ["RESTAPI", "", "iOS"])
def test_a_robot_is_a_robot_on_every_platform(platform: str) -> None:
    """Robots answer by the REST API; as recipients they are not persons either."""
    assert counted(platform=platform, From_Account="@RBT#case") == (
        ("one_to_one_messages", "by_robots"),
        ("b",),
    )
    assert counted(To_Account="@RBT#case") == (("one_to_one_messages",), ("a",))
    assert counted(From_Account="a@RBT#", To_Account="@rbt#1").people == ("a@RBT#", "@rbt#1")


def test_one_message_may_have_several_kinds() -> None:
    """For example not delivered, and by a robot."""
    kinds, _ = counted(From_Account="@RBT#1", SendMsgResult=1)
    assert kinds == ("one_to_one_messages", "undelivered", "by_robots")
