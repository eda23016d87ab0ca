"""Measure how long callbacks wait for their delivery, while one conversation fails or none does."""

import asyncio
from dataclasses import dataclass

from bench.cost import Watch
from bench.processes import broker_pids, until
from bench.readers import Task, logged
from bench.sync.webhook.callbacks import accounts, empty, send
from bench.sync.webhook.receiver import Report
from bench.sync.webhook.senders import Sending, hookline
from bench.sync.webhook.target import target
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

IN_FLIGHT = 64
# Before the measurement: new processes connect, claim their partitions and fill their caches.
WARM_UP_S = 2.0
# A callback that was not delivered some time after the last one was sent is stuck.
REST_S_MAX = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """
    One run at a steady rate. `failing`: the number of conversations whose deliveries failed.

    `sent` are the callbacks of all other conversations.
    """

    round: int
    failing: int
    sent: int
    report: Report
    cpu_us: float
    others: float

    @property
    def missing(self) -> int:
        """The callbacks of the other conversations that were not delivered."""
        return max(self.sent - self.report.others, 0)


def measure(
    task: Task, kafka: EmbeddedKafka, *, rate: int, seconds: float, fails: bool, number: int
) -> Waits:
    """
    Send callbacks at `rate` a second for `seconds`, in round `number`.

    Raises:
        NotStarted: not all callbacks of the other conversations are delivered.
    """
    task.directory.mkdir()
    asyncio.run(empty(task.kafka))
    warm_up = [f"early{number}" for number in range(int(rate * WARM_UP_S))]
    names = list(accounts(rate, int(rate * seconds)))
    with target(task.directory, fails=fails) as to:
        started = hookline(Sending(task=task, url=to.url, in_flight=IN_FLIGHT))
        try:
            asyncio.run(send(task.kafka, warm_up, rate))
            until(lambda: to.report().others >= len(warm_up), "the first callbacks are delivered")
            to.begin()
            watch = Watch(started.pids, [to.pid], broker_pids(kafka))
            asyncio.run(send(task.kafka, names, rate))
            sent = sum(name.startswith("user") for name in names)
            until(
                lambda: to.report().others >= sent,
                "all callbacks of the other conversations are delivered",
                REST_S_MAX,
            )
            (cpu_s, _, _), others = watch.used()
            report = to.report()
        except child.NotStarted as fault:
            raise logged(fault, "webhook", task.directory) from fault
        finally:
            started.stop()
    return Waits(
        round=number,
        failing=int(fails),
        sent=sent,
        report=report,
        cpu_us=cpu_s / len(names) * 1e6,
        others=others,
    )
