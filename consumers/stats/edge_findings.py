"""Find out what is wrong with the gateway, the dead letters and the statistics API. No I/O."""

from consumers.stats.dead_letter_counts import COUNTED_OFFSETS_MAX, DeadLetters
from consumers.stats.findings import Amount, Case, Finding, Values, first_reason, first_true
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess

# Causes of dead letters that a text names.
CAUSES_NAMED = 4


def edges_before(measured: ProcessStatuses) -> list[Finding]:
    """Return the state of the gateway, if it is watched."""
    gateway = measured.gateway
    if gateway is None:
        return []
    if isinstance(gateway, SilentProcess):
        cases = [Case(gateway, "wrong", "gateway_silent", since=gateway.since)]
    else:
        cases = [
            Case(not gateway.is_ready, "wrong", "gateway_unready"),
            Case(gateway.is_ready, "ok", "gateway_ok"),
        ]
    return [first_true("gateway", cases, None)]


def edges_after(measured: ProcessStatuses) -> list[Finding]:
    """Return the state of the dead letters and of the statistics API, if they are watched."""
    found = []
    if measured.kafka is not None:
        facts = measured.kafka
        counted = facts.because if isinstance(facts, SilentProcess) else facts.dead_letters
        found.append(dead_letters(counted, measured))
    statistics = measured.statistics
    if isinstance(statistics, SilentProcess):
        cases = [Case(statistics, "warning", "statistics_silent", since=statistics.since)]
        found.append(first_true("statistics", cases, None))
    elif statistics is not None:
        cases = [
            Case(not statistics.is_ready, "warning", "statistics_unready"),
            Case(statistics.is_ready, "ok", "statistics_ok"),
        ]
        found.append(first_true("statistics", cases, None))
    return found


def dead_letters(counted: DeadLetters | str, measured: ProcessStatuses) -> Finding:
    """Return whether dead letters wait for a person; a text is why they could not be counted."""
    if isinstance(counted, str):
        return Finding(
            stage="dead_letters",
            state="unknown",
            text="dead_letters_unknown",
            values=first_reason([counted]),
        )
    some: Values = {"total": _total(counted), "causes": causes(counted)}
    if counted.recent is None:
        wait = Case(counted.total, "warning", "dead_letters_wait_partly_read", some)
    else:
        age_s = max(0.0, (measured.now - (counted.newest_at or measured.now)).total_seconds())
        values = {**some, "affected": counted.recent, "age": age_s}
        wait = Case(counted.total, "warning", "dead_letters_wait", values)
    cases = (
        wait,
        Case(not counted.has_newest, "unknown", "dead_letters_partly_read"),
        Case(counted.is_complete, "ok", "dead_letters_ok"),
        # Not unknown: older offsets are never read, so no action of a person could end that state.
        Case(
            True,  # noqa: FBT003 - always
            "ok",
            "dead_letters_newest_ok",
            {"offsets": f"{COUNTED_OFFSETS_MAX:,}"},
        ),
    )
    amount = Amount(counted.total, "records") if counted.is_complete else None
    return first_true("dead_letters", cases, amount)


def causes(counted: DeadLetters) -> str:
    """Return what sent how many dead letters, and the exception, such as `sync 3 (DataError)`."""
    named = list(counted.counts.items())[:CAUSES_NAMED]
    texts = [f"{cause.component} {count} ({cause.reason})" for cause, count in named]
    return ", ".join(texts) + (", …" if len(counted.counts) > CAUSES_NAMED else "")


def _total(counted: DeadLetters) -> str:
    return str(counted.total) if counted.is_complete else f"≥{counted.total}"
