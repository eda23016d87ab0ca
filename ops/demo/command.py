"""`hookline demo`."""

import asyncio
import contextlib
import sys
from dataclasses import asdict

import click
from rich.console import Console

from ops.demo import demo as demonstration
from ops.demo import stack
from ops.demo.output import address_lines, demo_table, remaining_files
from ops.terminal import bounded, err, json_option, print_json, progress, run, say


@click.command()
@click.option("--seconds", default=20.0, show_default=True, help="How long traffic runs.")
@click.option("--rate", default=300.0, show_default=True, help="Callbacks a second.")
@click.option("--faults/--no-faults", default=True, help="Kill every part on the way.")
@click.option("--keep", is_flag=True, help="Keep the services running until Ctrl-C.")
@json_option
def demo(*, seconds: float, rate: float, faults: bool, keep: bool, as_json: bool) -> None:
    """
    Run the whole pipeline here, kill parts of it, and prove that nothing is lost.

    Needs no Docker: Kafka (downloaded once, 45 MB), PostgreSQL and Valkey run as child processes.
    Exits with 0 if every callback that was answered OK is in Kafka, in the archive, in PostgreSQL
    and in the counts exactly once, else with 1.

    With --json, stdout carries two lines: the addresses when all is ready, the result at the end of
    the traffic.
    """
    bounded("--seconds", seconds, 0, 24 * 3600)
    bounded("--rate", rate, 0.1, 100_000)
    proven = run(_demo(seconds=seconds, rate=rate, faults=faults, keep=keep, as_json=as_json))
    sys.exit(0 if proven else 1)


async def _demo(*, seconds: float, rate: float, faults: bool, keep: bool, as_json: bool) -> bool:
    async with stack.running_stack(say) as running:
        if as_json:
            print_json(asdict(running.addresses))
        else:
            err.print(address_lines(running.addresses), soft_wrap=True)
        with progress("callbacks", round(seconds * rate)) as advance:
            result = await demonstration.run_traffic(
                running,
                rate=rate,
                seconds=seconds,
                faults=faults,
                say=say,
                on_answer=lambda _: advance(),
            )
        if as_json:
            print_json(result.as_dict())
        else:
            Console().print(demo_table(result))
            err.print(remaining_files(running.directory), soft_wrap=True)
        if keep:
            err.print("The services stay until Ctrl-C.")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return result.proven
