"""`hookline find` asks the real ingress, Kafka, archive, PostgreSQL and Valkey."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.archive.reader import archived_records
from support.builders import a_body
from support.kafka.access import plaintext
from support.processes.blackbox import hookline
from support.processes.consumer import Consumer
from support.processes.ingress import Connection, Ingress, post, until
from support.sync_tables import receipts
from valkey import Valkey

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.find.question import Question, kind_of, question_of
from ops.find.ranges import FindRequest
from ops.find.search import Answer, Search
from ops.find.sources import Sources


class Pipeline:
    """An ingress and all consumers, and the environment that names them to a command."""

    def __init__(self, directory: Path, kafka: str, conninfo: str, valkey_url: str) -> None:
        self.ingress = Ingress(directory / "spools", kafka)
        self.archive = directory / "archive"
        self.consumers = [
            Consumer(
                "archive", kafka, directory / "archive.log", url=self.archive, segment_age_s=1
            ),
            Consumer("sync", kafka, directory / "sync.log", postgres=conninfo),
            Consumer("counters", kafka, directory / "counters.log", valkey=valkey_url),
        ]
        self.env = {
            "HOOKLINE_BOOTSTRAP_SERVERS": kafka,
            "ARCHIVE_URL": str(self.archive),
            "SYNC_POSTGRES": conninfo,
            "COUNTERS_VALKEY": valkey_url,
            "OPS_INGRESS": f"http://127.0.0.1:{self.ingress.admin_port}",
        }
        self.sources = Sources(
            kafka=plaintext(kafka),
            archive=str(self.archive),
            postgres=conninfo,
            counters=valkey_url,
            ingresses=(self.env["OPS_INGRESS"],),
        )

    async def send(self, body: bytes) -> int:
        """Send a callback and return the status of the answer."""
        connection = await Connection.open(self.ingress.port)
        try:
            connection.send(post(body))
            return (await connection.answer()).status
        finally:
            connection.close()

    async def find(
        self,
        question: Question,
        *,
        body: bool = False,
        limit: int = 20,
        until: datetime | None = None,
        **sources: Any,
    ) -> Answer:
        """Return the answer; `sources` replace those of the pipeline."""
        request = FindRequest(
            question=question,
            since=None,
            until=until,
            now=datetime.now(UTC),
            limit=limit,
            keeps_bodies=body,
            timeout_s=180,
        )
        return await Search(request, replace(self.sources, **sources), lambda _: None).run()

    def has_all(self, count: int) -> bool:
        """Return whether the sinks have so many callbacks."""
        with Valkey.from_url(self.env["COUNTERS_VALKEY"]) as valkey:
            applied: Any = valkey.hvals("hookline:1:applied")
        stored = receipts(self.env["SYNC_POSTGRES"])
        archived = archived_records(self.archive)
        return [archived, sum(map(int, applied)), stored] == [count] * 3


@contextlib.asynccontextmanager
async def running(made: Pipeline) -> AsyncIterator[Pipeline]:
    """Yield the pipeline while it runs."""
    try:
        for consumer in made.consumers:
            consumer.launch()
        await made.ingress.start()
        yield made
    finally:
        made.ingress.kill()
        for consumer in made.consumers:
            consumer.kill()


@pytest.fixture
async def pipeline(
    tmp_path: Path, own_kafka: EmbeddedKafka, conninfo: str, valkey_url: str
) -> AsyncIterator[Pipeline]:
    """Yield a running pipeline whose broker the test may kill."""
    async with running(Pipeline(tmp_path, own_kafka.address, conninfo, valkey_url)) as made:
        yield made


@pytest.fixture
async def pipeline_of_shared_kafka(
    tmp_path: Path, empty_kafka: EmbeddedKafka, conninfo: str, valkey_url: str
) -> AsyncIterator[Pipeline]:
    """Yield a running pipeline with new topics."""
    async with running(Pipeline(tmp_path, empty_kafka.address, conninfo, valkey_url)) as made:
        yield made


def a_message(number: int, **fields: Any) -> tuple[str, bytes]:
    """Return the key of a message that is sent now, and the body of its callback."""
    now = int(time.time())
    key = f"{number}_{3_000_000_000 + number}_{now}"
    return key, a_body(MsgKey=key, MsgTime=now, **fields)


def stores(answer: Answer) -> list[list[str]]:
    """Return where each callback is, as kinds of stores."""
    return [sorted(sighting.store for sighting in each.sightings) for each in answer.callbacks]


# Of a callback that has come to all sinks: the database has its row and its receipt.
EVERYWHERE = ["archive", "counters", "database", "database", "topic"]


async def test_a_callback_is_found_in_every_place_in_which_it_is(
    pipeline: Pipeline, own_kafka: EmbeddedKafka
) -> None:
    """From the archive to the spool of an ingress that died, while Kafka is away."""
    key, body = a_message(1, CloudCustomData="a secret")
    assert [await pipeline.send(body) for _ in range(2)] == [200, 200]
    broken_key, _ = a_message(3)
    assert await pipeline.send(b'{"MsgKey":"' + broken_key.encode()) == 400
    await pipeline.ingress.until_forwarded()
    await until(lambda: pipeline.has_all(2), "both callbacks are in all sinks")

    answer = await pipeline.find(the(key))
    assert stores(answer) == [EVERYWHERE, EVERYWHERE]
    assert answer.not_searched == {}
    assert set(answer.searched) == {
        *("spool", "topic", "dead letter", "archive", "database", "counters"),
    }
    first, second = answer.callbacks
    assert first.ce_id == second.ce_id
    assert {first.sequence, second.sequence} == {1, 2}
    notes = {sighting.note for each in (first, second) for sighting in each.sightings}
    assert notes == {"", "passed by the counters"}
    by_id = await pipeline.find(the(first.ce_id), body=True)
    assert [each.body for each in by_id.callbacks] == [body, body]
    by_place = await pipeline.find(the(f"{second.origin}/{second.sequence}"))
    assert stores(by_place) == [EVERYWHERE]
    assert len((await pipeline.find(Question(accounts=("Jonh", "jared")))).callbacks) == 2
    other = await pipeline.find(Question(accounts=("jared",), app="1400000009"))
    assert (other.callbacks, other.exit_code) == ([], 1)
    dead = await pipeline.find(the(broken_key))
    assert (stores(dead), dead.exit_code) == ([["dead letter"]], 4)
    asked_at = datetime.now(UTC)
    # A dead letter may come after the range: it is searched until now, and the answer says so.
    dead = await pipeline.find(the(broken_key), until=asked_at - timedelta(hours=1))
    searched = dead.searched["dead letter"].range
    assert (stores(dead), searched and searched.until >= asked_at) == ([["dead letter"]], True)
    await the_command_prints_it(pipeline, key)

    own_kafka.kill()
    late_key, late_body = a_message(4)
    assert await pipeline.send(late_body) == 200
    unsent = await pipeline.find(the(late_key))
    assert unsent.exit_code == 3
    assert "1 callback not in Kafka yet" in unsent.not_searched["spool"]
    assert "the connection is refused" in unsent.not_searched["topic"]
    waits = await pipeline.find(the(f"{first.origin}/4"), kafka=None)
    assert stores(waits) == [["spool"]]
    pipeline.ingress.kill()
    spools = pipeline.archive.parent / "spools"
    left = await pipeline.find(the(late_key), kafka=None, ingresses=(), spool=spools)
    assert stores(left) == [["spool"]]
    assert left.callbacks[0].sequence == 4


async def test_callbacks_above_the_limit_are_in_all_sinks_and_counted_once(
    pipeline_of_shared_kafka: Pipeline,
) -> None:
    """With limits below, at and above their number; the row of each is not another callback.

    Only the first rows above the limit are read, so the database may have more.
    """
    pipeline = pipeline_of_shared_kafka
    for number in range(7):
        assert await pipeline.send(a_message(number)[1]) == 200
    await pipeline.ingress.until_forwarded()
    await until(lambda: pipeline.has_all(7), "all callbacks are in all sinks")
    jared = Question(accounts=("jared",))
    for limit, shown in ((2, 2), (6, 6), (7, 7), (8, 7)):
        answer = await pipeline.find(jared, limit=limit)
        assert stores(answer) == [EVERYWHERE] * shown, limit
        further = answer.collection.further, answer.collection.is_further_exact
        assert further == (7 - shown, limit >= 7), limit
    rows = await pipeline.find(jared, limit=2, kafka=None, archive=None)
    assert stores(rows) == [["database"]] * 2
    assert (rows.collection.further, rows.collection.is_further_exact) == (1, False)


async def the_command_prints_it(pipeline: Pipeline, key: str) -> None:
    """Without the text of the message; with exit code 1 if it is nowhere."""
    text = await asyncio.to_thread(hookline, "find", key, "--json", env=pipeline.env)
    assert len(json.loads(text)["callbacks"]) == 2
    assert "secret" not in text
    other = key.replace("1_", "9_", 1)
    text = await asyncio.to_thread(hookline, "find", other, env=pipeline.env, expect=1)
    assert "--until TIME" in text


def the(text: str) -> Question:
    """Return the question for an id."""
    return question_of(text, kind_of(text), app=None)
