"""
Every answer of the public port, as one table; docs/operations.md shows it, a test compares.

The protocol (§1) wants HTTP 200 and ActionStatus OK for a callback that was taken. All else is a
failed callback to the sender, so the body names the fault for the person who reads its log.
"""

from dataclasses import dataclass

import orjson
from aiohttp import web

from schemas.telemetry import INGRESS_ANSWERS

OK_BODY = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the table. `meaning` is for the docs; `info` is what the sender reads."""

    name: str
    status: int
    info: str
    meaning: str
    headers: tuple[tuple[str, str], ...] = ()


OK = Answer("ok", 200, "", "on disk (fsync); it will be in Kafka and in every sink once")
NOT_OURS = Answer(
    "not_ours", 403, "SdkAppid is missing or not one of ours", "not authentic; not kept"
)
NOT_HERE = Answer("not_here", 404, "no callbacks are received at this path", "not kept")
NOT_POST = Answer(
    "not_post", 405, "callbacks come by POST", "not kept", headers=(("Allow", "POST"),)
)
TOO_LARGE = Answer("too_large", 413, "the body is too large", "not kept; raise the bound")
MALFORMED = Answer(
    "malformed", 400, "malformed", "kept: its bytes and the reason go to the dead-letter topic"
)
UNREADABLE = Answer(
    "unreadable", 400, "the body cannot be decompressed or read to its end", "not kept"
)
UNAVAILABLE = Answer(
    "unavailable",
    503,
    "the callback cannot be stored now",
    "not stored, or not known to be: a bound is reached or the disk fails",
    headers=(("Retry-After", "1"),),
)
ANSWERS = (OK, MALFORMED, UNREADABLE, NOT_OURS, NOT_HERE, NOT_POST, TOO_LARGE, UNAVAILABLE)

_counters = {answer: INGRESS_ANSWERS.labels(answer=answer.name) for answer in ANSWERS}


def respond(answer: Answer, detail: str = "") -> web.Response:
    """Return the HTTP response for `answer`, counted; `detail` says more than its usual info."""
    _counters[answer].inc()
    body = OK_BODY if answer is OK else _fail_body(detail or answer.info)
    return web.Response(
        status=answer.status,
        body=body,
        headers={"Content-Type": "application/json", **dict(answer.headers)},
    )


def _fail_body(info: str) -> bytes:
    # The sender looks at ErrorCode only under HTTP 200, which no failure has: a Before callback
    # (protocol §4) is let pass, not refused.
    return orjson.dumps({"ActionStatus": "FAIL", "ErrorInfo": info, "ErrorCode": 1})
