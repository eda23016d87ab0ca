"""Kafka refuses, loses or forgets something: the forwarder recovers, nothing is lost."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from support.builders import a_wire_record
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.kafka.parts import Pipe, in_topic, many, sequences

from ingress.forward import cursor, forwarder
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics
from schemas import clients
from schemas.outgoing_record import OutgoingRecord
from schemas.topics import CALLBACKS, DEAD_LETTERS

pytestmark = pytest.mark.timeout(600)


def a_big_record(number: int, *, noise_bytes: int = 50_000) -> OutgoingRecord:
    """Return a record that compression makes no smaller than `noise_bytes`."""
    noise = os.urandom(noise_bytes).hex()
    return a_wire_record(number, b'{"CallbackCommand":"X","t":"%s"}' % noise.encode())


async def limit(address: str, topic: str, record_bytes_max: int) -> None:
    """Let the broker refuse larger batches for `topic`."""
    configs = {"max.message.bytes": str(record_bytes_max)}
    async with admin_client(address) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


async def until(pipe: Pipe, fault: str, seconds: float = 180) -> None:
    """Return when the forwarder's fault has this text, or is ""."""
    async with asyncio.timeout(seconds):
        while (fault not in pipe.fault()) if fault else pipe.fault():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_row_that_the_broker_refuses_becomes_a_dead_letter(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """It is found among many; the rows before and after it arrive, each once."""
    await limit(empty_kafka.address, CALLBACKS.name, 20_000)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        big = a_big_record(1)
        await pipe.store([*many(300), big, *many(300, first=301)])
        await pipe.forward(seconds=180)
        records = await in_topic(empty_kafka.address, pipe.spool.origin)
        (letter,) = await in_topic(empty_kafka.address, pipe.spool.origin, DEAD_LETTERS.name)
    assert sequences([letter]) == [301]
    assert letter.value == big.value
    headers = dict(letter.headers)
    assert headers["__connect.errors.exception.class.name"] == b"MessageSizeTooLargeError"
    assert headers["__connect.errors.topic"] == CALLBACKS.name.encode()
    assert sorted(sequences(records)) == [n for n in range(1, 602) if n != 301]


async def test_a_body_above_the_limit_that_topics_were_applied_with_becomes_a_dead_letter(
    kafka_without_topics: EmbeddedKafka, tmp_path: Path
) -> None:
    """The ingress has a larger HOOKLINE_BODY_BYTES_MAX; the row must not stay in quarantine."""
    kafka = kafka_without_topics
    await apply_topics(plaintext(kafka.address), body_bytes_max=1 << 10, replicas=1)
    big = a_big_record(1, noise_bytes=200_000)
    with contextlib.closing(Pipe(kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store([*many(3), big, *many(3, first=4)])
        await pipe.forward(seconds=180)
        assert pipe.spool.state.quarantined_sequences == []
        (letter,) = await in_topic(kafka.address, pipe.spool.origin, DEAD_LETTERS.name)
    assert (sequences([letter]), letter.value) == ([4], big.value)


async def test_a_row_that_is_refused_everywhere_stays_in_quarantine(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Its bytes are kept, and the rows after it arrive."""
    for topic in (CALLBACKS.name, DEAD_LETTERS.name):
        await limit(empty_kafka.address, topic, 20_000)
    big = a_big_record(1)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store([*many(3), big, *many(3, first=4)])
        await pipe.forward(seconds=180)
        assert pipe.spool.state.quarantined_sequences == [4]
        assert big.value in pipe.spool.quarantined_bytes(4)
        records = await in_topic(empty_kafka.address, pipe.spool.origin)
    assert sorted(sequences(records)) == [1, 2, 3, 5, 6, 7]


async def test_a_damaged_row_is_never_sent_and_stops_nothing(kafka: str, tmp_path: Path) -> None:
    """It is in quarantine under its sequence, so that an audit names it."""
    directory = tmp_path / "spool"
    pipe = Pipe(kafka, directory)
    await pipe.store(many(100))
    pipe.close()
    path = directory / f"{pipe.spool.name}.lmdb"
    content = path.read_bytes()
    mark = b'"MsgKey": "key-40"'
    assert content.count(mark) == 1
    path.write_bytes(content.replace(mark, b'"MsgKey": "key-XX"'))
    with contextlib.closing(Pipe(kafka, directory)) as pipe:
        await pipe.forward()
        assert pipe.spool.state.quarantined_sequences == [40]
        records = await in_topic(kafka, pipe.spool.origin)
    assert sorted(sequences(records)) == [n for n in range(1, 101) if n != 40]


async def test_missing_topics_are_waited_for(
    kafka_without_topics: EmbeddedKafka, tmp_path: Path
) -> None:
    """The fault says what to do; after that the forwarder continues without a restart."""
    kafka = kafka_without_topics
    with contextlib.closing(Pipe(kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(50))
        forwarding = asyncio.create_task(pipe.forward(seconds=180))
        await until(pipe, "hookline topics apply")
        await apply_topics(plaintext(kafka.address), body_bytes_max=1 << 20, replicas=1)
        await forwarding
        records = await in_topic(kafka.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 51))


async def test_an_idle_forwarder_notices_that_kafka_goes_and_comes(
    own_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with nothing to send, for those who watch /status."""
    monkeypatch.setattr(forwarder, "IDLE_CHECK_INTERVAL_S", 0.2)
    with contextlib.closing(Pipe(own_kafka.address, tmp_path / "spool")) as pipe:
        forwarding = asyncio.create_task(pipe.forward(until=lambda: False, seconds=180))
        await until(pipe, "")
        own_kafka.kill()
        await until(pipe, " ")
        assert pipe.forwarder is not None
        assert pipe.forwarder.fault.for_s is not None
        own_kafka.launch()
        await until(pipe, "", seconds=180)
        assert pipe.forwarder.fault.for_s is None
        # An answer of Kafka ends the fault.
        async with asyncio.timeout(180):
            while pipe.forwarder.fault.failing_since is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        forwarding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forwarding


async def test_a_frozen_broker_leaves_no_task_behind(
    own_kafka: EmbeddedKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also after many attempts; when the broker runs again, each row arrives once."""
    before = asyncio.all_tasks()
    with contextlib.closing(Pipe(own_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(5000))
        forwarding = asyncio.create_task(pipe.forward(seconds=180))
        async with asyncio.timeout(180):
            while not (pipe.forwarder and pipe.forwarder.forwarded_sequence):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert own_kafka.process is not None
        os.kill(own_kafka.process.pid, signal.SIGSTOP)
        with monkeypatch.context() as hasty:
            hasty.setattr(forwarder, "SEND_TIMEOUT_S", 1.0)
            hasty.setattr(forwarder, "START_TIMEOUT_S", 1.0)
            hasty.setattr(cursor, "READ_TIMEOUT_S", 1.0)
            hasty.setattr(clients, "STOP_TIMEOUT_S", 0.5)
            hasty.setattr(forwarder, "BACKOFF_S_MAX", 0.2)
            await asyncio.sleep(12)  # longer than the broker's time-out of a transaction
            leftovers = len(asyncio.all_tasks() - before)
        os.kill(own_kafka.process.pid, signal.SIGCONT)
        await forwarding
        records = await in_topic(own_kafka.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 5001))
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert leftovers < 12  # those of the client that is trying now
    deadline = asyncio.get_running_loop().time() + 180
    while asyncio.all_tasks() != before:
        left = [str(task.get_coro()) for task in asyncio.all_tasks() - before]
        assert asyncio.get_running_loop().time() < deadline, left
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def denied(address: str) -> AsyncIterator[None]:
    """Deny all writes to the main topic for a while."""
    topic, literal, write, deny = 2, 3, 4, 2
    place = (topic, CALLBACKS.name, literal, "User:ANONYMOUS", "*", write, deny)
    async with admin_client(address) as admin:
        await admin._send_request(CreateAclsRequest(*place))  # noqa: SLF001 - it has no call
        yield
        await admin._send_request(DeleteAclsRequest(*place))  # noqa: SLF001


async def test_an_authorization_that_is_taken_and_given_back_costs_nothing(tmp_path: Path) -> None:
    """The fault names it, and callbacks wait on disk."""
    server = EmbeddedKafka(
        tmp_path / "kafka",
        properties="authorizer.class.name="
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "allow.everyone.if.no.acl.found=true\n",
    )
    with child.running(server) as kafka:
        await apply_topics(plaintext(kafka.address), body_bytes_max=1 << 20, replicas=1)
        with contextlib.closing(Pipe(kafka.address, tmp_path / "spool")) as pipe:
            async with denied(kafka.address):
                await pipe.store(many(50))
                forwarding = asyncio.create_task(pipe.forward(seconds=180))
                await until(pipe, "uthoriz")
            await forwarding
            records = await in_topic(kafka.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 51))
