"""Measure the state of all parts once or again and again, print it, and return the exit code."""

import asyncio
from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType

from ops.status.ingress_tables import ReportTable
from ops.status.measure import Measurement, Parts, measuring
from ops.status.report import Report
from ops.status.screen import screen
from ops.terminal import echo_json, reader_may_leave, refreshed, show, text_line
from schemas.clients import check_cancellation

INTERVAL_S = 2.0


async def print_state(
    parts: Parts, *, watch: bool, as_json: bool, tables: Sequence[ReportTable]
) -> int:
    """
    Print the state of `parts`, with `watch` until cancelled; return the exit code.

    `tables` are printed below the screen; JSON has their content always.
    """
    async with measuring(parts) as measurement:
        if watch:
            with reader_may_leave():
                await _watch(measurement, as_json=as_json, tables=tables)
        report = await measurement.report()
    with reader_may_leave():
        _print(report, as_json=as_json, tables=tables)
    return report.exit_code


async def _watch(measurement: Measurement, *, as_json: bool, tables: Sequence[ReportTable]) -> None:
    """Show the state until cancelled, or until its reader has closed the pipe."""
    if as_json:
        while True:
            check_cancellation()
            _print(await measurement.report(), as_json=True, tables=())
            await asyncio.sleep(INTERVAL_S)
    with refreshed() as update:
        while True:
            check_cancellation()
            report = await measurement.report()
            update(*(_with_tables(report, tables, is_short=one) for one in (False, True)))
            await asyncio.sleep(INTERVAL_S)


def _print(report: Report, *, as_json: bool, tables: Sequence[ReportTable]) -> None:
    if as_json:
        echo_json(msgspec.json.encode(report))
    else:
        show(_with_tables(report, tables))


def _with_tables(
    report: Report, tables: Sequence[ReportTable], *, is_short: bool = False
) -> RenderableType:
    parts = [screen(report, is_short=is_short)]
    for table in tables:
        parts += [text_line(""), table(report)]
    return Group(*parts)
