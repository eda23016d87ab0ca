"""The example of a keyed store: a real Kafka, a real Valkey, and SIGKILL for all but Kafka."""

import asyncio
import random
import secrets
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.kafka.parts import Pipe, many
from support.processes.example import Example
from valkey import Valkey
from valkey.exceptions import ValkeyError

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.outgoing_record import ID

RECORDS_OF_EACH = 500


class KeyedStore:
    """A copy of the example's folder, and its process."""

    def __init__(self, folder: Path, kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> None:
        here = {
            "127.0.0.1:9094": kafka.address,
            "valkey://127.0.0.1:6379/0": valkey.url,
            "8093": str(child.free_port()),
        }
        program = Example("keyed-store", "keyed_store.py", folder, here)
        self.folder, self.log, self.start = folder, program.log, program.start
        self._valkey = valkey

    def events(self) -> dict[bytes, bytes]:
        """Return what is in the store."""
        with Valkey.from_url(self._valkey.url) as client:
            stored: dict[bytes, bytes] = client.hgetall("events")
            return stored

    async def has(self, count: int) -> None:
        """Return when the store has so many events."""
        async with asyncio.timeout(180):
            while True:
                try:
                    if len(self.events()) >= count:
                        return
                except ValkeyError:
                    pass
                await asyncio.sleep(0.01)


@pytest.mark.timeout(600)
async def test_each_event_is_in_the_store_once_over_kill_9(
    empty_kafka: EmbeddedKafka, tmp_path: Path, scaled: Callable[..., int]
) -> None:
    """The program is killed, then the store; repeats and a second pass change nothing."""
    kills = scaled(2, at_most=20)
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a red run
    chance = random.Random(seed)  # noqa: S311 - no secret
    records = many((kills + 1) * RECORDS_OF_EACH)
    sent = {dict(record.headers)[ID]: record.value for record in records}
    with (
        child.running(EmbeddedValkey(tmp_path / "valkey", appendfsync="always")) as valkey,
        closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe,
    ):
        program = KeyedStore(tmp_path / "program", empty_kafka, valkey)
        process = await program.start()
        try:
            for life in range(kills):
                await pipe.store(records[life * RECORDS_OF_EACH : (life + 1) * RECORDS_OF_EACH])
                await pipe.forward()
                await program.has(life * RECORDS_OF_EACH + chance.randrange(1, RECORDS_OF_EACH))
                process.kill()
                assert await process.wait() == -signal.SIGKILL
                process = await program.start()
            await program.has(kills * RECORDS_OF_EACH)
            valkey.kill()
            # The last ones are repeats: the same ce_id at another place.
            await pipe.store([*records[kills * RECORDS_OF_EACH :], *records[:100]])
            await pipe.forward()
            async with asyncio.timeout(180):
                while "Valkey" not in program.log.read_text():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
            valkey.start()
            await program.has(len(sent))
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 180) == 0
            assert program.events() == sent
            # Everything is written again, as after a crash before the position was stored.
            (program.folder / "positions.db").unlink()
            with Valkey.from_url(valkey.url) as client:
                (last,) = (dict(record.headers)[ID] for record in records[-1:])
                client.hdel("events", last)
            process = await program.start(CONSUMER_REBUILD="true")
            await program.has(len(sent))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert program.events() == sent
