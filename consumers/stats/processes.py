"""
Ask every part of the pipeline how it is. All are asked concurrently, each within a time limit.

A process that does not answer in time is asked again before it counts as one that does not answer,
with its last answer meanwhile: a single slow answer is no news. Then its last answer is forgotten.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeVar

import aiohttp
import msgspec
from valkey.asyncio import Valkey
from yarl import URL

from consumers.counters.server import answering
from consumers.runtime.handler import Unavailable
from consumers.runtime.status import ConsumerStatus
from consumers.stats.addresses import Addresses
from consumers.stats.dead_letter_actions import ActionFollower
from consumers.stats.group_names import GroupNames
from consumers.stats.kafka_facts import KafkaFacts, ask_kafka
from consumers.stats.process_statuses import (
    IngressStatus,
    ProcessStatuses,
    Readiness,
    SilentProcess,
)
from consumers.stats.resolved_url import ResolvedUrl
from schemas.former_names import status_of
from schemas.kafka_access import KafkaAccess

# A process, and the name server before that, must answer in this time.
ANSWER_S_MAX = 1.5
ANSWER_BYTES_MAX = 1 << 20
# Kafka is asked for retention, unread records and dead letters only so often.
KAFKA_POLL_S = 10.0
# The group of a webhook has the name of its target, which its process reports.
_NOT_A_GROUP = "webhook"

Status = TypeVar("Status", IngressStatus, ConsumerStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    The parts that are asked.

    `ingress` are the admin ports of the replicas, as URLs; `consumers` are pairs of a consumer's
    name and such a URL. `gateway` and `statistics` are URLs of ports with /readyz, `valkey` has the
    counts, and `kafka` is an address; those that are None are not asked.
    """

    ingress: Sequence[str]
    consumers: Sequence[tuple[str, str]]
    gateway: str | None = None
    statistics: str | None = None
    valkey: Valkey | None = None
    kafka: KafkaAccess | None = None


