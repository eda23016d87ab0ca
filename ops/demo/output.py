"""The lines and the table that `hookline demo` prints."""

import math
import shlex
import sys
from pathlib import Path

from rich.console import Group, RenderableType

from ops.audit.origin_faults import TITLES
from ops.audit.output import remarks, verdict
from ops.audit.report import INGRESS_DEAD_LETTERS
from ops.demo.demo import DemoResult
from ops.demo.services import CONSUMERS, SDKAPPIDS, StackAddresses
from ops.simulate.delivery import ANSWER_TIMEOUT_S
from ops.simulate.output import by_reason, late_line, rate
from ops.terminal import fault_count, new_table, text_line

GROUPS = (
    f"A consumer named {', '.join(CONSUMERS[:-1])} or {CONSUMERS[-1]} that you start there joins"
    " the demo's group of this name, and takes partitions from it: give yours another name, or a"
    " pipeline of its own by HOOKLINE_KAFKA_PREFIX (docs/operations.md)."
)


def address_lines(addresses: StackAddresses) -> list[str]:
    """Return the addresses of all parts."""
    names = (
        *(
            ("ingress", f"{url} (apps {', '.join(SDKAPPIDS)}), {admin}/status")
            for url, admin in zip(addresses.ingresses, addresses.admins, strict=True)
        ),
        ("Kafka", addresses.kafka),
        ("archive", addresses.archive),
        ("PostgreSQL", addresses.postgres),
        ("Valkey", addresses.valkey),
        ("consumers", ", ".join(f"{each}/status" for each in addresses.consumers)),
        ("statistics", f"{addresses.stats}/ (a page), {addresses.stats}/v1/totals"),
        ("spool", addresses.spool),
        ("ledger", f"{addresses.ledger} (what was sent, and its answers)"),
        ("logs", addresses.logs),
    )
    return [f"  {name:<11} {value}" for name, value in names]


def variables(addresses: StackAddresses) -> dict[str, str]:
    """Return the variables by which commands, and services, find the parts of the demo."""
    return {
        "HOOKLINE_BOOTSTRAP_SERVERS": addresses.kafka,
        "ARCHIVE_URL": addresses.archive,
        "SYNC_POSTGRES": addresses.postgres,
        "COUNTERS_VALKEY": addresses.valkey,
        "STATS_VALKEY": addresses.valkey,
        "STATS_INGRESS": ",".join(addresses.admins),
        "STATS_CONSUMERS": ",".join(addresses.consumers),
        "OPS_INGRESS": ",".join(addresses.admins),
        "OPS_STATS": addresses.stats,
        # Click separates the values of an option that may be repeated at blanks.
        "OPS_URL": " ".join(addresses.ingresses),
        "OPS_SDKAPPID": ",".join(SDKAPPIDS),
    }


def export_lines(addresses: StackAddresses) -> list[str]:
    """Return the commands that set `variables` in another shell, and what to know about them."""
    return [
        "For commands in another shell:",
        f'  export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"',
        *(f"  export {name}={shlex.quote(value)}" for name, value in variables(addresses).items()),
        GROUPS,
    ]


def archive_line(addresses: StackAddresses) -> str:
    """Return the command that reads the demo's archive."""
    return f"Read the archive:  {_command('archive', 'cat', '--archive', addresses.archive)}"


def audit_line(addresses: StackAddresses) -> str:
    """Return the command that audits the demo once more while it runs."""
    command = _command(
        *("audit", "--kafka", addresses.kafka, "--archive", addresses.archive),
        *("--postgres", addresses.postgres, "--stats", addresses.stats),
        *("--ingress", ",".join(addresses.admins), "--ledger", addresses.ledger),
    )
    return f"Audit it again:  {command}"


def status_line(addresses: StackAddresses) -> str:
    """Return the command that shows the state of all parts while they run."""
    command = _command(
        *("status", "--ingress", ",".join(addresses.admins)),
        *("--consumers", ",".join(addresses.consumers), "--stats", addresses.stats),
        *("--kafka", addresses.kafka, "--valkey", addresses.valkey),
        *("--postgres", addresses.postgres, "--archive", addresses.archive),
    )
    return f"Look at the parts:  {command}"


def _command(*arguments: str) -> str:
    # Absolute: `make -C` runs the demo in another folder than that of the shell.
    return shlex.join([str(Path(sys.argv[0]).absolute()), *arguments])


def demo_table(result: DemoResult) -> RenderableType:
    """Show the callbacks that were sent and those in every sink, and the audit's verdict."""
    traffic, report = result.traffic, result.report
    # Round down, so that 100 % means all.
    percent = math.floor(traffic.in_time_percent * 100) / 100
    table = new_table("Hookline demo")
    columns: dict[str, RenderableType] = {
        "sent": str(traffic.sent),
        "answered OK": f"{traffic.in_time} ({percent:g} %)" if traffic.sent else "0",
        **{
            title: str(report.sequences_in(source))
            for source, title in TITLES.items()
            if source != INGRESS_DEAD_LETTERS and report.sequences_in(source) is not None
        },
        "missing": fault_count(report.missing_at_least),
        "doubled": fault_count(report.doubled_at_least),
    }
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(*columns.values())
    lines = [text_line(line) for line in _answer_lines(result)]
    details = () if report.proven else remarks(report)
    return Group(table, *lines, rate(traffic), *details, verdict(report))


def _answer_lines(result: DemoResult) -> list[str]:
    """Return why callbacks were not answered OK, or were sent or stored twice, and the latency."""
    traffic, report = result.traffic, result.report
    lines = []
    if traffic.not_ok:
        stored = report.ledger.stored_without_ok if report.ledger else 0
        lines.append(f"not answered OK: {by_reason(traffic.not_ok)}; stored nevertheless: {stored}")
    if late := late_line(traffic):
        lines.append(late)
    if traffic.second_tries:
        lines.append(f"retried on the other replica: {by_reason(traffic.second_tries)}")
    if report.repeats:
        lines.append(
            f"stored by both replicas: {report.repeats}; each is one message, counted once"
        )
    if traffic.latencies_ms:
        p50, p99, longest = (traffic.percentile_ms(percent) for percent in (50, 99, 100))
        lines.append(
            f"time to OK: p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {longest:.0f} ms"
            f" (the vendor waits {1000 * ANSWER_TIMEOUT_S:.0f} ms)"
        )
    return lines
