"""The tables of `hookline simulate`."""

from collections import Counter

from rich.console import Group, RenderableType

from ops.simulate.delivery import ANSWER_TIMEOUT_S
from ops.simulate.ledger import Outcome
from ops.simulate.result import PERCENTILES, TrafficResult
from ops.terminal import new_table, text_line


def traffic_table(result: TrafficResult) -> RenderableType:
    """Show the answers and the commands."""
    answers = new_table("Answers")
    for column in ("sent", "OK", "another answer", "unanswered"):
        answers.add_column(column, justify="right")
    answers.add_row(str(result.sent), *(str(result.answers[outcome]) for outcome in Outcome))
    reasons = new_table("By answer")
    reasons.add_column("answer")
    reasons.add_column("number", justify="right")
    reasons.add_column("reason")
    for (answer, reason), number in result.by_reason.most_common():
        reasons.add_row(answer, str(number), reason)
    commands = new_table("By command")
    commands.add_column("command")
    commands.add_column("sent", justify="right")
    for command, sent in result.commands.most_common():
        commands.add_row(command, str(sent))
    return Group(answers, reasons, commands, *tries(result), rate(result), latencies(result))


def rate(result: TrafficResult) -> RenderableType:
    """Show the planned rate and the reached rate, and why callbacks were sent late if they were."""
    planned = "recorded times" if result.planned_rate is None else f"{result.planned_rate:g}/s"
    line = f"rate: {planned} planned, {result.reached_rate:.1f}/s reached"
    if not result.kept_rate:
        line += f"; some were sent up to {result.late_s_max:.1f} s late, because " + (
            f"for {result.waited_s:.1f} s every connection waited for an answer"
            if result.waited_s > 0.1
            else "the simulator got too little CPU"
        )
    if result.unsent:
        line += f"; {result.unsent} of {result.sent + result.unsent} were not sent in the time"
    return text_line(line)


def tries(result: TrafficResult) -> list[RenderableType]:
    """Show why callbacks were sent to a second address, and which the ledger cannot have."""
    lines = []
    if result.second_tries:
        lines.append(f"sent to a second address: {by_reason(result.second_tries)}")
    if result.without_id:
        lines.append(
            f"without an identity of their own, so in no ledger: {result.without_id}; the audit"
            " proves them by their sequences"
        )
    return [text_line(line) for line in lines]


def by_reason(counts: Counter[str]) -> str:
    """Return the total, and the number for each reason."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    return f"{counts.total()} ({reasons})"


def latencies(result: TrafficResult) -> RenderableType:
    """Show percentiles of the time in which callbacks were answered OK."""
    if not result.latencies_ms:
        return text_line("nothing was answered OK")
    percentiles = "  ".join(
        f"p{percent:g} {result.percentile_ms(percent):.1f} ms" for percent in PERCENTILES
    )
    line = f"time to OK, from when each callback was due: {percentiles}"
    return Group(*map(text_line, filter(None, (line, late_line(result)))))


def late_line(result: TrafficResult) -> str:
    """Return how many callbacks were answered OK too late for the vendor, "" if none was."""
    if not result.late:
        return ""
    return (
        f"answered OK too late: {result.late} waited longer than {1000 * ANSWER_TIMEOUT_S:.0f} ms;"
        " the vendor would have given them up"
    )
