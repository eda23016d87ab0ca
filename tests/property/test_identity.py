"""Two promises: different events never share an id, a repeated request has the id of the first."""

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import APP
from support.vendor_samples import SAMPLES

from schemas.commands import COMMANDS
from schemas.identity import IdentifyingParts, content_digest
from schemas.outgoing_record import ID, ReceivedCallback, main_topic_record, with_place_and_id

Path = tuple[str | int, ...]
# Fields that may differ if a message is reported again.
MAY_DIFFER = ("EventTime", "UnreadMsgNum")
UNKNOWN = ("Group.CallbackAfterSomethingNew", "New.Command", "c2c.callbackaftersendmsg")

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)  # Parameters of a test, so that parallel test processes share the commands.
PARTS = 4

values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@dataclass(frozen=True)
class Sent:
    """A request as its sender makes it."""

    command: str
    document: dict[str, Any]
    sdkappid: str = APP
    client_ip: str = "203.0.113.7"
    opt_platform: str = "iOS"

    def id(self, sequence: int) -> str:
        """Return the id under which it is stored."""
        body = json.dumps(self.document).encode()
        callback = ReceivedCallback(
            sdkappid=self.sdkappid,
            url_command=self.command,
            client_ip=self.client_ip,
            opt_platform=self.opt_platform,
            received_at_ms=0,
            body=body,
        )
        return dict(with_place_and_id(main_topic_record(callback).headers, "origin", sequence))[
            ID
        ].decode()

    def digest(self) -> bytes:
        """Return the digest of the content, which the audit compares."""
        body = json.dumps(self.document).encode()
        return content_digest(
            IdentifyingParts(self.sdkappid, self.command, self.client_ip, self.opt_platform, body)
        )


def paths(value: Any, at: Path = ()) -> list[Path]:
    """Return the places of all fields and entries, nested ones too."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path for key, each in inner for path in [(*at, key), *paths(each, (*at, key))]]


def changed(draw: st.DrawFn, document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the document with another value at one place, without it, or with one more field."""
    made = copy.deepcopy(document)
    *outer, last = path
    holder: Any = made
    for key in outer:
        holder = holder[key]
    match draw(st.sampled_from(("replace", "near", "remove", "add"))):
        case "replace":
            holder[last] = draw(values)
        case "near":
            holder[last] = draw(st.sampled_from(near(holder[last])))
        case "remove":
            del holder[last]
        case _ if isinstance(holder, dict):
            # Beside the field, so that only the first key of the path shows the place.
            holder[f"{last}{draw(st.text(max_size=3))}+"] = draw(values)
        case _:
            holder.append(draw(values))
    return made


def near(value: Any) -> list[Any]:
    """Return values that a careless comparison would take for this one."""
    match value:
        case bool() | None:
            return [int(bool(value)), str(value)]
        case int():
            return [
                value + 1,
                str(value),
                float(value) if abs(value) < 1 << 53 else -value,
                [value],
            ]
        case str():
            return [f"{value} ", f"{value}\0", value.swapcase() + "/", [value], f"{value}\ud800"]
        case list():
            return [[*value, None], {"0": value}]
        case _:
            return [[value], json.dumps(value)]


@st.composite
def pairs(draw: st.DrawFn, command: str) -> tuple[Sent, Sent, Path]:
    """Draw two requests of a command that differ in one field, or in one parameter of the URL."""
    known = command if command in SAMPLES else draw(st.sampled_from(list(SAMPLES)))
    first = Sent(command, SAMPLES[known].document)
    places: list[Path] = [("SdkAppid",), ("ClientIP",), ("OptPlatform",)]
    path = draw(st.sampled_from(places + paths(first.document)))
    match path:
        case ("SdkAppid",):
            return first, replace(first, sdkappid="1400000002"), path
        case ("ClientIP",):
            return (
                first,
                replace(first, client_ip=draw(st.sampled_from(("", "203.0.113.70")))),
                path,
            )
        case ("OptPlatform",):
            return first, replace(first, opt_platform=draw(st.sampled_from(("", "IOS")))), path
    return first, replace(first, document=changed(draw, first.document, path)), path


def stays_the_same(first: Sent, second: Sent) -> bool:
    """Return whether the second request reports the same message again."""
    rule = COMMANDS.get(first.command)
    if rule is None or rule.identity != "key" or first.sdkappid != second.sdkappid:
        return False
    one, other = ({**each.document} for each in (first, second))
    for field in MAY_DIFFER:
        one.pop(field, None)
        other.pop(field, None)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("part", range(PARTS))
def test_requests_that_differ_in_one_field_have_different_ids(
    part: int, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The field may be nested or in the URL; only a message that is reported again keeps its id."""
    seen: Counter[str] = Counter()
    commands = [*SAMPLES, *UNKNOWN][part::PARTS]
    for command in commands:

        @settings(max_examples=scaled(12))
        @given(pairs(command))
        def check(pair: tuple[Sent, Sent, Path]) -> None:
            first, second, path = pair
            same = stays_the_same(first, second)
            assert (first.id(1) == second.id(2)) is same, path
            assert (first.digest() == second.digest()) is same, path
            seen["repeats of a message" if same else "different events"] += 1

        check()
    assert seen["different events"] > len(commands)
    say(f"{len(commands)} commands: {', '.join(f'{count} {kind}' for kind, count in seen.items())}")


@given(st.sampled_from([*SAMPLES, *UNKNOWN]), st.data())
def test_a_repeated_request_has_the_id_of_the_first(command: str, data: st.DataObject) -> None:
    """This holds for any request that carries a time; without a time, the id is the place."""
    sample = SAMPLES.get(command, SAMPLES["Group.CallbackAfterGroupFull"]).document
    document = sample | data.draw(st.dictionaries(st.text(max_size=8), values, max_size=3))
    sent = Sent(command, document | {"EventTime": 1764688415123})
    assert sent.id(1) == sent.id(2)
    timeless = Sent("New.Command", {key: document[key] for key in document if key != "EventTime"})
    if not timeless.document.get("Events"):
        assert timeless.id(1) != timeless.id(2)
