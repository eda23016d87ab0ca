"""The result of an audit as people read it: a table, remarks below it, and the verdict."""

from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType

from ops.audit.ledger_report import LedgerReport
from ops.audit.origin_faults import TITLES, origin_faults
from ops.audit.report import (
    COUNTS,
    INGRESS_DEAD_LETTERS,
    LISTED_MAX,
    POSTGRES,
    OriginReport,
    Report,
)
from ops.audit.statistic_report import DayReport, DaysReport, StatisticReport
from ops.audit.webhook_report import WebhookReport, title
from ops.nouns import counted
from ops.terminal import fault_count, new_table, text_line

# The ledger is compared with the rows in PostgreSQL, one for each `ce_id`, not with the receipts.
LEDGER_TITLES = TITLES | {POSTGRES: "rows in PostgreSQL"}
# The options that name the sinks which need not be audited.
OPTIONS = {POSTGRES: "--postgres", COUNTS: "--stats"}


def render(audited: Report) -> RenderableType:
    """Return the result, a line for each origin."""
    return Group(_table(audited), *remarks(audited), verdict(audited))


def _table(audited: Report) -> RenderableType:
    # An audit of all sinks fits into 80 columns; larger numbers continue on the next line.
    table = new_table("Audit", padding=0)
    table.add_column("origin", no_wrap=True)
    # A webhook's name is its title.
    names = [name for name in TITLES if audited.sequences_in(name) is not None]
    names += map(title, audited.webhooks)
    for head in ("stored", *(TITLES.get(name, name) for name in names), "missing", "doubled"):
        words = head.split()
        width = max(map(len, words))
        table.add_column("\n".join(words), justify="right", min_width=width, overflow="fold")
    for origin in audited.origins:
        if _has_nothing(audited, origin):
            continue
        table.add_row(
            origin.origin,
            "unknown" if origin.stored is None else str(origin.stored),
            *(str(origin.sinks[name].sequences) for name in names),
            fault_count(origin.missing),
            fault_count(origin.doubled),
        )
    if audited.since is not None:
        table.caption = f"since {audited.since}; counts: not audited with --since"
    return table


def _has_nothing(audited: Report, origin: OriginReport) -> bool:
    """Return whether an origin has stored nothing since the time, and no doubt is about it."""
    if audited.since is None or origin.stored or origin.origin in audited.doubts:
        return False
    return not any(sink.sequences for sink in origin.sinks.values())


def remarks(audited: Report) -> list[RenderableType]:
    """Return the findings that the table has no columns for, a line each."""
    lines = [line for origin in audited.origins for line in origin_faults(origin)]
    if nothing := sum(_has_nothing(audited, origin) for origin in audited.origins):
        lines.append(f"{nothing} origins have stored no callback since {audited.since}")
    lines += (
        f"{origin}: {counted(len(sequences), 'row')} in quarantine, damaged or refused by Kafka;"
        f" show with hookline spool show: {', '.join(map(str, sequences[:LISTED_MAX]))}"
        for origin, sequences in audited.quarantined.items()
    )
    lines += map(str, audited.different_listed)
    lines += (f"incomplete: {reason}" for reason in audited.doubts.values())
    if audited.repeats:
        lines.append(f"{counted(audited.repeats, 'repeat')} of callbacks: not a fault")
    if audited.foreign:
        lines.append(f"{counted(audited.foreign, 'record')} not written by an ingress: not a fault")
    for name, delivered in audited.webhooks.items():
        lines += _webhook(title(name), delivered)
    lines += _statistics(audited)
    if audited.days:
        lines += _days(audited.days)
    if audited.ledger:
        lines += _ledger(audited.ledger)
    return [text_line(line) for line in lines]


def _webhook(name: str, report: WebhookReport) -> Iterator[str]:
    lines = counted(report.lines, "request")
    yield f"{name}: {lines} in the log, {report.repeats} of them again: not a fault"
    if report.samples:
        yield f"{name}: {report.samples} samples of hookline webhook test: not a fault"
    if report.without_body:
        yield f"{name}: {report.without_body} lines have no sha256: their bodies are not compared"
    if report.unknown:
        yield (
            f"{name}: {report.unknown} ids in the log that no callback has (remove those of"
            f" hookline webhook test): {', '.join(report.unknown_listed)}"
        )


def _statistics(audited: Report) -> Iterator[str]:
    if audited.statistics:
        shown = ", ".join(f"{count.shown} {name}" for name, count in audited.statistics.items())
        yield f"the API reports {shown}; messages without online-only ones, like typing hints"
    for name, count in audited.statistics.items():
        if count.missing or count.doubled:
            allowed = _bounds(count)
            yield f"mismatch: the API reports {count.shown} {name}, the records allow {allowed}"


