"""`hookline demo`."""

import asyncio
import contextlib
import sys
from dataclasses import asdict

import click

from ops.demo import demo as demonstration
from ops.demo import stack
from ops.demo.output import (
    address_lines,
    archive_line,
    audit_line,
    demo_table,
    export_lines,
    status_line,
)
from ops.options import bounded, json_option
from ops.terminal import print_json, progress, run, say, say_whole, show, warn


@click.command(short_help="Show on this machine that no callback is lost.")
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    help="Seconds for which callbacks are sent. 0, with --keep: send none.",
)
@click.option("--rate", default=300.0, show_default=True, help="Callbacks a second.")
@click.option(
    "--faults/--no-faults",
    default=True,
    help="Kill each part once (SIGKILL) while callbacks are sent.",
)
@click.option("--keep", is_flag=True, help="Keep everything running until Ctrl-C.")
@json_option
def demo(*, seconds: float, rate: float, faults: bool, keep: bool, as_json: bool) -> None:
    """
    Send callbacks to the whole pipeline on this machine, kill each part, and audit every sink.

    Needs no Docker: Kafka (downloaded once, 45 MB, to ~/.cache/hookline), PostgreSQL, Valkey, two
    replicas of the ingress and the other services run as child processes. A callback that one
    replica does not answer is sent to the other, as the gateway of docker compose does.

    A callback whose OK comes after the 2 s for which the vendor waits is not counted as answered
    OK: the vendor would have given it up.

    With --json, stdout has two lines: the addresses as soon as callbacks are taken, and the result.

    \b
    Exit codes:
      0    every callback that was answered OK is in every sink exactly once
      1    the audit did not prove this; the result says why
      2    the demo could not run: a part did not start, or could not be read
      70   the program failed, which is a bug
      130  interrupted before the result
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    bounded("--seconds", seconds, 0, 24 * 3600)
    if not seconds and not keep:
        raise click.UsageError("with --seconds 0 nothing is sent, so nothing is proven; add --keep")
    bounded("--rate", rate, 0.1, 100_000)
    proven = run(_demo(seconds=seconds, rate=rate, faults=faults, keep=keep, as_json=as_json))
    sys.exit(0 if proven else 1)


async def _demo(*, seconds: float, rate: float, faults: bool, keep: bool, as_json: bool) -> bool:
    async with stack.running_stack(say) as running:
        if as_json:
            print_json(asdict(running.addresses))
        else:
            say_whole(address_lines(running.addresses))
            if keep:
                say_whole(export_lines(running.addresses))
        with progress("callbacks", round(seconds * rate)) as advance:
            result = await demonstration.run_traffic(
                running,
                rate=rate,
                seconds=seconds,
                faults=faults,
                log=say,
                on_answer=lambda _: advance(),
            )
        if as_json:
            print_json(result.as_dict())
        else:
            show(demo_table(result))
            say_whole([archive_line(running.addresses)])
        if keep:
            say_whole([audit_line(running.addresses), status_line(running.addresses)])
            warn("Everything keeps running until Ctrl-C.")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return result.proven
