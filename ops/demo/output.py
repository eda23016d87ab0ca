"""The lines and the table that `hookline demo` prints."""

import sys
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from ops.audit.output import TITLES, remarks, verdict
from ops.audit.report import DEAD_LETTERS
from ops.demo.demo import DemoResult
from ops.demo.stack import Addresses
from ops.simulate.output import latencies
from ops.terminal import fault_count, new_table


def address_lines(addresses: Addresses) -> RenderableType:
    """Show where everything is."""
    named = (
        ("callback URL", f"{addresses.ingress}?SdkAppid={addresses.sdkappid}"),
        ("ingress", f"{addresses.admin}/status"),
        ("Kafka", addresses.kafka),
        ("archive", addresses.archive),
        ("PostgreSQL", addresses.postgres),
        ("statistics", f"{addresses.stats}/v1/totals"),
        ("spool", addresses.spool),
        ("logs", addresses.logs),
    )
    return Text("\n".join(f"  {name:<13} {value}" for name, value in named))


def remaining_files(directory: Path) -> str:
    """Name the command that reads the demo's archive, and the one that removes its files."""
    return (
        f"Read the archive:  {sys.argv[0]} archive cat --archive {directory}/archive\n"
        f"Remove the demo's files:  rm -r {directory}"
    )


def demo_table(result: DemoResult) -> RenderableType:
    """Show the callbacks sent, the callbacks in every sink, and the audit's verdict."""
    traffic, report = result.traffic, result.report
    table = new_table("Hookline demo")
    columns: dict[str, str | Text] = {
        "sent": str(traffic.sent),
        "answered OK": str(traffic.answers["ok"]),
        **{
            title: str(report.held(place))
            for place, title in TITLES.items()
            if place != DEAD_LETTERS and report.held(place) is not None
        },
        "missing": fault_count(report.missing),
        "doubled": fault_count(report.doubled),
    }
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(*columns.values())
    return Group(table, *remarks(report), latencies(traffic), verdict(report))
