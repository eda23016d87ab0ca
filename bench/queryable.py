"""
Measure the cost of making bodies queryable: `python -m bench.queryable`.

It prints the microseconds for a body like those of the simulated traffic: plain, with NUL
characters, with half of an emoji, and with a UUID of which a part looks like an exponent.
"""

import json
import timeit
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from time import process_time

from consumers.sync.queryable import queryable
from schemas.body import parse

ROUNDS = 20_000
TEXTS = {
    "plain": "hello " * 10,
    "UUID": "7d1e-4bce-9a1e-7d3f " * 3,
    "NUL": "hello\0" * 10,
    "half of an emoji": "hello\ud83d" * 10,
}


def body(text: str) -> bytes:
    """Return a message's body."""
    return json.dumps(
        {
            "CallbackCommand": "C2C.CallbackAfterSendMsg",
            "From_Account": "user123",
            "To_Account": "user456",
            "MsgSeq": 48374,
            "MsgRandom": 2837546,
            "MsgTime": 1557481126,
            "MsgKey": "48374_2837546_1557481126",
            "OnlineOnlyFlag": 0,
            "SendMsgResult": 0,
            "ErrorInfo": "send msg succeed",
            "UnreadMsgNum": 1,
            "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
            "CloudCustomData": '{"k":1}',
            "EventTime": 1557481126123,
        }
    ).encode()


def microseconds(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, the minimum of five rounds."""
    return min(timeit.repeat(call, process_time, number=ROUNDS, repeat=5)) / ROUNDS * 1e6


def main() -> None:
    """Print a line for each kind of body."""
    for name, text in TEXTS.items():
        sent = body(text)
        document = parse(sent)
        timings: dict[str, Callable[[], object]] = {
            "decode": partial(sent.decode, "utf-8-sig"),
            "queryable": partial(queryable, sent, document),
            "sha256": partial(sha256, sent),
        }
        each = ", ".join(f"{step} {microseconds(call):.2f} us" for step, call in timings.items())
        print(f"{name}, {len(sent)} bytes: {each}")  # noqa: T201


if __name__ == "__main__":
    main()
