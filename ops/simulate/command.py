"""`hookline simulate`."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import click

from ops.failure import ExitCode
from ops.options import bounded, json_option
from ops.simulate import sender
from ops.simulate.ledger import Outcome
from ops.simulate.option_checks import check_replay, check_traffic
from ops.simulate.options import (
    is_on_command_line,
    ledger_option,
    mode_options,
    rate_options,
    signing_options,
    target_options,
)
from ops.simulate.output import traffic_table
from ops.simulate.recording import Order, Recording, read_recording
from ops.simulate.remedies import remedies
from ops.simulate.result import TrafficResult
from ops.simulate.signer import Signer, signer_of_file
from ops.terminal import print_json, progress, run, show, waiting, warn

SECONDS_DEFAULT = 10.0
FORMER_TOKENS_FILE = "OPS_SECRETS_FILE"


@click.command(short_help="Send made-up callbacks at a rate, as the vendor does.")
@target_options
@signing_options
@rate_options
@mode_options
@ledger_option
@json_option
def simulate(
    *,
    urls: tuple[str, ...],
    sdkappids: tuple[str, ...],
    token: str | None,
    tokens_file: Path | None,
    rate: float,
    seconds: float | None,
    count: int | None,
    connections: int,
    answer_timeout_s: float,
    users: int,
    seed: int,
    replay: Path | None,
    order: str | None,
    speed: float | None,
    ledger_path: Path | None,
    as_json: bool,
) -> None:
    """
    Send callbacks at a rate, as the vendor does: each waits 2 s (--timeout) for its answer.

    The callbacks are made up, or recorded ones (--replay). Made-up ones are sent for 10 s if
    neither --seconds nor --count is given, recorded ones until the end of the file.

    A callback is sent once. With several --url it is sent a second time, to another URL, if the
    first one refuses or closes the connection, does not answer within 0.9 s, or answers 503. Then
    both replicas may have stored it: it is a repeat, with one ce_id.

    Callbacks are sent when they are due, whether or not those before them are answered. The latency
    counts from that time, so it shows how long a real callback would have waited; if callbacks were
    sent late, the last lines say so and why.

    \b
    Examples:
      hookline simulate --url http://127.0.0.1:8080/ --sdkappid 1400000001 --ledger run.jsonl
      hookline simulate … --rate 500 --seconds 60 --tokens-file deploy/secrets/tokens.toml
      hookline archive cat --since 2026-11-28 > day.jsonl
      hookline simulate --url … --replay day.jsonl --order time --rate 200
      hookline simulate --url … --replay day.jsonl --speed 10

    \b
    Exit codes:
      0    at least one callback was answered OK
      1    no callback was answered OK
      2    the command line, the recording or the tokens file is wrong; nothing was sent
      70   the program failed, which is a bug
      130  interrupted
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    apps = tuple(app.strip() for text in sdkappids for app in text.split(",") if app.strip())
    check_traffic(urls, apps, rate=rate, connections=connections, users=users)
    bounded("--timeout", answer_timeout_s, 0.1, 3600)
    check_replay(replay, order, speed)
    plan = sender.TrafficPlan(
        urls=urls,
        sdkappids=apps,
        rate=rate,
        seconds=_seconds(seconds, count, replay),
        count=count,
        connections=connections,
        users=users,
        seed=seed,
        signer=_signer(token, tokens_file),
        recording=_recording(replay, apps, order, speed=speed, seed=seed) if replay else None,
        speed=speed,
        answer_timeout_s=answer_timeout_s,
    )
    with _opened(ledger_path) as file, progress("callbacks", _expected(plan)) as advance:
        result = run(sender.simulate(plan, file, lambda _: advance()))
    _print(result, as_json=as_json)
    for line in remedies(result, urls):
        warn(line)
    if not result.answers[Outcome.OK]:
        warn("no callback was answered OK")
        sys.exit(ExitCode.FAULT)


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


def _seconds(seconds: float | None, count: int | None, replay: Path | None) -> float:
    """Return after how many seconds to stop, infinity if another option says when."""
    if seconds is not None:
        bounded("--seconds", seconds, 0, 24 * 3600)
        return seconds
    return SECONDS_DEFAULT if count is None and replay is None else math.inf


def _expected(plan: sender.TrafficPlan) -> int | None:
    """Return how many callbacks will be sent, None if it is not known."""
    limits = [plan.count] if plan.count else []
    if plan.recording:
        limits.append(len(plan.recording))
    if math.isfinite(plan.seconds) and not plan.speed:
        limits.append(round(plan.seconds * plan.rate))
    return min(limits, default=None)


def _signer(token: str | None, tokens_file: Path | None) -> Signer:
    if token and tokens_file:
        if is_on_command_line("token") == is_on_command_line("tokens_file"):
            raise click.UsageError("give --token or --tokens-file, not both")
        # The command line counts more than the environment.
        tokens_file = tokens_file if is_on_command_line("tokens_file") else None
    if not (token or tokens_file) and os.environ.get(FORMER_TOKENS_FILE):
        raise click.UsageError(
            f"{FORMER_TOKENS_FILE} is called OPS_TOKENS_FILE now; set that, or nothing is signed"
        )
    return signer_of_file(tokens_file) if tokens_file else Signer(token=token or "")


def _recording(
    file: Path, apps: tuple[str, ...], order: str | None, *, speed: float | None, seed: int
) -> Recording:
    is_given = is_on_command_line("sdkappids")
    if is_given and len(apps) > 1:
        raise click.UsageError("with --replay, give one --sdkappid or none")
    with waiting(f"reading {file}"):
        return read_recording(
            file,
            apps[0] if len(apps) == 1 else "",
            # OPS_SDKAPPID is often set for made-up callbacks; it must not rename recorded apps.
            as_app=is_given,
            order=cast("Order", order or ("time" if speed else "file")),
            needs_times=bool(speed) or order == "time",
            seed=seed,
        )
