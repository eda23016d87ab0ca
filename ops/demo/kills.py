"""Kill every part of a running stack once (SIGKILL), while callbacks are sent."""

import asyncio
import time
from collections.abc import Callable

from ops.demo.stack import Stack

# The schedule: percent of the sending time, and the part to kill. A killed part is started again at
# once, except Kafka, which stays down from KAFKA_DOWN to KAFKA_UP.
KILLS_BEFORE_KAFKA = (
    (8, "ingress-1"),
    (15, "archive"),
    (19, "sync"),
    (23, "counters"),
    (27, "stats"),
)
KAFKA_DOWN, SECOND_INGRESS, KAFKA_UP = 35, 45, 55
KILLS_AFTER_KAFKA = ((80, "postgres"), (85, "valkey"))


async def kill_each_part(stack: Stack, seconds: float, log: Callable[[str], None]) -> None:
    """Kill each part, and return when all are up again."""
    began_at = time.monotonic()
    log("killing each part once meanwhile; it is started again at once, but Kafka only later")

    async def reach(percent: float) -> None:
        await asyncio.sleep(began_at + seconds * percent / 100 - time.monotonic())

    def note(event: str) -> None:
        log(f"{time.monotonic() - began_at:4.1f} s  {event}")

    async def kill(parts: tuple[tuple[int, str], ...]) -> None:
        for percent, name in parts:
            await reach(percent)
            note(f"kill -9 {name}")
            stack.supervisor.kill(name)

    await kill(KILLS_BEFORE_KAFKA)
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
    await kill(KILLS_AFTER_KAFKA)
    await stack.ready()
