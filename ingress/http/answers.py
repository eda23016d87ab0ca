"""
Every answer of the public port, as one table; a test compares it with docs/receiving.md.

The vendor's protocol wants HTTP 200 and ActionStatus OK for a callback that was accepted. To the
client every other answer is a failed callback, so the body names the fault for readers of its log.
"""

import functools
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import orjson

from ingress.http.content_coding import CODINGS
from schemas.telemetry import INGRESS_ANSWERS

OK_BODY = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One row of the table.

    The client gets `sent_text`, or a detail in its place; `documentation` is for the docs.
    """

    name: str
    status: int
    sent_text: str
    documentation: str
    headers: tuple[tuple[str, str], ...] = ()


class DetailedAnswer(NamedTuple):
    """The answer to one request; `detail` replaces the `sent_text` of the table's row if given."""

    answer: Answer
    detail: str = ""


OK = Answer(
    "ok",
    200,
    "",
    "on disk (fsync); it will be in Kafka and in every sink once, unless Kafka or a sink refuses "
    "it (then it is a dead letter) or its row is damaged (then it is in quarantine)",
)
NOT_OURS = Answer(
    "not_ours", 403, "SdkAppid is missing or not one of ours", "not authentic; not kept"
)
UNSIGNED = Answer(
    "unsigned", 403, "Sign or RequestTime is missing", "the app has tokens; not authentic; not kept"
)
WRONG_SIGN = Answer(
    "wrong_sign", 403, "Sign does not match", "made with none of the app's tokens; not kept"
)
STALE = Answer(
    "stale",
    403,
    "RequestTime is too far from the present",
    "signed correctly, but too long ago or by a clock that differs from ours; not kept",
)
NOT_HERE = Answer("not_here", 404, "no callbacks are received at this path", "not kept")
NOT_POST = Answer(
    "not_post", 405, "callbacks come by POST", "not kept", headers=(("Allow", "POST"),)
)
SLOW = Answer("slow", 408, "the body did not come in time", "not kept")
TOO_LARGE = Answer(
    "too_large",
    413,
    "the body is too large",
    "not kept; if the app sends such callbacks, raise HOOKLINE_BODY_BYTES_MAX: first run "
    "`hookline topics apply` with the new value, then give it to the ingress",
)
NOT_HTTP = Answer(
    "not_http", 400, "the request cannot be read as HTTP", "not kept; the connection is closed"
)
MALFORMED = Answer(
    "malformed", 400, "malformed", "kept: its bytes and the reason go to the dead-letter topic"
)
UNREADABLE = Answer(
    "unreadable", 400, "the body cannot be decompressed or read to its end", "not kept"
)
UNKNOWN_CODING = Answer(
    "unknown_coding",
    415,
    "the body's Content-Encoding cannot be decoded",
    "not kept; the header Accept-Encoding of the answer lists the codings that can be decoded",
    headers=(("Accept-Encoding", ", ".join(CODINGS)),),
)
UNAVAILABLE = Answer(
    "unavailable",
    503,
    "the callback cannot be stored now",
    "not stored, or not known to be: a bound is reached or the disk fails",
    headers=(("Retry-After", "1"),),
)
ANSWERS = (
    OK,
    MALFORMED,
    UNREADABLE,
    NOT_HTTP,
    NOT_OURS,
    UNSIGNED,
    WRONG_SIGN,
    STALE,
    NOT_HERE,
    NOT_POST,
    SLOW,
    TOO_LARGE,
    UNKNOWN_CODING,
    UNAVAILABLE,
)

# The detail of UNAVAILABLE after an exception that is a bug of ours.
INTERNAL_FAULT = "internal fault of the receiver; see its log"

_counters = {answer: INGRESS_ANSWERS.labels(answer=answer.name) for answer in ANSWERS}


def unavailable(failure: Exception) -> DetailedAnswer:
    """Return the answer to a callback that is not known to be stored, with the reason."""
    return DetailedAnswer(UNAVAILABLE, f"{UNAVAILABLE.sent_text}: {failure}")


def not_http(reason: str) -> DetailedAnswer:
    """Return the answer to bytes that cannot be parsed as HTTP, with the reason."""
    return DetailedAnswer(NOT_HTTP, f"{NOT_HTTP.sent_text}: {reason}")


def too_large(bytes_max: int) -> DetailedAnswer:
    """Return the answer to a body of more than `bytes_max` bytes, with the limit."""
    return DetailedAnswer(TOO_LARGE, f"Maximum request body size {bytes_max} exceeded.")


def unreadable(undecodable: Exception) -> DetailedAnswer:
    """Return the answer to a body that is not in its content coding, with the reason."""
    return DetailedAnswer(UNREADABLE, f"{UNREADABLE.sent_text}: {undecodable}")


def unknown_coding(unknown: Exception) -> DetailedAnswer:
    """Return the answer to a body in another content coding, with the reason."""
    return DetailedAnswer(UNKNOWN_CODING, f"{UNKNOWN_CODING.sent_text}: {unknown}")


def count_oks(count: int) -> None:
    """Count OKs that were sent as `ok_bytes`."""
    _counters[OK].inc(count)


@functools.lru_cache(maxsize=4)
def ok_bytes(second: int, *, closes: bool = False) -> bytes:
    """
    Return an OK as bytes of HTTP for that second of Unix time; see `count_oks`.

    With `closes` it says that the connection is closed after it.
    """
    return _http_bytes(OK, OK_BODY, second, closes=closes)


def encode_and_count_failure(
    answer: Answer, detail: str, second: int, *, closes: bool = False
) -> bytes:
    """Count an answer other than OK, and return it as bytes of HTTP; see `ok_bytes`."""
    _counters[answer].inc()
    return _http_bytes(answer, _body(answer, detail), second, closes=closes)


def _http_bytes(answer: Answer, body: bytes, second: int, *, closes: bool) -> bytes:
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Date", formatdate(second, usegmt=True)),
        *answer.headers,
    ]
    if answer is not OK:
        headers.append(("Hookline-Answer", answer.name))
    if closes:
        headers.append(("Connection", "close"))
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _body(answer: Answer, detail: str) -> bytes:
    if answer is OK:
        return OK_BODY
    # TIM does not read ErrorCode: on any other status than 200 it lets the action of a Before
    # callback proceed. `detail` may quote a peer, with characters that UTF-8 cannot encode.
    text = (detail or answer.sent_text).encode("utf-8", "backslashreplace").decode()
    return orjson.dumps({"ActionStatus": "FAIL", "ErrorInfo": text, "ErrorCode": 1})
