"""
Make callbacks as bytes of HTTP, cheaply; each differs from all others.

Texts, URLs and lengths come from templates that are made once. The parts that differ in
every request (accounts, numbers, times) have a fixed width, so Content-Length is known beforehand.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from schemas.outgoing_record import OutgoingRecord, ReceivedCallback, main_topic_record

APP = "1400000001"
TEMPLATES = 997
ACCOUNTS = 20_000
PLATFORMS = ("iOS", "Android", "Web", "Windows", "Mac", "iPad", "RESTAPI")
WORDS = "red packet see you at the station 好的 收到 👍 did you eat yet on my way ¿qué tal?".split()  # noqa: SIM905 - a sentence reads better

# Each placeholder has the width of the values that replace it.
_FILLED = (b"user00000", b"user00000", 10**9, 10**9, 10**9, 10**9, 10**9, 10**9, 10**12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    The method, target and headers of the requests to one server, and the status of its OK.

    Without a target they have the vendor's, with its parameters. `ids`: each request has an
    X-Request-Id and a traceparent of its own, as gateways and tracers add them.
    """

    method: str = "POST"
    target: str = ""
    ok_status: int = 200
    ids: bool = False


VENDOR = Shape()


def requests(seed: int, shape: Shape = VENDOR) -> Iterator[bytes]:
    """Yield complete requests without end; no two have the same body, whatever the seed."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
    templates = [_template(chance, shape) for _ in range(TEMPLATES)]
    accounts = [b"user%05d" % number for number in range(ACCOUNTS)]
    bits, now = chance.getrandbits, time.time
    # Numbers of 10 digits, 32-bit unsigned. The sequence starts somewhere else in every process.
    sequence = 10**9 + random.SystemRandom().getrandbits(31)
    while True:
        for template in templates:
            sequence += 1
            seconds = now()
            number, at = 10**9 + bits(31), int(seconds)
            values = (
                accounts[bits(30) % ACCOUNTS],
                accounts[bits(30) % ACCOUNTS],
                sequence,
                number,
                at,
                sequence,
                number,
                at,
                int(seconds * 1000),
            )
            if shape.ids:
                yield template % (bits(128), bits(128), bits(64), *values)
            else:
                yield template % values


def record(request: bytes) -> OutgoingRecord:
    """Return the record that the ingress makes of a request, without its sequence."""
    head, _, body = request.partition(b"\r\n\r\n")
    query = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)
    return main_topic_record(
        ReceivedCallback(
            sdkappid=query["SdkAppid"][0],
            url_command=query["CallbackCommand"][0],
            client_ip=query["ClientIP"][0],
            opt_platform=query["OptPlatform"][0],
            received_at_ms=time.time_ns() // 1_000_000,
            body=body,
        )
    )


def _template(chance: random.Random, shape: Shape) -> bytes:
    text = " ".join(chance.choices(WORDS, k=chance.randint(2, 12)))
    body = (
        '{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"%b","To_Account":"%b",'
        '"MsgSeq":%d,"MsgRandom":%d,"MsgTime":%d,"MsgKey":"%d_%d_%d",'
        '"OnlineOnlyFlag":0,"SendMsgResult":0,"ErrorInfo":"send msg succeed",'
        f'"UnreadMsgNum":{chance.randrange(20)},'
        f'"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}}],'
        '"CloudCustomData":"","EventTime":%d}'
    ).encode()
    client_ip = ".".join(["10", *(str(chance.randrange(256)) for _ in range(3))])
    target = shape.target or (
        f"/?SdkAppid={APP}&CallbackCommand=C2C.CallbackAfterSendMsg&contenttype=json"
        f"&ClientIP={client_ip}&OptPlatform={chance.choice(PLATFORMS)}"
    )
    ids = "X-Request-Id: %032x\r\ntraceparent: 00-%032x-%016x-01\r\n" if shape.ids else ""
    head = (
        f"{shape.method} {target} HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nContent-Type: application/json\r\n{ids}"
        f"Content-Length: {len(body % _FILLED)}\r\n\r\n"
    )
    return head.encode() + body
