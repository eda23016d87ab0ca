"""Consumers of several groups that are killed, stopped and frozen at random, and replaced."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.processes.consumer import Consumer

WATCH_S = 0.5


class Fleet:
    """Use `fleet`. `struck` counts the signals by group and kind."""

    def __init__(self, kafka: str, directory: Path, seed: int) -> None:
        self.struck: Counter[str] = Counter()
        self.rebalances: Counter[str] = Counter()
        self.launched = 0
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self._kafka = kafka
        self._directory = directory
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._members: dict[str, list[Consumer]] = {}
        self._frozen: set[Consumer] = set()
        self._gone: list[Consumer] = []

    def start(self, name: str, members: int, **settings: object) -> None:
        """Start so many members of the group `name`."""
        self._settings[name] = settings
        self._members[name] = []
        for _ in range(members):
            self._launch(name)

    def strike(self) -> None:
        """Kill or stop a random member, and start another one at once."""
        member = self.chance.choice(self._awake())
        assert member.runs, f"{member.name} ended by itself: {member.log.read_text()[-2000:]}"
        kind = self.chance.choice(("SIGKILL", "SIGTERM"))
        self.struck[f"{kind} {member.name}"] += 1
        if kind == "SIGKILL":
            member.kill()
        else:
            member.stop()
        self._members[member.name].remove(member)
        self._gone.append(member)
        self._launch(member.name)

    async def storm(self, seconds: float) -> None:
        """Strike about once a second for so many seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.strike()
            await asyncio.sleep(self.chance.uniform(0.3, 1.2))

    def freeze(self, name: str, members: int) -> None:
        """Freeze so many members of a group, first those that hold records not yet written."""
        awake = self._awake(name)
        self.chance.shuffle(awake)
        awake.sort(key=lambda member: not member.metrics.get("held_bytes"))
        for member in awake[:members]:
            self.struck[f"SIGSTOP {name}"] += 1
            member.freeze()
            self._frozen.add(member)

    def wake(self) -> None:
        """Thaw all frozen members."""
        for member in self._frozen:
            member.thaw()
        self._frozen.clear()

    def all_run(self) -> bool:
        """Return whether every member runs that was not ended on purpose."""
        return all(m.runs for group in self._members.values() for m in group)

    async def watch(self) -> None:
        """Keep the members' metrics, until cancelled."""
        seen: dict[Consumer, dict[str, float]] = {}
        while True:
            awake = self._awake()
            metrics = await asyncio.gather(*(member.measure() for member in awake))
            seen |= dict(zip(awake, metrics, strict=True))
            for name in self._members:
                self.rebalances[name] = int(
                    sum(m.get("rebalances_total", 0) for c, m in seen.items() if c.name == name)
                )
            await asyncio.sleep(WATCH_S)

    def end(self) -> None:
        """Kill all members."""
        self.wake()
        for member in [*self._gone, *(m for group in self._members.values() for m in group)]:
            member.kill()

    def logged(self, *texts: str) -> list[str]:
        """Return the lines of all members' logs that contain one of `texts`."""
        logs = sorted(self._directory.glob("*.log"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if any(text in line for text in texts)]

    def relocations(self, name: str) -> int:
        """Return how often a member found that another one had already written its records."""
        return len(self.logged(f"the sink of {name} has"))

    def _awake(self, *names: str) -> list[Consumer]:
        groups = (self._members[name] for name in names or self._members)
        return [m for group in groups for m in group if m not in self._frozen]

    def _launch(self, name: str) -> None:
        self.launched += 1
        log = self._directory / f"{name}-{self.launched}.log"
        member = Consumer(name, self._kafka, log, **self._settings[name])
        member.launch()
        self._members[name].append(member)

    def __str__(self) -> str:
        """Return the counts in a line."""
        struck = ", ".join(f"{kind} {times}" for kind, times in sorted(self.struck.items()))
        seen = ", ".join(f"{name} {times}" for name, times in self.rebalances.items())
        return (
            f"{self.struck.total()} signals ({struck}); {self.launched} processes; assignments "
            f"seen by members: {seen}; {self.relocations('archive')} times the archive had already "
            "what one of them held"
        )


@asynccontextmanager
async def fleet(kafka: str, directory: Path, *, seed: int) -> AsyncIterator[Fleet]:
    """Yield a fleet without members; on exit every process of it is gone."""
    made = Fleet(kafka, directory, seed)
    watching = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        made.end()
