"""
Whatever the ingress reads as a plain request, other HTTP parsers read as the same request.

Two parsers that see different requests in the same bytes are a hole: a request that a gateway has
checked could hide another one (request smuggling). So thousands of mutated requests go to a
`Connection`, and each that it takes itself must be the same request to llhttp, h11 and aiohttp's
parser in pure Python: the same target, the same body, the same end. The others go to aiohttp with
all bytes from their beginning on. How the bytes are cut into pieces changes nothing.

`--long=200` compares 1,000,000 streams in 5 minutes of CPU; SMUGGLING_SEED=… takes another seed:

    SMUGGLING_SEED=7 .venv/bin/pytest tests/property/test_smuggling.py --long=200
"""

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import h11
import httptools
import pytest
from aiohttp.http_exceptions import HttpProcessingError
from support.smuggling.parsers import (
    Differs,
    PythonParser,
    Read,
    check_with_llhttp,
    first_by_h11,
    llhttp_refuses,
)
from support.smuggling.streams import a_stream, pieces
from support.smuggling.wire import Answered, Events, HandedOver, StillLoop, Taken, Wire

from ingress.http.head import parse_headers

SEED = int(os.environ.get("SMUGGLING_SEED", "1"))
STREAMS = 3000
# All requests were plain; one was not; one is HTTP to none of the parsers; one is incomplete.
OUTCOMES = ("taken", "handed over", "refused", "incomplete")


@pytest.fixture
def loop() -> Iterator[StillLoop]:
    """Return a loop for connections that are made in this test."""
    loop = StillLoop()
    asyncio._set_running_loop(loop)  # type: ignore[arg-type]  # noqa: SLF001 - documented as for those who write loops
    yield loop
    asyncio._set_running_loop(None)  # noqa: SLF001
    parse_headers.cache_clear()


def rest_after_plain_requests(data: bytes, events: Events, python_parser: PythonParser) -> bytes:
    """
    Return the bytes after the requests that the connection took, which all parsers must read, too.

    Raises:
        Differs: a parser reads another request.
    """
    for event, answered in zip(events, [*events[1:], ""], strict=True):
        if not isinstance(event, Taken):
            continue
        try:
            read = first_by_h11(data)
            if read is None:
                raise Differs("h11: the request is incomplete")
            expected = Read(
                event.target.encode(), read.body if event.body is None else event.body, read.end
            )
            if read != expected:
                raise Differs(f"h11: {read}")
            closes = isinstance(answered, Answered) and answered.closes
            check_with_llhttp(data, read, closes=closes)
            python_parser.check(data, read, closes=closes)
        except (h11.RemoteProtocolError, httptools.HttpParserError, HttpProcessingError) as refusal:
            raise Differs(f"refused: {refusal!r}") from refusal
        data = data[read.end :]
    return data


def first_request(data: bytes) -> Read | None:
    """Return the first request of h11, None also if it is not HTTP."""
    try:
        return first_by_h11(data)
    except h11.RemoteProtocolError:
        return None


def outcome(data: bytes, events: Events, python_parser: PythonParser) -> str:
    """Check what the connection did with `data`; return it in a word."""
    rest = rest_after_plain_requests(data, events, python_parser)
    handed_over = [event for event in events if isinstance(event, HandedOver)]
    if handed_over:
        assert handed_over == [HandedOver(rest)]
        refused = llhttp_refuses(rest) and python_parser.refuses(rest)
        return "refused" if refused and first_request(rest) is None else "handed over"
    if any(isinstance(event, Answered) and event.closes for event in events):
        return "taken"
    # It waits for more bytes, as the other parsers do.
    assert first_request(rest) is None
    assert not python_parser.refuses(rest)
    return "incomplete" if rest else "taken"


def test_all_parsers_read_a_plain_request_alike(
    loop: StillLoop, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """And however the bytes are cut, the connection does the same with them."""
    chance = random.Random(SEED)  # noqa: S311 - which requests
    python_parser = PythonParser(loop)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    streams = scaled(STREAMS)
    for number in range(streams):
        data, kinds = a_stream(chance)
        whole = Wire(loop, answers_late=False).send([data], turns=lambda: True)
        try:
            outcome_name = outcome(data, whole, python_parser)
            cut = pieces(chance, data)
            late = chance.random() < 0.5
            in_pieces = Wire(loop, answers_late=late).send(cut, turns=lambda: chance.random() < 0.5)
            if in_pieces != whole:
                raise Differs(f"in pieces {cut}: {in_pieces}")
        except AssertionError as failure:
            failure.add_note(f"stream {number} of seed {SEED}: {data!r} {whole}")
            raise
        counts["all"][outcome_name] += 1
        for kind in kinds:
            counts[kind][outcome_name] += 1
        counts["plain requests"]["taken"] += sum(isinstance(event, Taken) for event in whole)
    say(f"seed {SEED}, {streams} streams; plain requests: {counts.pop('plain requests')['taken']}")
    say(
        f"by kind, how many were {', '.join(OUTCOMES)}: "
        + "; ".join(
            f"{kind} {'/'.join(str(count[outcome_name]) for outcome_name in OUTCOMES)}"
            for kind, count in sorted(counts.items())
        )
    )
    assert set(counts["all"]) == set(OUTCOMES)
