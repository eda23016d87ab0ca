"""Send callbacks to a running stack, kill its parts meanwhile, and audit every sink at the end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ops.audit.audit import audit
from ops.audit.ends_reader import read_ends
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.sources import Sources
from ops.audit.spool_ends import SpoolEnds
from ops.demo.kills import kill_each_part
from ops.demo.services import SDKAPPIDS
from ops.demo.stack import Stack
from ops.simulate import ledger
from ops.simulate.ledger import Outcome
from ops.simulate.result import TrafficResult
from ops.simulate.sender import TrafficPlan, simulate
from schemas.clients import check_cancellation
from schemas.kafka_access import KafkaAccess

AUDIT_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The answers to the callbacks, and the audit of every sink."""

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
            "sent": self.traffic.sent,
            "answered_ok": self.traffic.answers[Outcome.OK],
            "answered_ok_in_time": self.traffic.in_time,
            "in_kafka": self.report.sequences_in(KAFKA),
            "archived": self.report.sequences_in(ARCHIVE),
            "in_postgres": self.report.sequences_in(POSTGRES),
            "counted": self.report.sequences_in(COUNTS),
            "missing": self.report.missing_at_least,
            "doubled": self.report.doubled_at_least,
            "traffic": self.traffic.as_dict(),
            "audit": self.report.as_dict(),
        }


async def run_traffic(
    stack: Stack,
    *,
    rate: float,
    seconds: float,
    faults: bool,
    log: Callable[[str], None],
    on_answer: Callable[[ledger.LedgerEntry], None],
) -> DemoResult:
    """Send callbacks, kill each part of the stack meanwhile if `faults`, then audit."""
    check_cancellation()
    plan = TrafficPlan(
        urls=stack.addresses.ingresses, sdkappids=SDKAPPIDS, rate=rate, seconds=seconds
    )
    log(f"sending {rate:g} callbacks/s for {seconds:g} s, to both replicas in turn")
    killing = asyncio.create_task(
        kill_each_part(stack, seconds, log) if faults else asyncio.sleep(0)
    )
    with stack.ledger_path.open("wb") as file:
        traffic = await simulate(plan, file, on_answer)
    log(f"{traffic.took_s:4.1f} s  the last callback is answered or given up")
    await killing
    check_cancellation()
    log("all parts are up; auditing Kafka, the archive, PostgreSQL and the counts")
    return DemoResult(traffic, await _audit(stack))


async def _audit(stack: Stack) -> Report:
    async def ends() -> SpoolEnds:
        return await read_ends(stack.addresses.admins, None)

    await stack.ready()
    return await audit(
        ends,
        Sources(
            kafka=KafkaAccess(bootstrap_servers=stack.addresses.kafka),
            archive=stack.addresses.archive,
            postgres=stack.addresses.postgres,
            stats=stack.addresses.stats,
        ),
        ledger=list(ledger.read(stack.ledger_path)),
        wait_s=AUDIT_TIMEOUT_S,
        progress=lambda _: None,
    )
