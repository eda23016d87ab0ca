"""Kill every part of a running stack once (SIGKILL), while callbacks are sent."""

import asyncio
import time
from collections.abc import Callable

from ops.demo.stack import Stack

# The part to kill after that many hundredths of the traffic. It is started again at once.
KILLS = (
    (10, "ingress-1"),
    (18, "archive"),
    (22, "sync"),
    (26, "counters"),
    (30, "stats"),
    (36, "postgres"),
    (42, "valkey"),
)
# Kafka stays down in between, and ingress-2 is killed in the middle of that.
KAFKA_DOWN, KAFKA_UP = 50, 70
OUTAGE_S_MIN = 2.0


async def kill_each_part(stack: Stack, seconds: float, log: Callable[[str], None]) -> None:
    """Kill each part, and return when all are up again."""
    begun = time.monotonic()

    async def reach(hundredths: float) -> None:
        await asyncio.sleep(begun + seconds * hundredths / 100 - time.monotonic())

    def note(event: str) -> None:
        log(f"{time.monotonic() - begun:4.1f} s  {event}")

    for at, name in KILLS:
        await reach(at)
        note(f"kill -9 {name}")
        stack.supervisor.kill(name)
    await reach(KAFKA_DOWN)
    outage_s = max(seconds * (KAFKA_UP - KAFKA_DOWN) / 100, OUTAGE_S_MIN)
    note(f"kill -9 kafka, which stays down for {outage_s:g} s")
    stack.supervisor.hold_down("kafka")
    await asyncio.sleep(outage_s / 2)
    # A callback needs one replica, so the other one must be up again.
    await stack.replicas_ready()
    note("kill -9 ingress-2, while Kafka is down")
    stack.supervisor.kill("ingress-2")
    await asyncio.sleep(outage_s / 2)
    note("start kafka")
    stack.supervisor.let_up("kafka")
    await stack.ready()
