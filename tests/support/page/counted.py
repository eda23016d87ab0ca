"""Count generated messages in a real Valkey, as the consumer `counters` does, and keep them."""

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import LONG, counting

from consumers.runtime.batch import Position

APPS = ("1400000001", "1400000002")
TYPES = ("TIMTextElem", "TIMImageElem", "TIMCustomElem")
PLATFORMS = ("iOS", "Android", "Web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was counted."""

    at: datetime
    app: str
    type: str
    platform: str
    command: str
    people: tuple[str, ...]
    is_lost: bool


@dataclass
class Sender:
    """Generates messages and has them counted."""

    valkey: str
    seed: int = 1
    messages: list[Message] = field(default_factory=list)
    _offset: int = 0

    def send(self, times: list[datetime]) -> None:
        """Count a message for each time; all are counted on return."""
        chance = random.Random(self.seed + self._offset)  # noqa: S311 - traffic
        new = [_message(chance, at) for at in times]
        # In a thread: the browser's driver has a loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(self._count(new))).result()
        self.messages += new

    async def _count(self, new: list[Message]) -> None:
        counts = counting(self.valkey, **LONG)
        if not self._offset:
            await counts.store_first_position(P0, Position(0))
        for begin in range(0, len(new), 500):
            records = [
                a_stored_record(
                    self._offset + index,
                    _body(message, self._offset + index),
                    received_at_ms=int(message.at.timestamp() * 1000),
                    sdkappid=message.app,
                    opt_platform=message.platform,
                    command=message.command,
                )
                for index, message in enumerate(new[begin : begin + 500])
            ]
            await counts.handle(a_stored_batch(*records))
            self._offset += len(records)
        await counts.close()

    def between(self, begin: datetime, end: datetime, app: str = "") -> list[Message]:
        """Return the messages of a range, of one app or of all."""
        return [m for m in self.messages if begin <= m.at < end and app in {"", m.app}]


def people(messages: list[Message]) -> int:
    """Return how many people sent or received messages; an account belongs to one app."""
    return len({(m.app, account) for m in messages for account in m.people})


def by(messages: list[Message], kind: str) -> dict[str, int]:
    """Return how many messages there are by type, platform, app or command."""
    return dict(Counter(getattr(message, kind) for message in messages))


def times(chance: random.Random, now: datetime, number: int) -> list[datetime]:
    """Return times of the last 29 days, most of them of the last two, in whole seconds."""
    ages = [chance.choice([3000, 2 * 86_400, 9 * 86_400, 29 * 86_400]) for _ in range(number)]
    sent = (now - timedelta(seconds=chance.randrange(60, age)) for age in ages)
    return sorted(at.replace(microsecond=0).astimezone(UTC) for at in sent)


def _message(chance: random.Random, at: datetime) -> Message:
    command = chance.choice(["C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg"])
    people = (f"from-{chance.randrange(300)}", f"to-{chance.randrange(300)}")
    return Message(
        at=at,
        app=chance.choice(APPS),
        type=chance.choice(TYPES),
        platform=chance.choice(PLATFORMS),
        command=command,
        # A callback of a group does not say who reads it.
        people=people[:1] if command.startswith("Group") else people,
        is_lost=chance.random() < 0.05,
    )


def _body(message: Message, number: int) -> bytes:
    fields: dict[str, Any] = {
        "CallbackCommand": message.command,
        "From_Account": message.people[0],
        "MsgTime": int(message.at.timestamp()),
        "MsgKey": f"key-{number}",
        "MsgSeq": number,
        "MsgBody": [{"MsgType": message.type, "MsgContent": {}}],
        "SendMsgResult": 1 if message.is_lost else 0,
    }
    if len(message.people) == 1:
        return a_body(**fields, To_Account=None, GroupId="g")
    return a_body(**fields, To_Account=message.people[1])
