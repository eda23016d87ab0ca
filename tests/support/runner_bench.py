"""A runner whose source, sink, dead letters and clock are in memory."""

from typing import Any

from support.builders import P0, a_record
from support.fakes import FakeSource, ManualClock, MemoryDeadLetters, MemorySink, MemoryTopic

from consumers.runtime.batch import Limits, Partition
from consumers.runtime.process import ConsumerSettings
from consumers.runtime.runner import Runner

LIMITS = Limits(records=4, bytes=1 << 20, age_s=5)
_SETTINGS = ConsumerSettings()
# The fields of a runner that a process takes from its settings.
BY_DEFAULT: dict[str, Any] = {
    "may_refill_sink": _SETTINGS.rebuild,
    "dead_letters_max": _SETTINGS.dead_letters_max,
    "held_bytes_max": _SETTINGS.held_bytes_max,
}


def measure(runner: Runner) -> None:
    """Set the gauges as a scrape of /metrics does, without faults of the process."""
    runner.set_gauges(runner.status())


class RunnerBench:
    """A runner, its source, its sink, its dead-letter topic and its clock."""

    def __init__(
        self,
        *,
        may_refill_sink: bool = False,
        offsets: range = range(10),
        limits: Limits = LIMITS,
    ) -> None:
        self.topic = MemoryTopic()
        self.topic.records[P0] = [a_record(offset) for offset in offsets]
        self.source = FakeSource(self.topic)
        self.sink = MemorySink()
        self.dead_letters = MemoryDeadLetters()
        self.clock = ManualClock()
        self.limits = limits
        self.runner = self.a_runner(may_refill_sink=may_refill_sink)

    def a_runner(self, **fields: Any) -> Runner:
        """Return a new runner over the same fakes; `fields` replace its defaults."""
        return Runner(
            name="bench",
            limits=self.limits,
            dead_letters=self.dead_letters,
            clock=self.clock,
            **{"handler": self.sink} | BY_DEFAULT | fields,
        )

    def assign(self, *partitions: Partition) -> None:
        """Assign partitions to the runner."""
        self.runner.assign(self.source, partitions)

    async def run_rounds(self, times: int = 6) -> None:
        """Run `times` rounds, let growing batches reach their age, and run `times` rounds again."""
        for _ in range(times):
            await self.runner.run_round(self.source)
        self.clock.now += 5
        for _ in range(times):
            await self.runner.run_round(self.source)