def _bounds(count: StatisticReport) -> str:
    return f"{count.least}" + (f" to {count.most}" if count.most > count.least else "")


def _days(days: DaysReport) -> Iterator[str]:
    yield (
        f"statistics: {counted(days.compared, 'day')} of apps compared, each app in its own time"
        f" zone; {days.different} differ"
    )
    for day in days.listed:
        yield from _day(day)
    if days.different > len(days.listed):
        yield f"and {days.different - len(days.listed)} more days"
    for app_days in days.not_judged[:LISTED_MAX]:
        yield (
            f"app {app_days.app}: {app_days.days} days from {app_days.first} to {app_days.last}"
            f" are not judged: {app_days.reason}"
        )
    if (more := len(days.not_judged) - LISTED_MAX) > 0:
        yield f"and {more} more ranges of days that are not judged"


def _day(day: DayReport) -> Iterator[str]:
    for name, count in (("messages", day.messages), ("callbacks", day.callbacks)):
        if count.missing or count.doubled:
            yield (
                f"day {day.day} of app {day.app} ({day.zone}): counted {count.shown} {name},"
                f" in the records {_bounds(count)}"
            )


def _ledger(ledger: LedgerReport) -> Iterator[str]:
    missing = ", ".join(f"{LEDGER_TITLES[name]} {count}" for name, count in ledger.missing.items())
    other = f"{ledger.other_answer} with another answer ({ledger.other_answer_but_stored} of them"
    yield (
        f"ledger: {ledger.ok} answered OK (missing: {missing}), {ledger.changed} changed, {other}"
        f" stored), {ledger.unanswered} unanswered ({ledger.unanswered_but_stored} of them stored)"
    )
    if ledger.listed:
        yield "ledger, missing or changed: " + ", ".join(ledger.listed)


def waited_for(audited: Report) -> str:
    """Return which sinks an audit waits for, and how many callbacks they do not have yet."""
    counts = Counter[str]()
    for origin in audited.origins:
        counts.update({name: sink.missing for name, sink in origin.sinks.items() if sink.missing})
    if not counts:
        return f"{audited.missing_at_least} callbacks that the statistics or the ledger lack"
    sinks = ", ".join(f"{TITLES.get(name, name)} {count}" for name, count in counts.items())
    return f"callbacks on their way: {sinks}"


def verdict(audited: Report) -> RenderableType:
    """Return the last line, which begins with the kind of result, see docs/audit.md."""
    names = ", ".join(
        title
        for name, title in TITLES.items()
        if name != INGRESS_DEAD_LETTERS and audited.sequences_in(name) is not None
    )
    options = OPTIONS | ({COUNTS: "not with --since"} if audited.since else {})
    left_out = ", ".join(f"{TITLES[sink]} ({options[sink]})" for sink in audited.not_audited)
    not_audited_text = f"; not audited: {left_out}" if left_out else ""
    since_text = f" that was stored since {audited.since}" if audited.since else ""
    if audited.proven and not any(origin.stored for origin in audited.origins):
        nothing = f"nothing to prove: no callback was stored{since_text and ' in that time'}"
        return text_line(f"{nothing}{not_audited_text}", style="yellow")
    if audited.proven:
        excepted = ["expired"] * audited.has_expired + ["been dropped"] * bool(audited.dropped)
        except_text = (
            f"{' and' * bool(since_text)} that has not {' or '.join(excepted)}" if excepted else ""
        )
        line = f"proven: every callback{since_text}{except_text} is exactly once in {names}"
        if audited.webhooks:
            targets = ", ".join(map(title, audited.webhooks))
            line += f"; every callback for {targets} came there at least once"
        line += not_audited_text
        return text_line(line, style="bold green")
    doubted = len(audited.names_in_doubt)
    unknown = f"origins, spools, addresses or webhooks in doubt: {doubted}" if doubted else ""
    counts = {
        "missing": audited.missing_at_least,
        "changed": audited.changed,
        "doubled": audited.doubled_at_least,
        "different under one id or sequence": audited.different,
        "delivered with an unknown id": audited.unknown_deliveries,
        "only in the dead-letter topic": audited.dead_lettered,
    }
    found = [f"{count} {fault}" for fault, count in counts.items() if count]
    if days := audited.different_days:
        found.append(f"{counted(days, 'day')} with other counts than the records")
    if found:
        kind = "faults" if audited.has_faults else "dead letters"
        unknown_text = f"; {unknown}" if unknown else ""
        line = f"{kind}: {', '.join(found)}"
    else:
        line, unknown_text = "incomplete: no fault was found", f"; {unknown}"
    since_text = f"; only callbacks since {audited.since}" if audited.since else ""
    return text_line(f"{line}{unknown_text}{since_text}{not_audited_text}", style="bold red")
