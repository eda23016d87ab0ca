"""The request that delivers a callback: its headers. The body is the callback's, unchanged."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

from schemas.callback_record import CallbackRecord

# HTTP/1.1 cannot send some characters in a header; CloudEvents' HTTP binding escapes them by
# percent-encoding: everything but printable ASCII, and the blank, the quotation mark and `%`.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
# `quote` takes ten times as long to find that nothing has to be escaped, as in nearly every header.
_ESCAPED = re.compile(b"[^" + re.escape(_PLAIN.encode()) + b"]")
_PREFIX = "ce_"


def cloudevents_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the CloudEvents attributes of a record as HTTP headers (binary content mode)."""
    http_headers = {}
    for name, value in headers:
        if http_name := _http_name(name):
            http_headers[http_name] = escaped(value)
    return http_headers


# Nearly all records have the same names.
@lru_cache(maxsize=32)
def _http_name(name: str) -> str | None:
    """Return the name of the HTTP header for a record's header, None if there is none."""
    if name == "content-type":
        return "Content-Type"
    if name.startswith(_PREFIX) and name.isascii() and name[len(_PREFIX) :].isalnum():
        return "ce-" + name[len(_PREFIX) :]
    return None


def escaped(value: bytes | None) -> str:
    """Return a header's value with all characters escaped that HTTP cannot send."""
    value = value or b""
    return quote(value, safe=_PLAIN) if _ESCAPED.search(value) else value.decode()


def webhook_headers(
    callback: CallbackRecord,
    headers: Iterable[tuple[str, bytes]],
    *,
    timestamp_s: int,
    signatures: str,
) -> Mapping[str, str]:
    """Return all headers of the request, those of Standard Webhooks and of CloudEvents."""
    return {
        **cloudevents_headers(headers),
        "webhook-id": callback.id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signatures,
        "User-Agent": "Hookline-Webhook/1",
    }
