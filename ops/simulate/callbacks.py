"""Made-up callbacks that look like an app's: the mix of commands, and each as an HTTP request."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from ops.simulate import documents, membership
from schemas.additions import Additions, additions_of
from schemas.outgoing_record import ID, ReceivedCallback, main_topic_record

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
    """
    One callback as the vendor sends it, with the `ce_id` that it must have in every sink.

    `id` is "" if the callback has no identity of its own: then its place in the spool is its id.
    """

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
    platform = chance.choice(PLATFORMS)
    client_ip = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    callback = ReceivedCallback(
        sdkappid=sdkappid,
        url_command=document["CallbackCommand"],
        client_ip=client_ip,
        opt_platform=platform,
        received_at_ms=0,
        body=orjson.dumps(document),
    )
    return request_of(callback, document)


def request_of(callback: ReceivedCallback, document: Mapping[str, Any]) -> SimulatedCallback:
    """
    Return the request in which the vendor sends a callback; `document` is its body.

    Raises:
        Malformed: the body is not that of a callback.
    """
    headers = dict(main_topic_record(callback).headers)
    command = headers["ce_type"].decode()
    parameters = {
        "SdkAppid": callback.sdkappid,
        "CallbackCommand": command,
        "contenttype": "json",
        "ClientIP": callback.client_ip,
        "OptPlatform": callback.opt_platform,
    }
    return SimulatedCallback(
        callback.sdkappid,
        command,
        urlencode({name: value for name, value in parameters.items() if value}),
        callback.body,
        headers.get(ID, b"").decode(),
        additions_of(command, callback.opt_platform, document),
    )
