"""Streams of one to three requests, good and mutated, and ways to cut them into pieces."""

import random
from typing import NamedTuple

from support.smuggling.mutations import MUTATIONS
from support.smuggling.request import good_request

_KINDS = list(MUTATIONS)


class Stream(NamedTuple):
    """What a peer sends on one connection, and the kinds of mutations in it."""

    data: bytes
    kinds: frozenset[str]


def a_stream(chance: random.Random) -> Stream:
    """Return one to three requests, at times cut off, and at times with an odd byte after them."""
    data, kinds = b"", set()
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        request = good_request(chance)
        for _ in range(chance.choice((0, 1, 1, 1, 1, 2, 2, 3))):
            # `bytes` leaves no parts that another mutation could change.
            if not request.headers:
                break
            kind = chance.choice(_KINDS)
            kinds.add(kind)
            MUTATIONS[kind](chance, request)
        data += request.encoded()
    if chance.random() < 0.1:
        data = data[: chance.randint(1, max(1, len(data)))]
    elif chance.random() < 0.5:
        data += b"\0"
    return Stream(data, frozenset(kinds or {"good"}))


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut the bytes at one place, or at many."""
    size = len(data)
    if size < 2:
        return [data]
    roll = chance.random()
    if roll < 0.6:
        cuts = [chance.randrange(1, size)]
    elif roll < 0.95 or size > 500:
        # Near the end of a head, where cuts matter most.
        near = data.find(b"\r\n\r\n") + chance.randint(-3, 5)
        cuts = sorted({chance.randrange(1, size), min(max(1, near), size - 1)})
    else:
        cuts = list(range(1, size))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
