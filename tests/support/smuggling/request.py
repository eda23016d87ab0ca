"""A request in parts that a mutation can change."""

import random
from dataclasses import dataclass, field

from support.smuggling.wire import BODY_BYTES_MAX, REFUSED

TARGETS = [
    b"/callback?SdkAppid=1400000001",
    b"/callback/SdkAppid=1400000001&CallbackCommand=C2C.CallbackAfterSendMsg",
    b"/callback?SdkAppid=1400000001&ClientIP=%3A%3A1&OptPlatform=iOS",
    b"/" + REFUSED.encode(),
    b"/",
]
BODIES = [
    b"",
    b"{}",
    b"x",
    b'{"CallbackCommand":"C2C.CallbackAfterSendMsg"}',
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"y" * 300,
    b"z" * BODY_BYTES_MAX,
]
HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"Tencent-IM"),
    (b"Accept", b"*/*"),
    (b"Connection", b"keep-alive"),
    (b"Connection", b"close"),
    (b"X-Forwarded-For", b"10.1.2.3, 10.1.2.4"),
    (b"X-Request-Id", b"7c3f"),
    (b"Accept-Encoding", b"gzip, deflate"),
]


@dataclass(slots=True)
class Request:
    """The parts of a request; a header is a name and what follows it, with the colon."""

    method: bytes
    target: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    separators: list[bytes] = field(default_factory=lambda: [b" ", b" "])
    before: bytes = b""
    after: bytes = b""
    # Line ends other than CRLF by the number of the line; 0 is the request line.
    line_ends: dict[int, bytes] = field(default_factory=dict)

    def head(self) -> bytes:
        """Return the bytes before the body."""
        first, second = self.separators
        lines = [b"".join((self.method, first, self.target, second, self.version))]
        lines += [name + rest for name, rest in self.headers]
        lines.append(b"")
        ends = self.line_ends
        return self.before + b"".join(
            line + ends.get(number, b"\r\n") for number, line in enumerate(lines)
        )

    def encoded(self) -> bytes:
        """Return all bytes."""
        return self.head() + self.body + self.after


def good_request(chance: random.Random) -> Request:
    """Return a plain request."""
    body = chance.choice(BODIES)
    headers = [(b"Host", b": hookline"), (b"Content-Length", b": %d" % len(body))]
    names = {b"Host"}
    for name, value in chance.sample(HEADERS, chance.randint(0, 3)):
        if name not in names:
            names.add(name)
            headers.append((name, b": " + value))
    chance.shuffle(headers)
    return Request(b"POST", chance.choice(TARGETS), b"HTTP/1.1", headers, body)
