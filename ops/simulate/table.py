"""The tables of `hookline simulate`."""

from rich.console import Group, RenderableType
from rich.text import Text

from ops.show import new_table
from ops.simulate.sender import TrafficResult


def traffic_table(result: TrafficResult) -> RenderableType:
    """Show the answers and the commands."""
    answers = new_table("Answers")
    for column in ("sent", "OK", "refused", "unanswered"):
        answers.add_column(column, justify="right")
    answers.add_row(
        str(result.sent),
        *(str(result.answers[kind]) for kind in ("ok", "refused", "unanswered")),
    )
    commands = new_table("By command")
    commands.add_column("command")
    commands.add_column("sent", justify="right")
    for command, sent in result.commands.most_common():
        commands.add_row(Text(command), str(sent))
    return Group(answers, commands, latencies(result))


def latencies(result: TrafficResult) -> RenderableType:
    """Show in which time the callbacks were answered OK."""
    if not result.latencies_ms:
        return Text("nothing was answered OK")
    percentiles = "  ".join(
        f"p{percent:g} {result.percentile_ms(percent):.1f} ms" for percent in (50, 90, 99, 100)
    )
    return Text(f"time to OK: {percentiles}")
