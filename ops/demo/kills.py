"""Kill every part of a running stack once (SIGKILL), while callbacks are sent."""

import asyncio
import time
from collections.abc import Callable

from ops.demo.stack import Stack

# When which part is killed, in hundredths of the time that callbacks are sent. It is started again
# at once, but Kafka stays down from KAFKA_DOWN to KAFKA_UP.
FIRST = ((8, "ingress-1"), (15, "archive"), (19, "sync"), (23, "counters"), (27, "stats"))
KAFKA_DOWN, SECOND_INGRESS, KAFKA_UP = 35, 45, 55
LAST = ((80, "postgres"), (85, "valkey"))


async def kill_each_part(stack: Stack, seconds: float, log: Callable[[str], None]) -> None:
    """Kill each part, and return when all are up again."""
    begun = time.monotonic()

    async def reach(hundredths: float) -> None:
        await asyncio.sleep(begun + seconds * hundredths / 100 - time.monotonic())

    def note(event: str) -> None:
        log(f"{time.monotonic() - begun:4.1f} s  {event}")

    async def kill(parts: tuple[tuple[int, str], ...]) -> None:
        for at, name in parts:
            await reach(at)
            note(f"kill -9 {name}")
            stack.supervisor.kill(name)

    await kill(FIRST)
    await reach(KAFKA_DOWN)
    note(f"kill -9 kafka, which stays down for {seconds * (KAFKA_UP - KAFKA_DOWN) / 100:g} s")
    stack.supervisor.hold_down("kafka")
    await reach(SECOND_INGRESS)
    # A callback needs one replica, so the other one must be up again.
    await stack.replicas_ready()
    note("kill -9 ingress-2, while Kafka is down")
    stack.supervisor.kill("ingress-2")
    await reach(KAFKA_UP)
    note("start kafka")
    stack.supervisor.let_up("kafka")
    await kill(LAST)
    await stack.ready()
