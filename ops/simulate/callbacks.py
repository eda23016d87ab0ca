"""Made-up callbacks that look like an app's: the mix of commands, and each as an HTTP request."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from ops.simulate import documents, membership
from schemas.additions import Additions, additions_of
from schemas.record import ID, ReceivedCallback, callback_record

PLATFORMS = ("iOS", "Android", "Web", "Windows", "Mac", "iPad", "RESTAPI", "Unknown")
MakeDocument = Callable[[random.Random, int], dict[str, Any]]
# The percentage of callbacks that each function makes.
SHARES: dict[MakeDocument, int] = {
    documents.c2c_message: 66,
    documents.group_message: 13,
    documents.topic_message: 2,
    documents.official_message: 1,
    documents.state_change: 6,
    documents.read_report: 5,
    documents.withdrawal: 2,
    documents.extension_change: 1,
    membership.group_change: 2,
    membership.contact_change: 2,
}


@dataclass(frozen=True, slots=True)
class SimulatedCallback:
    """One callback as the vendor sends it, with the `ce_id` that it must have in every sink."""

    sdkappid: str
    command: str
    query: str
    body: bytes
    id: str
    added: Additions


def requests(sdkappids: tuple[str, ...], *, users: int, seed: int) -> Iterator[SimulatedCallback]:
    """Yield callbacks without end; the same seed gives the same people and commands."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
    makers, shares = list(SHARES), list(SHARES.values())
    while True:
        sdkappid = chance.choice(sdkappids)
        (make,) = chance.choices(makers, shares)
        yield _request(chance, sdkappid, make(chance, users))


def _request(chance: random.Random, sdkappid: str, document: dict[str, Any]) -> SimulatedCallback:
    command = document["CallbackCommand"]
    platform = chance.choice(PLATFORMS)
    client_ip = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    query = {
        "SdkAppid": sdkappid,
        "CallbackCommand": command,
        "contenttype": "json",
        "ClientIP": client_ip,
        "OptPlatform": platform,
    }
    body = orjson.dumps(document)
    return SimulatedCallback(
        sdkappid,
        command,
        urlencode(query),
        body,
        _identity(sdkappid, command, client_ip, platform, body),
        additions_of(command, platform, document),
    )


def _identity(sdkappid: str, command: str, client_ip: str, opt_platform: str, body: bytes) -> str:
    record = callback_record(
        ReceivedCallback(
            sdkappid=sdkappid,
            command=command,
            client_ip=client_ip,
            opt_platform=opt_platform,
            received_at_ms=0,
            body=body,
        )
    )
    return dict(record.headers)[ID].decode()
