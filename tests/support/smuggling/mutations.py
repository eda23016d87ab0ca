"""Mutations of requests: forms that one parser may read differently from another, by kind."""

import random
from collections.abc import Callable, Sequence

from support.smuggling.request import Request
from support.smuggling.wire import BODY_BYTES_MAX

from ingress.http.head import HEAD_BYTES_MAX

CONTROLS = [bytes([number]) for number in (*range(1, 9), 11, 12, *range(14, 32), 127)]
HIGH = [bytes([number]) for number in range(0x80, 0x100)]
Mutation = Callable[[random.Random, Request], None]


def _add(chance: random.Random, request: Request, name: bytes, rest: bytes) -> None:
    request.headers.insert(chance.randint(0, len(request.headers)), (name, rest))


def _insert(chance: random.Random, text: bytes, piece: bytes) -> bytes:
    at = chance.randint(0, len(text))
    return text[:at] + piece + text[at:]


def _spelled(chance: random.Random, name: bytes) -> bytes:
    """Return a header's name in a form that some parser may take for it."""
    return chance.choice(
        [
            *[name] * 8,
            *(name.lower(), name.upper(), name.swapcase()),
            *(name + b" ", name + b"\t", b" " + name, b"\t" + name, name + b"\x0b"),
            *(name.replace(b"-", b"_"), name.replace(b"-", b" "), name[:-1], name + b"\0"),
            *(b"X\r\n" + name, b"X: y\n" + name, b"X: y\r" + name, name + b":", b":" + name),
            name.replace(b"e", b"\xc3\xa9"),
        ]
    )


def _length(chance: random.Random, request: Request) -> None:
    size = len(request.body)
    good = b"%d" % size
    value = chance.choice(
        [
            *(b"+%s", b"-%s", b"0x%s", b"0%s", b"00000000%s", b"0" * 30 + b"%s", b" %s", b"%s "),
            *(b"\t%s \t", b"%s,%s", b"%s, %s", b"%s, 0", b"0, %s", b"%s %s", b"%s.0", b"%se0"),
            *(b"%s;", b'"%s"', b"%s\x0b", b"\x0c%s", b"%s\0", b"\xa0%s", b"%s\xc2\xa0", b"1_%s"),
            *(b"", b" ", b"%s\r\n ", b"\r\n %s", b"%s\n", b"%s\r", b"99999999999999999999%s"),
            *(b"\xd9\xa5", b"4294967296", b"18446744073709551616", b"1" * 13, b"1" * 12),
            *(b"%d" % (size + 1), b"%d" % max(0, size - 1), b"%d" % (BODY_BYTES_MAX + 1), b"%s"),
        ]
    ).replace(b"%s", good)
    rest = chance.choice([b": ", b":", b":\t", b" : ", b":  "]) + value
    header = (_spelled(chance, b"Content-Length"), rest)
    of_length = [
        number
        for number, (name, _) in enumerate(request.headers)
        if name.lower() == b"content-length"
    ]
    where = chance.random()
    if where < 0.35 or not of_length:
        _add(chance, request, *header)
    elif where < 0.95:
        request.headers[chance.choice(of_length)] = header
    else:
        del request.headers[chance.choice(of_length)]


