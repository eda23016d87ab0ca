"""Measure the deliveries a second of one sender over a preloaded topic."""

import time
from dataclasses import asdict, dataclass, replace

from bench.readers import START_S_MAX, Task, logged
from bench.reading import Reading, measure_reading
from bench.sync.webhook.receiver import Report
from bench.sync.webhook.senders import Sender, Sending
from bench.sync.webhook.target import Target, target
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

# The measurement begins when one of so many callbacks is delivered: joining the group does not
# count, and neither does opening the connections.
WARM_UP = 10
ASK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries(Reading):
    """
    One run of a sender with `in_flight` requests in one round; `records` without the first ones.

    `receiver_s` is the receiver's CPU. `repeated`: deliveries of an id that had been accepted.
    """

    sender: str
    in_flight: int
    round: int
    receiver_s: float
    missing: int
    repeated: int

    @property
    def receiver_us(self) -> float:
        """The receiver's CPU of a delivery."""
        return self.receiver_s / self.records * 1e6


def measure(
    sender: Sender, task: Task, kafka: EmbeddedKafka, *, in_flight: int, number: int
) -> Deliveries:
    """
    Measure a sender in round `number` until all callbacks of the topic are delivered.

    Raises:
        NotStarted: it delivers nothing, or not everything.
    """
    task.directory.mkdir()
    with target(task.directory) as to:
        started = sender.start(Sending(task=task, url=to.url, in_flight=in_flight))
        try:
            begun = _until(to, task.records // WARM_UP)
            reading, receiver_s = measure_reading(
                replace(started, begun=lambda: True, look_s=ASK_S),
                replace(task, records=task.records - begun.accepted),
                kafka,
                lambda: to.report().accepted >= task.records,
                beside=[to.pid],
            )
        except child.NotStarted as fault:
            raise logged(fault, sender.name, task.directory) from fault
        finally:
            started.stop()
        report = to.report()
    return Deliveries(
        sender=sender.name,
        in_flight=in_flight,
        round=number,
        receiver_s=receiver_s,
        missing=max(task.records - report.different, 0),
        repeated=report.accepted - report.different,
        **asdict(reading),
    )


def _until(to: Target, accepted: int) -> Report:
    deadline = time.monotonic() + START_S_MAX
    while (report := to.report()).accepted < accepted:
        if time.monotonic() > deadline:
            raise child.NotStarted(f"not within {START_S_MAX:.0f} s: the sender delivers")
        time.sleep(ASK_S)
    return report
