"""A webhook on a real Kafka and a real HTTP server: order, parking, fencing, dead letters."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import ConsumerRecord
from support.builders import a_stored_record
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.kafka.parts import in_topic
from support.processes.ingress import until
from support.webhook.receiver import Answer, Arrival
from support.webhook.sending import full_backlog
from support.webhook.world import World, a_world

from consumers.runtime import positioning
from consumers.runtime.batch import Position
from consumers.runtime.brake import Braked
from consumers.runtime.handler import Stopped
from consumers.webhook import retries
from consumers.webhook.consumer import LIMITS
from consumers.webhook.retry_partition import OwnershipLost, RetryPartition
from consumers.webhook.retry_record import ParkedCallback, conversation
from consumers.webhook.retry_topic import RetryTopic
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import DEAD_LETTERS, record_bytes_max


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a fraction of the time before a parked conversation is tried again."""
    monkeypatch.setattr(retries, "RETRY_S", 0.05)
    monkeypatch.setattr(retries, "RETRY_S_MAX", 0.5)


@pytest.fixture
async def world(empty_kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a world without callbacks."""
    async with a_world(empty_kafka.address, tmp_path) as made:
        yield made


def refusing(person: str, status: int = 500) -> Answer:
    """Return an answer that only one person's callbacks get."""

    async def answer(arrival: Arrival) -> int:
        return status if arrival.person == person else 200

    return answer


async def dead_letters(world: World) -> list[ConsumerRecord[bytes, bytes]]:
    """Return the dead letters of the world's target."""
    group = f"webhook-{world.name}".encode()
    letters = await in_topic(world.kafka, None, DEAD_LETTERS.name)
    return [each for each in letters if dict(each.headers).get("hookline.errors.group") == group]


async def test_one_failing_conversation_waits_while_the_others_go_on(world: World) -> None:
    """Its later callbacks follow it into the retry topic, also those that another member reads."""
    world.receiver.answer = refusing("user3")
    await world.send(400)
    async with world.handler() as handler:
        await world.run(handler, 380)
    assert not any(each.person == "user3" for each in world.receiver.accepted)
    await world.send(200)
    seen = len(world.receiver.arrivals)
    async with world.handler() as handler:
        await world.run(handler, 570)
        # The new member has found the conversation in the retry topic before it delivered.
        failing = [e for e in world.receiver.arrivals[seen:] if e.person == "user3"]
        assert {each.key for each in failing} == {"key-3"}
        world.receiver.answer = refusing("no sender")
        await world.run(handler, 600)
    world.check()
    assert world.receiver.repeats() == 0


async def test_while_the_target_is_down_nothing_is_parked_or_rejected(world: World) -> None:
    """All deliveries pause in place, and continue where they were."""
    await world.send(300)
    async with world.handler() as handler:
        await world.run(handler, 300)
        await world.receiver.stop()
        await world.send(300)

        running = asyncio.create_task(world.run(handler, 600))
        await asyncio.sleep(4)
        await world.receiver.start()
        await running
        assert sum(state.parked_records for state in handler.states) == 0
    world.check()
    assert await dead_letters(world) == []


async def test_while_connects_to_the_target_hang_nothing_is_parked(world: World) -> None:
    """With few conversations, too, and if an attempt may take less time than a connect."""
    await world.send(40, people=2)
    async with world.handler(timeout_s=2) as handler:
        await world.run(handler, 40)
        await world.receiver.stop()
        await world.send(40, people=2)
        with full_backlog(world.receiver.port):
            running = asyncio.create_task(world.run(handler, 80))
            await asyncio.sleep(6)
            assert {each.parked_records for each in handler.states} == {0}
        await world.receiver.start()
        await running
    world.check()


async def test_a_refused_callback_becomes_a_dead_letter_and_its_conversation_goes_on(
    world: World,
) -> None:
    """The dead letter has the answer's beginning; the other 999 are delivered in order."""

    async def answer(arrival: Arrival) -> web.Response | int:
        if arrival.key == "key-503":
            return web.Response(status=422, text="poison " + 5000 * "x")
        return 200

    world.receiver.answer = answer
    await world.send(1000)
    async with world.handler() as handler:
        await world.run(handler, 999)
    (letter,) = await dead_letters(world)
    message = dict(letter.headers)["__connect.errors.exception.message"].decode()
    assert message.startswith("the target answered 422: poison xxx")
    assert len(message) < 1100
    world.sent.pop(502)
    world.check()


async def test_dead_letters_go_to_the_topic_of_the_setting(world: World) -> None:
    """A process reads CONSUMER_DEAD_LETTERS_TOPIC."""
    topic = f"{world.name}.dead.v1"
    async with admin_client(world.kafka) as admin:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    world.receiver.answer = refusing("user3", 400)
    await world.send(40)
    world.launch({"CONSUMER_DEAD_LETTERS_TOPIC": topic})
    await until(lambda: world.receiver.ids >= 38, "all others are accepted")

    async def are_there() -> bool:
        return len(await in_topic(world.kafka, None, topic)) == 2

    await until(are_there, "the refused ones are in the topic")
    assert await dead_letters(world) == []


async def test_a_parked_callback_that_is_refused_becomes_a_dead_letter(world: World) -> None:
    """The callbacks that were parked after it are delivered."""
    world.receiver.answer = refusing("user3", 503)
    await world.send(100)
    async with world.handler() as handler:
        await world.run(handler, 95)

        async def answer(arrival: Arrival) -> int:
            return 400 if arrival.key == "key-3" else 200

        world.receiver.answer = answer
        await world.run(handler, 99)
    (letter,) = await dead_letters(world)
    assert letter.value == world.sent.pop(2).value
    assert not [name for name, _ in letter.headers if name.startswith("hookline.retry")]
    world.check()


async def test_a_partition_pauses_at_the_bound_of_its_parked_callbacks(world: World) -> None:
    """Nothing is skipped: it continues when the target takes the parked callbacks."""
    world.receiver.answer = refusing("user0")
    await world.send(300, people=2)
    async with world.handler(parked_records_max=5) as handler:
        running = asyncio.create_task(world.run(handler, 300))
        async with asyncio.timeout(180):
            while not any(state.parked_records >= 5 for state in handler.states):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        assert max(state.parked_records for state in handler.states) <= 5 + LIMITS.records
        world.receiver.answer = refusing("no sender")
        await running
    world.check()


async def test_reading_what_waits_may_take_longer_than_one_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls after it go on with the same claim."""
    await world.send(100)
    async with world.handler() as handler:
        await world.run(handler, 100)
    read = RetryPartition.read

    async def read_slowly(owned: RetryPartition, claim: str) -> None:
        await asyncio.sleep(7)
        await read(owned, claim)

    monkeypatch.setattr(RetryPartition, "read", read_slowly)
    monkeypatch.setattr(positioning, "HANDLE_TIMEOUT_S", 3.0)
    await world.send(100)
    async with world.handler() as handler:
        await world.run(handler, 200)
    world.check()


async def test_a_target_that_is_gone_stops_the_consumer(world: World) -> None:
    """410: it waits for a person; no record is rejected, so this is not the brake."""
    world.receiver.answer = refusing("user3", 410)
    await world.send(100)
    with pytest.raises(ExceptionGroup) as raised:
        async with world.handler() as handler:
            await world.run(handler, 100)
    assert raised.group_contains(Stopped, match="does not want any more callbacks")
    assert not raised.group_contains(Braked)
    assert await dead_letters(world) == []


async def test_a_member_that_was_replaced_can_write_nothing(kafka: str, group: str) -> None:
    """Its transaction is refused, also one that it had begun; the new owner's state stays."""
    topic = RetryTopic(kafka=plaintext(kafka), name=group, record_bytes_max=1 << 20)
    async with topic.claim(0) as zombie:
        await zombie.write([Position(5, None, "topic")])
        await zombie._producer.begin_transaction()  # noqa: SLF001
        await zombie._producer.send(topic.topic, b"{}", key=b"position", partition=0)  # noqa: SLF001
        async with topic.claim(0) as owner:
            await owner.write([Position(9, None, "topic")])
            with pytest.raises(OwnershipLost):
                await zombie.check_owned()
            with pytest.raises(OwnershipLost):
                await zombie.write([Position(6, None, "topic")])
            await owner.check_owned()
            async with topic.claim(0) as third:
                assert third.state.position == Position(9, None, "topic")


async def test_a_fence_holds_even_if_the_owner_is_not_checked(kafka: str, group: str) -> None:
    """The broker refuses the write of a member that does not know yet."""
    topic = RetryTopic(kafka=plaintext(kafka), name=group, record_bytes_max=1 << 20)
    async with topic.claim(0) as zombie, topic.claim(0) as owner:
        await owner.write([Position(9, None, "topic")])
        with pytest.raises(OwnershipLost):
            await zombie.write([Position(6, None, "topic")])
        assert zombie.state.position is None
        await owner.write([Position(10, None, "topic")])


async def test_a_large_callback_can_be_parked(kafka: str, group: str) -> None:
    """Also if HOOKLINE_BODY_BYTES_MAX is larger for the ingress: the limit is the retry topic's."""
    largest = record_bytes_max(1 << 20)
    topic = RetryTopic(kafka=plaintext(kafka), name=group, record_bytes_max=largest)
    body = random.Random(1).randbytes(4 << 20)  # noqa: S311 - incompressible
    record = a_stored_record(3)._replace(value=body)
    parked = ParkedCallback(record, 1, 7, 5, 4096 * "x")
    async with topic.claim(0) as owner:
        await owner.write([parked])
        async with topic.claim(0) as another:
            assert another.state.first(b"key") is None
            assert list(another.state.waiting(conversation(record))) == [parked]


async def test_a_callback_that_the_retry_topic_refuses_stops_the_target(
    kafka: str, group: str
) -> None:
    """A person reads what to set; otherwise the member would try it without end."""
    topic = RetryTopic(kafka=plaintext(kafka), name=group, record_bytes_max=1 << 20)
    body = random.Random(1).randbytes(1 << 16)  # noqa: S311 - incompressible
    parked = ParkedCallback(a_stored_record(3)._replace(value=body), 1, 7, 5, "")
    async with topic.claim(0) as owner:
        await set_configs(kafka, topic.topic, {"max.message.bytes": "10000"})
        with pytest.raises(Stopped, match=r"max\.message\.bytes=16908288 for the topic"):
            await write_until_lost(owner, parked)
        assert owner.is_lost


async def write_until_lost(owner: RetryPartition, parked: ParkedCallback) -> None:
    """Write again and again: the broker applies a setting only some time after it was accepted."""
    while not owner.is_lost:
        await owner.write([parked])


async def set_configs(kafka: str, topic: str, configs: dict[str, str]) -> None:
    """Replace the configs of a topic."""
    async with admin_client(kafka) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
