"""Measure the state of all parts once or again and again, print it, and return the exit code."""

import asyncio

import msgspec

from ops.status.measure import Measurement, Parts, measuring
from ops.status.report import Report
from ops.status.screen import screen
from ops.terminal import echo_json, reader_may_leave, refreshed, show
from schemas.clients import check_cancellation

INTERVAL_S = 2.0


async def print_state(parts: Parts, *, watch: bool, as_json: bool) -> int:
    """Print the state of `parts`, with `watch` until cancelled; return the exit code."""
    async with measuring(parts) as measurement:
        if watch:
            with reader_may_leave():
                await _watch(measurement, as_json=as_json)
        report = await measurement.report()
    with reader_may_leave():
        _print(report, as_json=as_json)
    return report.exit_code


async def _watch(measurement: Measurement, *, as_json: bool) -> None:
    """Show the state until cancelled, or until its reader has closed the pipe."""
    if as_json:
        while True:
            check_cancellation()
            _print(await measurement.report(), as_json=True)
            await asyncio.sleep(INTERVAL_S)
    with refreshed() as update:
        while True:
            check_cancellation()
            report = await measurement.report()
            update(screen(report), screen(report, is_short=True))
            await asyncio.sleep(INTERVAL_S)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        echo_json(msgspec.json.encode(report))
    else:
        show(screen(report))
