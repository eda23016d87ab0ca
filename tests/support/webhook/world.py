"""Callbacks in a broker, one receiver, and the members of one target that deliver to it."""

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.kafka.access import plaintext
from support.kafka.parts import Pipe, delete_before, ends_of, many, run_until
from support.processes.consumer import Consumer
from support.webhook.receiver import SECRET, Answer, Receiver, ok, receiving

from consumers.runtime.handler import RejectionSettings
from consumers.webhook.consumer import LIMITS, RETRY_REQUESTS_DIVISOR, open_handler
from consumers.webhook.handler import WebhookHandler
from consumers.webhook.retries import TURN_RECORDS_MAX
from consumers.webhook.settings import WebhookSettings
from schemas.outgoing_record import OutgoingRecord
from schemas.settings import SharedSettings
from schemas.topics import CALLBACKS, DEAD_LETTERS

# The most callbacks that may come again after one fault: those of a batch of each partition, and
# those of a turn of each conversation that is delivered from the retry topic (docs/webhooks.md).
RETRIES_AT_ONCE = 32 // RETRY_REQUESTS_DIVISOR
REPEATS_MAX = CALLBACKS.partitions * LIMITS.records + RETRIES_AT_ONCE * TURN_RECORDS_MAX


class World:
    """Use `a_world`. The target's name is one that no other test has."""

    def __init__(self, kafka: str, directory: Path, receiver: Receiver) -> None:
        self.kafka = kafka
        self.directory = directory
        self.receiver = receiver
        self.name = f"test-{secrets.token_hex(4)}"
        self.pipe = Pipe(kafka, directory / "spool")
        self.sent: list[OutgoingRecord] = []
        self.secrets = directory / "webhook-secrets"
        self.secrets.write_text(f"{SECRET}\n")
        self.members: list[Consumer] = []

    async def send(self, count: int, *, people: int = 20) -> None:
        """Bring so many callbacks into the topic."""
        more = many(count, len(self.sent) + 1, people=people)
        self.sent += more
        await self.pipe.store(more)
        await self.pipe.forward()

    def settings(self, **fields: Any) -> WebhookSettings:
        """Return the settings of the target."""
        values: dict[str, Any] = {
            "name": self.name,
            "url": self.receiver.url,
            "secrets_file": self.secrets,
            "allow_cidrs": ("127.0.0.0/8",),
        }
        return WebhookSettings(**values | fields)

    @asynccontextmanager
    async def handler(self, **fields: Any) -> AsyncIterator[WebhookHandler]:
        """Yield a member's handler, in this process."""
        settings = self.settings(**fields)
        async with open_handler(
            SharedSettings(),
            plaintext(self.kafka),
            RejectionSettings(DEAD_LETTERS.name, 100),
            settings,
        ) as opened:
            handler, _ = opened
            assert isinstance(handler, WebhookHandler)
            yield handler

    async def run(self, handler: WebhookHandler, until: int) -> None:
        """Run the handler as a member until so many callbacks were accepted."""
        await run_until(
            handler,
            lambda: self.receiver.ids >= until,
            bootstrap_servers=self.kafka,
            group=f"webhook-{self.name}",
            limits=LIMITS,
            dead_letters=True,
        )

    def env(self, url: str) -> dict[str, str]:
        """Return the target's settings as variables, with this URL."""
        return {
            "WEBHOOK_NAME": self.name,
            "WEBHOOK_URL": url,
            "WEBHOOK_SECRETS_FILE": str(self.secrets),
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }

    def launch(self, env: Mapping[str, str] | None = None, **settings: object) -> Consumer:
        """Start a member as a process of its own, with the variables of `env` in addition."""
        env = {**self.env(self.receiver.url), "PYTHONUNBUFFERED": "1", **(env or {})}
        log = self.directory / f"webhook-{len(self.members)}.log"
        member = Consumer("webhook", self.kafka, log, env=env, **settings)
        member.launch()
        self.members.append(member)
        return member

    def logs(self) -> str:
        """Return the ends of all members' logs."""
        return "\n".join(each.log.read_text()[-3000:] for each in self.members)

    def check(self) -> None:
        """Assert that all callbacks were accepted, each conversation in order."""
        self.receiver.check(keys_by_person(self.sent))


@asynccontextmanager
async def a_world(kafka: str, directory: Path, *, answer: Answer = ok) -> AsyncIterator[World]:
    """Yield a world whose topic is empty; its processes are killed on exit."""
    await delete_before(kafka, await ends_of(kafka))
    async with receiving() as receiver:
        receiver.answer = answer
        made = World(kafka, directory, receiver)
        try:
            yield made
        finally:
            for member in made.members:
                member.kill()
            made.pipe.close()


def keys_by_person(records: Iterable[OutgoingRecord]) -> dict[str, list[str]]:
    """Return the MsgKeys of each sender's callbacks, in order, as a receiver has to accept them."""
    keys: dict[str, list[str]] = {}
    for record in records:
        document = json.loads(record.value)
        keys.setdefault(document["From_Account"], []).append(document["MsgKey"])
    return keys
