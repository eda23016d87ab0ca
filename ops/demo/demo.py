"""Traffic for a running stack, parts of it killed on the way, and the proof at the end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.audit.audit import audit
from ops.audit.ends import Ends
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.sources import Sources
from ops.audit.spool_ends import read_ends
from ops.demo.stack import SDKAPPIDS, WATCH_S, Stack
from ops.simulate import ledger
from ops.simulate.result import TrafficResult
from ops.simulate.sender import Plan, simulate

SETTLE_S_MAX = 90.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The answers to the traffic, and the audit."""

    traffic: TrafficResult
    report: Report

    @property
    def proven(self) -> bool:
        """True if every callback is in every sink exactly once."""
        return self.report.proven

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return {
            "ok": self.proven,
            "answered_ok": self.traffic.answers["ok"],
            "in_kafka": self.report.held(KAFKA),
            "archived": self.report.held(ARCHIVE),
            "in_postgres": self.report.held(POSTGRES),
            "counted": self.report.held(COUNTS),
            "missing": self.report.missing,
            "doubled": self.report.doubled,
            "traffic": self.traffic.as_dict(),
            "audit": self.report.as_dict(),
        }


async def run_traffic(
    stack: Stack,
    *,
    rate: float,
    seconds: float,
    faults: bool,
    say: Callable[[str], None],
    on_answer: Callable[[ledger.Entry], None],
) -> DemoResult:
    """Send traffic, meanwhile kill parts of the stack if `faults`, then audit."""
    plan = Plan(urls=(stack.addresses.ingress,), sdkappids=SDKAPPIDS, rate=rate, seconds=seconds)
    ledger_path = stack.directory / "ledger.jsonl"
    breaking = asyncio.create_task(_break(stack, seconds, say) if faults else asyncio.sleep(0))
    with ledger_path.open("wb") as file:
        traffic = await simulate(plan, file, on_answer)
    await breaking
    say("traffic has ended; auditing what arrives, the archive last")
    return DemoResult(traffic, await _prove(stack, ledger_path))


async def _break(stack: Stack, seconds: float, say: Callable[[str], None]) -> None:
    await asyncio.sleep(seconds * 0.1)
    say("kill -9 ingress")
    stack.kill("ingress")
    await asyncio.sleep(seconds * 0.1)
    say("kill -9 archive, sync, counters, statistics")
    stack.kill("archive", "sync", "counters", "stats")
    await asyncio.sleep(seconds * 0.15)
    say("kill -9 PostgreSQL, Valkey")
    stack.kill("postgres", "valkey")
    await asyncio.sleep(seconds * 0.15)
    outage_s = max(seconds * 0.2, 2.0)
    say(f"kill -9 Kafka, for {outage_s:g} s: callbacks are answered OK all the same")
    stack.hold_down("kafka")
    await asyncio.sleep(outage_s / 2)
    say("kill -9 ingress, while Kafka is down")
    stack.kill("ingress")
    await asyncio.sleep(outage_s / 2)
    say("starting Kafka again")
    stack.let_up("kafka")
    await asyncio.sleep(2 * WATCH_S)
    await stack.ready()
    say("Kafka is back")


async def _prove(stack: Stack, ledger_path: Path) -> Report:
    async def ends() -> Ends:
        return await read_ends((stack.addresses.admin,), None)

    await stack.ready()
    return await audit(
        ends,
        Sources(
            bootstrap_servers=stack.addresses.kafka,
            archive=stack.addresses.archive,
            postgres=stack.addresses.postgres,
            stats=stack.addresses.stats,
        ),
        ledger=list(ledger.read(ledger_path)),
        wait_s=SETTLE_S_MAX,
        progress=lambda _: None,
    )
