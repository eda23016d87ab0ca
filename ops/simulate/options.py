"""The options of `hookline simulate`, in groups: where to, signed how, how fast, and what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ops.simulate.delivery import ANSWER_TIMEOUT_S

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def is_on_command_line(name: str) -> bool:
    """Return whether the option of this parameter is on the command line of the present command."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _all(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


target_options = _all(
    click.option(
        "--url",
        "urls",
        required=True,
        multiple=True,
        envvar="OPS_URL",
        show_envvar=True,
        help="The callback URL, as in the vendor's console. Repeat it for several replicas:"
        " callbacks go to them in turn, and a callback whose first try fails is sent to the next"
        " replica, as the gateway of docker compose does.",
    ),
    click.option(
        "--sdkappid",
        "sdkappids",
        multiple=True,
        envvar="OPS_SDKAPPID",
        show_envvar=True,
        help="SdkAppid of an app, or several, separated by commas. May be repeated. With --replay:"
        " the app of lines that are bodies; on the command line it also replaces the recorded app.",
    ),
)
signing_options = _all(
    click.option(
        "--token",
        envvar="OPS_TOKEN",
        show_envvar=True,
        help="Sign every request with this token, as the vendor does if it is set in its console."
        " Other users of this machine see a command line; set OPS_TOKEN instead.",
    ),
    click.option(
        "--tokens-file",
        type=FILE,
        envvar="OPS_TOKENS_FILE",
        show_envvar=True,
        help="Sign with the first token of each app in this tokens file of the ingress"
        " (INGRESS_TOKENS_FILE); the requests of an app without tokens are not signed.",
    ),
)
rate_options = _all(
    click.option("--rate", default=100.0, show_default=True, help="Callbacks a second."),
    click.option("--seconds", type=float, help="Stop after this many seconds."),
    click.option("--count", type=click.IntRange(min=1), help="Stop after this many callbacks."),
    click.option(
        "--connections",
        default=64,
        show_default=True,
        help="Maximum number of requests at the same time. Callbacks that are due while all wait"
        " for an answer are sent late.",
    ),
    click.option(
        "--timeout",
        "answer_timeout_s",
        default=ANSWER_TIMEOUT_S,
        show_default=True,
        help="Seconds to wait for an answer. The vendor waits 2 s, whatever is configured; a longer"
        " time tests a slow machine.",
    ),
)
mode_options = _all(
    click.option("--users", default=500, show_default=True, help="Number of simulated users."),
    click.option(
        "--seed",
        default=1,
        show_default=True,
        help="Seed of the random traffic, and of --order random.",
    ),
    click.option(
        "--replay",
        type=FILE,
        help="Send the callbacks of this file in place of made-up ones. Each line is the body of a"
        " callback, or a record as `hookline archive cat` prints it. The file is checked before"
        " anything is sent. Where a callback is stored already, it is a repeat, counted once.",
    ),
    click.option(
        "--order",
        type=click.Choice(("file", "time", "random")),
        help="Order of the recorded callbacks: as in the file (the default), by the time of receipt"
        " (of a body: its EventTime or MsgTime), or shuffled.",
    ),
    click.option(
        "--speed",
        type=float,
        help="Send at the recorded times in place of --rate: 1 as fast as recorded, 10 ten times as"
        " fast.",
    ),
)
ledger_option = click.option(
    "--ledger",
    "ledger_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append each callback and its answer to this file, for `hookline audit`, which takes the"
    " ledgers of several runs.",
)
