"""The request that delivers a callback: its headers. The body is the callback's, unchanged."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from schemas.event import Event

# HTTP/1.1 cannot send some characters in a header; CloudEvents' HTTP binding escapes them by
# percent-encoding: everything but printable ASCII, and the blank, the quotation mark and `%`.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_PREFIX = "ce_"


def cloudevents_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the CloudEvents attributes of a record as HTTP headers (binary content mode)."""
    found = {}
    for name, value in headers:
        if name == "content-type":
            found["Content-Type"] = escaped(value)
        elif name.startswith(_PREFIX) and name.isascii() and name[len(_PREFIX) :].isalnum():
            found["ce-" + name[len(_PREFIX) :]] = escaped(value)
    return found


def escaped(value: bytes | None) -> str:
    """Return a header's value with all characters escaped that HTTP cannot send."""
    return quote(value or b"", safe=_PLAIN)


def webhook_headers(
    event: Event, headers: Iterable[tuple[str, bytes]], *, timestamp_s: int, signatures: str
) -> Mapping[str, str]:
    """Return all headers of the request, those of Standard Webhooks and of CloudEvents."""
    return {
        **cloudevents_headers(headers),
        "webhook-id": event.id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signatures,
        "User-Agent": "Hookline-Webhook/1",
    }