def _line_end(chance: random.Random, request: Request) -> None:
    number = chance.randint(0, len(request.headers) + 1)
    request.line_ends[number] = chance.choice(
        [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\n", b"\r\n\r", b"", b"\x0b\r\n", b"\x85", b"\0"]
    )
    if chance.random() < 0.2:
        request.line_ends = dict.fromkeys(range(len(request.headers) + 2), b"\n")


def _folded(chance: random.Random, request: Request) -> None:
    at = chance.randrange(len(request.headers)) if request.headers else 0
    fold = chance.choice([b"\r\n ", b"\r\n\t", b"\n ", b"\r\n  \r\n", b"\r ", b"\r\n "])
    more = chance.choice([b"", b"folded", b"Transfer-Encoding: chunked", b"7"])
    if not request.headers:
        request.version += fold + more
        return
    name, rest = request.headers[at]
    request.headers[at] = (name, _insert(chance, rest, fold + more))


def _octet(chance: random.Random, request: Request) -> None:
    """Put an octet where most parsers allow none."""
    octet = chance.choice([b"\0", *chance.sample(CONTROLS, 2), *chance.sample(HIGH, 2)])
    where = chance.randrange(6)
    if where == 0:
        request.method = _insert(chance, request.method, octet)
    elif where == 1:
        request.target = _insert(chance, request.target, octet)
    elif where == 2:
        request.version = _insert(chance, request.version, octet)
    elif request.headers:
        at = chance.randrange(len(request.headers))
        name, rest = request.headers[at]
        if where == 3:
            request.headers[at] = (_insert(chance, name, octet), rest)
        else:
            request.headers[at] = (name, _insert(chance, rest, octet))


def _chunks(chance: random.Random, body: bytes) -> bytes:
    """Return a body in chunks, maybe with an extension, trailers or an odd size."""
    size = chance.choice([b"%x", b"%x", b"%X", b"0%x", b"+%x", b"0x%x", b" %x", b"%x "]) % len(body)
    extension = chance.choice([b"", b"", b"", b";a=b", b";\n", b"\n"])
    trailers = chance.choice([b"", b"", b"", b"X: y\r\n", b"Content-Length: 5\r\n"])
    first = size + extension + b"\r\n" + body + b"\r\n" if body else b""
    return first + b"0\r\n" + trailers + b"\r\n"


def _transfer_encoding(chance: random.Random, request: Request) -> None:
    value = chance.choice(
        [
            *[b"chunked"] * 6,
            *(b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked", b"chunked,"),
            *(b"gzip, chunked", b"chunked, gzip", b"identity", b"identity, chunked", b"xchunked"),
            *(b'"chunked"', b"chunked;q=1", b"chunked, chunked", b"\x0bchunked", b"chunked\0"),
            *(b"", b"chunke", b"\r\n chunked", b"chun\xc3\x84ked", b"cow", b"chunked\r\n"),
        ]
    )
    name = _spelled(chance, b"Transfer-Encoding")
    _add(chance, request, name, chance.choice([b": ", b":", b" :", b":\t"]) + value)
    if chance.random() < 0.6:
        request.body = _chunks(chance, request.body)
    if chance.random() < 0.3:
        request.headers = [
            header for header in request.headers if header[0].lower() != b"content-length"
        ]


def _one_of(*headers: tuple[bytes, Sequence[bytes]]) -> Mutation:
    """Return a mutation that adds one of the headers with one of its values."""

    def mutate(chance: random.Random, request: Request) -> None:
        name, values = chance.choice(headers)
        name = _spelled(chance, name) if chance.random() < 0.3 else name
        _add(chance, request, name, b": " + chance.choice(values))

    return mutate


_content_encoding = _one_of(
    (b"Content-Encoding", [b"gzip", b"identity", b"deflate", b"br", b"", b"x"])
)
_expect = _one_of((b"Expect", [b"100-continue", b"100-Continue", b"200-maybe", b"", b"1"]))
_upgrade = _one_of(
    (b"Upgrade", [b"h2c", b"websocket", b"", b"h2c, websocket"]),
    (b"HTTP2-Settings", [b"AAMAAABkAAQAAP__", b""]),
    (b"Sec-WebSocket-Key1", [b"x"]),
    (b"Sec-WebSocket-Key", [b"x"]),
)
_connection = _one_of(
    (
        b"Connection",
        [
            *(b"close", b"keep-alive", b"Close", b"KEEP-ALIVE", b"", b"close, x", b"x, close"),
            *(b"keep-alive, close", b"close, keep-alive", b"upgrade", b"Upgrade, HTTP2-Settings"),
            *(b"Transfer-Encoding", b"Content-Length", b"close ", b"\tclose", b"close,", b"clos"),
            *(b"keep-alive\x0b", b"close\r\n ", b"keep-alive;close", b"close close"),
        ],
    ),
    (b"Proxy-Connection", [b"close", b"keep-alive", b"upgrade", b"Transfer-Encoding"]),
    (b"Keep-Alive", [b"timeout=5, max=100", b"300", b""]),
    (b"TE", [b"trailers", b"chunked", b""]),
    (b"Trailer", [b"X", b"Content-Length"]),
)


def _target(chance: random.Random, request: Request) -> None:
    request.target = chance.choice(
        [
            *(b"http://hookline/callback?SdkAppid=1", b"https://a:1/b", b"//callback", b"*", b""),
            *(b"hookline:443", b"HTTP://x/", b"http://[::1/", b"x", b"callback", b"?a", b"#a"),
            *(b"/callback#fragment", b"/callback?a#b", b"/a b", b"/a\tb", b"/ HTTP/1.1", b"/%"),
            *(b"/%00%0d%0a", b"/\xff", b"/\xc3\xa9", b"/a\\b", b'/"<>^`{|}', b"/../..", b"/;x"),
            *(b"/?" + b"a" * 7000, b"/" + b"b" * 8200, b"/a\0b", b"/a\rb", b"/a\nb", b"/~", b"/!"),
        ]
    )


def _spaces(chance: random.Random, request: Request) -> None:
    space = chance.choice([b"  ", b"\t", b" \t", b"", b"\x0b", b"\xa0", b"\r\n ", b"\r"])
    where = chance.randrange(6)
    if where < 2:
        request.separators[where] = space
    elif where == 2:
        request.method = space + request.method
    elif where == 3:
        request.version += space
    elif request.headers:
        at = chance.randrange(len(request.headers))
        name, rest = request.headers[at]
        request.headers[at] = (name + space, rest) if where == 4 else (name, rest + space)


def _host(chance: random.Random, request: Request) -> None:
    others = [header for header in request.headers if header[0] != b"Host"]
    hosts = chance.choice(
        [
            [],
            [b"Host: hookline", b"Host: hookline"],
            [b"Host: a", b"host: b"],
            [b"Host:"],
            [b"Host: a, b"],
            [b"Host: a b"],
            [b"Host : a"],
            [b" Host: a"],
            [b"Host: \xff"],
            [b"Host: a/b@c:99999"],
            [b"HOST:a"],
        ]
    )
    where = chance.randint(0, len(others))
    request.headers = others[:where] + [(host, b"") for host in hosts] + others[where:]


def _name(chance: random.Random, request: Request) -> None:
    line = chance.choice(
        [
            *(b": empty", b":", b"no colon", b"", b" ", b"\t", b"a b: c", b"(a): b", b"a@b: c"),
            *(b'"a": b', b"a\xff: b", b"a=b: c", b"a/b: c", b"{a}: b", b"!#$%&'*+-.^_`|~0: y"),
            *(b"X: a\r\nX: b", b"Content-Type: a\r\ncontent-type: b", b"a:b:c", b"A: \xff\xfe"),
            *(b"a:\tb\tc\t", b"a: " + b"\t" * 50, b"[a]: b", b"a,b: c", b"a;b: c", b"a\\: b"),
        ]
    )
    _add(chance, request, line, b"")


def _size(chance: random.Random, request: Request) -> None:
    """Bring the head near the bound, or add many headers."""
    if chance.random() < 0.3:
        count = chance.choice([20, 90, 120, 127, 130])
        request.headers += [(b"X-%d" % number, b": y") for number in range(count)]
        return
    # The bound is of the head without its last CRLF CRLF; the first head above it has 5 bytes more.
    wanted = HEAD_BYTES_MAX + 5 + chance.randint(-6, 6)
    missing = max(0, wanted - len(request.head()) - len(b"X-Long: \r\n"))
    _add(chance, request, b"X-Long", b": " + b"x" * missing)


def _method(chance: random.Random, request: Request) -> None:
    request.method = chance.choice(
        [
            *(b"post", b"Post", b"POSTX", b"POS", b"GET", b"HEAD", b"PUT", b"CONNECT", b"PRI", b""),
            *(b"P OST", b"M-SEARCH", b"OPTIONS", b"POST\0", b"\xffPOST", b"QUERY", b"SOURCE", b"("),
        ]
    )


def _version(chance: random.Random, request: Request) -> None:
    request.version = chance.choice(
        [
            *(b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/1.1 ", b"http/1.1", b""),
            *(b"HTTP/01.1", b"HTTP/1.1.1", b"HTTP/1,1", b"HTTP/1", b"HTTP/11", b"HTTP /1.1"),
            *(b"ICE/1.0", b"RTSP/1.0", b"HTTP/1.1\t", b"HTTP/1.1\x0b", b"HTTP/3", b"HTTPS/1.1"),
        ]
    )


def _around(chance: random.Random, request: Request) -> None:
    """Put bytes before the request or after its body."""
    if chance.random() < 0.5:
        request.before = chance.choice(
            [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\0", b"\r\n" * 20, b"\xef\xbb\xbf"]
        )
    else:
        request.after = chance.choice([b"\r\n", b"\n", b"x", b"\0", b"0\r\n\r\n", b"POST", b" "])


def _bytes(chance: random.Random, request: Request) -> None:
    """Replace, drop, insert or repeat some bytes of the head."""
    head = request.head()
    at = chance.randrange(len(head))
    dropped = chance.choice([0, 0, 1, 1, 2, 8])
    piece = chance.choice(
        [
            bytes([chance.randrange(256)]),
            b"",
            chance.choice([b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"#"]),
            head[at : at + chance.randint(1, 40)],
        ]
    )
    changed = head[:at] + piece + head[at + dropped :]
    # All of it in the place of the method.
    request.method, request.target, request.version = changed, b"", b""
    request.separators, request.headers, request.before = [b"", b""], [], b""
    request.line_ends = {0: b"", 1: b""}


MUTATIONS: dict[str, Mutation] = {
    "length": _length,
    "line end": _line_end,
    "folding": _folded,
    "octet": _octet,
    "transfer-encoding": _transfer_encoding,
    "content-encoding": _content_encoding,
    "expect": _expect,
    "upgrade": _upgrade,
    "connection": _connection,
    "target": _target,
    "spaces": _spaces,
    "host": _host,
    "name": _name,
    "size": _size,
    "method": _method,
    "version": _version,
    "around": _around,
    "bytes": _bytes,
}
