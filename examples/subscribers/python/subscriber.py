"""Keep each message in SQLite, once: `python subscriber.py`."""

import asyncio
import contextlib
import signal
import sqlite3
from os import getenv

from aiokafka import AIOKafkaConsumer, errors

MESSAGES = {b"C2C.CallbackAfterSendMsg", b"Group.CallbackAfterSendMsg"}
# The key drops repeats. A set in memory is empty after a restart, and lacks what others have kept.
KEEP = "insert into messages values (?, ?) on conflict (ce_id) do nothing"


async def main() -> None:
    """Read until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    db = sqlite3.connect(getenv("EFFECTS", "messages.db"), timeout=60, check_same_thread=False)
    db.isolation_level = None  # each statement is a transaction
    db.execute("create table if not exists messages (ce_id primary key, body)")
    async with AIOKafkaConsumer(
        "tim.callbacks.v1",
        bootstrap_servers=getenv("KAFKA", "127.0.0.1:9094"),
        group_id=getenv("GROUP", "my-team"),
        isolation_level="read_committed",  # the default also reads aborted transactions
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        while not stop.is_set():
            for place, records in (await consumer.getmany(timeout_ms=500, max_records=500)).items():
                for headers, body in ((dict(record.headers), record.value) for record in records):
                    if headers["ce_type"] in MESSAGES:  # in a thread, so that heartbeats continue
                        await asyncio.to_thread(db.execute, KEEP, (headers["ce_id"].decode(), body))
                with contextlib.suppress(errors.CommitFailedError, errors.IllegalStateError):
                    await consumer.commit({place: records[-1].offset + 1})


asyncio.run(main())