class Processes:
    """Asks all parts, and keeps their last answers."""

    def __init__(self, session: aiohttp.ClientSession, watched: Watched) -> None:
        self._session = session
        self._watched = watched
        self._ingress = [Addresses(url) for url in watched.ingress]
        self._consumers: dict[str, list[Addresses]] = {}
        for name, url in watched.consumers:
            self._consumers.setdefault(name, []).append(Addresses(url))
        self._group_names = {
            name: [GroupNames() for _ in urls] for name, urls in self._consumers.items()
        }
        # The groups of the consumers, as far as they are known.
        self._groups = self._consumers.keys() - {_NOT_A_GROUP}
        self._kafka: KafkaFacts | SilentProcess | None = None
        self._asking_kafka: asyncio.Task[KafkaFacts | SilentProcess] | None = None
        self._kafka_asked_at = -math.inf
        self._actions = ActionFollower()
        # When each address answered last, and Valkey as "".
        self._answered_at: dict[str | ResolvedUrl, datetime] = {}
        # The answers of the last time, by address; an absent one was missed then.
        self._last_answers: dict[str | ResolvedUrl, Any] = {}
        self._asked_urls: set[str | ResolvedUrl] = set()

    async def close(self) -> None:
        """End the requests to the name server and to Kafka."""
        if self._asking_kafka is not None:
            self._asking_kafka.cancel()
            await asyncio.wait((self._asking_kafka,))
        for name in (*self._ingress, *chain.from_iterable(self._consumers.values())):
            await name.close()

    async def ask(self) -> ProcessStatuses:
        """Return the answers of all parts, each of which may be that it does not answer."""
        self._asked_urls = {""}
        async with asyncio.TaskGroup() as tasks:
            valkey = tasks.create_task(self._ask_valkey())
            kafka = tasks.create_task(self._ask_kafka())
            gateway = tasks.create_task(self._ask_readiness(self._watched.gateway))
            statistics = tasks.create_task(self._ask_readiness(self._watched.statistics))
            ingress = tasks.create_task(self._ask_all(self._ingress, IngressStatus))
            asked = {
                name: tasks.create_task(self._ask_all(urls, ConsumerStatus))
                for name, urls in self._consumers.items()
            }
        replicas = _merged(ingress.result())
        consumers = {
            name: _merged(map(GroupNames.note, self._group_names[name], task.result()))
            for name, task in asked.items()
        }
        for answers in consumers.values():
            self._groups |= {
                one.name for one in answers.values() if not isinstance(one, SilentProcess)
            }
        # Addresses of processes that were replaced.
        for url in self._answered_at.keys() - self._asked_urls:
            self._answered_at.pop(url)
            self._last_answers.pop(url, None)
        return ProcessStatuses(
            now=datetime.now(UTC),
            ingress=list(replicas.values()) if self._ingress else None,
            consumers={name: list(answers.values()) for name, answers in consumers.items()},
            valkey=valkey.result(),
            gateway=gateway.result(),
            statistics=statistics.result(),
            kafka=kafka.result(),
            ingress_addresses=[url.text for url in replicas],
            consumer_addresses={
                name: [url.text for url in answers] for name, answers in consumers.items()
            },
        )

    async def _ask_kafka(self) -> KafkaFacts | SilentProcess | None:
        """
        Return what Kafka said last, None if it is not asked.

        Only the first answer is waited for: a Kafka that is frozen delays no other answer.
        """
        if self._watched.kafka is None:
            return None
        now = asyncio.get_running_loop().time()
        if self._asking_kafka is None and now - self._kafka_asked_at >= KAFKA_POLL_S:
            self._kafka_asked_at = now
            asking = ask_kafka(self._watched.kafka, sorted(self._groups), self._actions)
            self._asking_kafka = asyncio.create_task(asking)
        if self._asking_kafka is not None:
            if self._kafka is None:
                await asyncio.wait((self._asking_kafka,))
            if self._asking_kafka.done():
                self._kafka, self._asking_kafka = self._asking_kafka.result(), None
        return self._kafka

    async def _ask_valkey(self) -> SilentProcess | None:
        if self._watched.valkey is None:
            return None
        try:
            async with asyncio.timeout(ANSWER_S_MAX), answering():
                await self._watched.valkey.ping()
        except (Unavailable, TimeoutError):
            return (
                None
                if self._last_answers.pop("", None)
                else SilentProcess(self._answered_at.get(""))
            )
        self._answered_at[""], self._last_answers[""] = datetime.now(UTC), True
        return None

    async def _ask_readiness(self, url: str | None) -> Readiness | SilentProcess | None:
        """Return the answer of /readyz at `url`, None if there is none to ask."""
        if url is None:
            return None
        port = ResolvedUrl.at(URL(url), None)
        try:
            status, body = await self._get(port, "/readyz")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            last: Readiness | None = self._last_answers.pop(port, None)
            return last or SilentProcess(self._answered_at.get(port))
        readiness = Readiness(status == 200, body.decode(errors="replace").strip())
        self._answered_at[port], self._last_answers[port] = datetime.now(UTC), readiness
        return readiness

    async def _ask_all(
        self, names: Sequence[Addresses], kind: type[Status]
    ) -> list[Mapping[ResolvedUrl, Status | SilentProcess]]:
        """Return the answers of each name, by the addresses that it has."""
        addresses = await asyncio.gather(*(name.find(ANSWER_S_MAX) for name in names))
        urls = list(dict.fromkeys(chain.from_iterable(addresses)))
        answers = await asyncio.gather(*(self._ask(url, kind) for url in urls))
        by_url = dict(zip(urls, answers, strict=True))
        return [{url: by_url[url] for url in each} for each in addresses]

    async def _ask(self, url: ResolvedUrl, kind: type[Status]) -> Status | SilentProcess:
        try:
            _, body = await self._get(url, "/status")
            status = status_of(msgspec.json.decode(body), kind)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            # ValueError: the answer is too long, or not that of such a process.
            last: Status | None = self._last_answers.pop(url, None)
            return last or SilentProcess(self._answered_at.get(url))
        self._answered_at[url], self._last_answers[url] = datetime.now(UTC), status
        return status

    async def _get(self, url: ResolvedUrl, path: str) -> tuple[int, bytes]:
        """Return the HTTP status and the body of an answer."""
        self._asked_urls.add(url)
        async with (
            asyncio.timeout(ANSWER_S_MAX),
            self._session.get(f"{url.text}{path}", **url.request_options) as response,
        ):
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            return response.status, bytes(body)


def _merged(
    answers: Iterable[Mapping[ResolvedUrl, Status | SilentProcess]],
) -> Mapping[ResolvedUrl, Status | SilentProcess]:
    """Return the answers of several names in one mapping, each address once."""
    return dict(chain.from_iterable(each.items() for each in answers))
