"""The report and the screen of `hookline status`, of made-up answers."""

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from support.kafka.access import plaintext
from support.pipeline_states import ZONE

from consumers.stats.health import Timeline, find, health
from consumers.stats.process_statuses import ProcessStatuses
from ops.status.build import build
from ops.status.report import Report, StoreReport
from ops.status.screen import screen


def report_of(what: ProcessStatuses, stores: Sequence[StoreReport] = ()) -> Report:
    """Return the report of these answers, each from an address of its own."""
    timeline, findings = Timeline(), find(what)
    for finding in findings:
        timeline.note(finding, what.now)
    ports = {name: range(8084, 8084 + len(each)) for name, each in what.consumers.items()}
    addressed = replace(
        what,
        ingress_addresses=[f"http://10.0.0.{n}:8081" for n, _ in enumerate(what.ingress or ())],
        consumer_addresses={
            name: [f"http://{name}:{port}" for port in each] for name, each in ports.items()
        },
    )
    return build(health(findings, timeline, what.now, ZONE), addressed, stores, plaintext(""))


def shown(report: Report, *, is_short: bool = False, width: int = 80) -> list[str]:
    """Return the lines of the screen."""
    written = io.StringIO()
    Console(file=written, width=width).print(screen(report, is_short=is_short))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def flat(lines: Sequence[str]) -> str:
    """Return the lines as one, without their indentation."""
    return " ".join(" ".join(lines).split())
