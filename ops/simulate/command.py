"""`hookline simulate`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from ops.simulate import sender
from ops.simulate.output import traffic_table
from ops.simulate.result import TrafficResult
from ops.terminal import bounded, json_option, print_json, progress, run, show


@click.command()
@click.option(
    "--url",
    "urls",
    required=True,
    multiple=True,
    envvar="OPS_URL",
    show_envvar=True,
    help="The callback URL, as in the vendor's console. Repeat it for several replicas: callbacks"
    " go to them in turn, and a callback whose first try fails is sent to the next replica, as the"
    " gateway of docker compose does.",
)
@click.option(
    "--sdkappid",
    "sdkappids",
    required=True,
    multiple=True,
    envvar="OPS_SDKAPPID",
    show_envvar=True,
    help="SdkAppid of an app, or several, separated by commas. May be repeated.",
)
@click.option("--rate", default=100.0, show_default=True, help="Callbacks a second.")
@click.option("--seconds", type=float, help="Stop after this many seconds.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many callbacks.")
@click.option(
    "--connections",
    default=64,
    show_default=True,
    help="Maximum number of requests at the same time.",
)
@click.option("--users", default=500, show_default=True, help="Number of simulated users.")
@click.option("--seed", default=1, show_default=True, help="Seed of the random traffic.")
@click.option(
    "--ledger",
    "ledger_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append each callback and its answer to this file, for `hookline audit`.",
)
@json_option
def simulate(
    *,
    urls: tuple[str, ...],
    sdkappids: tuple[str, ...],
    rate: float,
    seconds: float | None,
    count: int | None,
    connections: int,
    users: int,
    seed: int,
    ledger_path: Path | None,
    as_json: bool,
) -> None:
    """
    Send made-up callbacks at a rate, as the vendor does: each waits 2 s for its answer.

    Runs for 10 s if neither --seconds nor --count is given. A callback is sent once. With several
    --url it is sent a second time, to another URL, if the first one refuses or closes the
    connection, does not answer within 0.9 s, or answers 503. Then both replicas may have stored it:
    it is a repeat, with one ce_id.
    """
    bounded("--seconds", 0.0 if seconds is None else seconds, 0, 24 * 3600)
    if seconds is None and count is None:
        seconds = 10.0
    plan = sender.TrafficPlan(
        urls=urls,
        sdkappids=tuple(app for apps in sdkappids for app in apps.split(",")),
        rate=rate,
        seconds=float("inf") if seconds is None else seconds,
        count=count,
        connections=connections,
        users=users,
        seed=seed,
    )
    _check(plan)
    expected = min(round(plan.seconds * rate) if seconds else 1 << 62, count or 1 << 62)
    with _opened(ledger_path) as file, progress("callbacks", expected) as advance:
        result = run(sender.simulate(plan, file, lambda _: advance()))
    _print(result, as_json=as_json)


def _print(result: TrafficResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.as_dict())
    else:
        show(traffic_table(result))


@contextlib.contextmanager
def _opened(ledger_path: Path | None) -> Iterator[BinaryIO | None]:
    if ledger_path is None:
        yield None
        return
    try:
        file = ledger_path.open("ab")
    except OSError as error:
        raise click.FileError(str(ledger_path), error.strerror) from error
    with file:
        yield file


def _check(plan: sender.TrafficPlan) -> None:
    """
    Return if the other options are within their bounds.

    Raises:
        BadParameter: one is not; the text names the option and its bounds.
    """
    bounded("--rate", plan.rate, 0.1, 100_000)
    bounded("--connections", plan.connections, 1, 10_000)
    bounded("--users", plan.users, 2, 10_000_000)
    if not all(url.startswith(("http://", "https://")) for url in plan.urls):
        raise click.BadParameter("must begin with http:// or https://", param_hint="--url")
