"""
Find out what is wrong with a stage of the pipeline. No I/O.

A process that does not answer says nothing: none of its former numbers is used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from consumers.runtime.status import Fault
from consumers.stats.health_answers import StageName, State, Unit
from consumers.stats.process_statuses import IngressStatus, ProcessStatuses, Replicas
from consumers.stats.sizes import size_text
from schemas.ingress_status import STOPPING
from schemas.printable import printable

# A value of a text: a text, a whole number, or seconds as a float.
Values: TypeAlias = Mapping[str, str | int | float]

# The spool is a warning from this share of its bound on, or if it will be full in this time.
FILLING_PERCENT = 50
FILLING_S = 3600.0
# A replica that is not ready has a full spool from this share of its bound on, else a fault.
FULL_PERCENT = 90
# Of the reason that a process reports, so many characters are shown.
REASON_CHARACTERS_MAX = 500
# A disk with less free space than this is a warning, unless the spool will not use it.
DISK_FREE_BYTES_MIN = 1 << 30


@dataclass(frozen=True, slots=True)
class Amount:
    """The number of a stage, for example 2 `of` 3 replicas. `of` is None for other units."""

    number: int | float
    unit: Unit
    of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    The state of a stage, and the name of the text that describes it (health_words.py).

    `amount` and `since` are None if the processes do not report them. `consumer` is the group that
    a text about a sink names.
    """

    stage: StageName
    state: State
    text: str
    values: Values = field(default_factory=dict)
    amount: Amount | None = None
    since: datetime | None = None
    consumer: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A finding, if `when` is true."""

    when: object
    state: State
    text: str
    values: Values = field(default_factory=dict)
    since: datetime | None = None


def first_true(stage: StageName, cases: Iterable[Case], amount: Amount | None) -> Finding:
    """Return the finding of the first case that is true; one has to be."""
    case = next(case for case in cases if case.when)
    return Finding(
        stage=stage,
        state=case.state,
        text=case.text,
        values=case.values,
        amount=amount,
        since=case.since,
    )


def receiving(measured: ProcessStatuses) -> Finding:
    """Return whether replicas are ready for callbacks; the number is that of those that are."""
    replicas = Replicas.of(measured.ingress or ())
    reasons = [reason for status in replicas.statuses if (reason := _unready(status))]
    ready = len(replicas.statuses) - len(reasons)
    some = {"affected": len(reasons), "all": replicas.count}
    silent = {"affected": len(replicas.unanswered), "all": replicas.count}
    open_apps = {app for status in replicas.statuses for app in status.apps_not_in_tokens_file}
    cases = (
        Case(measured.ingress is None, "unknown", "ingress_not_watched"),
        Case(not replicas.statuses, "wrong", "receiving_silent", since=replicas.silent_since),
        Case(not ready and "full" in reasons, "wrong", "receiving_full"),
        Case(not ready and {*reasons} == {"stops"}, "wrong", "receiving_stopping"),
        Case(not ready, "wrong", "receiving_disk_fails"),
        Case(reasons, "warning", "receiving_some_unready", some),
        Case(
            replicas.unanswered,
            "warning",
            "receiving_some_silent",
            silent,
            since=replicas.silent_since,
        ),
        Case(
            any(status.tokens_fault for status in replicas.statuses),
            "warning",
            "receiving_secrets",
        ),
        Case(open_apps, "warning", "receiving_unsigned", {"affected": len(open_apps)}),
        Case(True, "ok", "receiving_ok"),  # noqa: FBT003 - always
    )
    amount = Amount(ready, "replicas", of=replicas.count) if replicas.count else None
    return first_true("receiving", cases, amount)


def on_disk(measured: ProcessStatuses) -> Finding:
    """Return whether the spools have room; the number is that of callbacks that wait there."""
    replicas = Replicas.of(measured.ingress or ())
    faults = {_unready(status) for status in replicas.statuses} - {None, "stops"}
    used = {"percent": used_percent(replicas.statuses)}
    room_s = full_in_s(replicas.statuses)
    # Replicas share a directory, but only those that have read a spool know what is wrong with it.
    damaged = len(
        {
            spool.name
            for status in replicas.statuses
            for spool in status.spools
            if spool.fault or spool.quarantined
        }
    )
    silent = {"affected": len(replicas.unanswered), "all": replicas.count}
    cases = (
        Case(measured.ingress is None, "unknown", "ingress_not_watched"),
        Case(not replicas.statuses, "unknown", "disk_unknown", since=replicas.silent_since),
        Case("full" in faults, "wrong", "disk_full"),
        Case(faults, "wrong", "disk_fails"),
        Case(
            room_s is not None and room_s < FILLING_S,
            "warning",
            "disk_filling_fast",
            used | {"room": room_s or 0.0},
        ),
        Case(used["percent"] >= FILLING_PERCENT, "warning", "disk_filling", used),
        *_short_disks(replicas.statuses),
        Case(damaged, "warning", "disk_damaged", {"affected": damaged}),
        Case(
            any(status.oldest_waiting_s is None for status in replicas.statuses),
            "warning",
            "disk_row",
        ),
        Case(
            replicas.unanswered,
            "warning",
            "disk_partly_unknown",
            silent,
            since=replicas.silent_since,
        ),
        Case(True, "ok", "disk_ok"),  # noqa: FBT003 - always
    )
    waiting = Amount(waiting_rows(replicas.statuses), "callbacks")
    return first_true("on_disk", cases, waiting if replicas.statuses else None)


def waiting_rows(statuses: Sequence[IngressStatus]) -> int:
    """
    Return how many rows in the spools of the replicas and in those without a process wait.

    Rows that Kafka has stay in a file until their block is removed: they do not count in the spool
    of a replica. Spools that no replica knows are missing.
    """
    held = {status.origin for status in statuses}
    others: dict[str, int] = {}
    for spool in (spool for status in statuses for spool in status.spools):
        # A replica that has not read the spool does not know its rows; another one may.
        if spool.origin not in held and spool.rows is not None:
            others[spool.name] = max(others.get(spool.name, 0), spool.rows)
    return sum(map(_waiting_in_own, statuses)) + sum(others.values())


def _waiting_in_own(status: IngressStatus) -> int:
    if status.last_sequence is None or status.forwarded_sequence is None:
        return status.spool_rows
    return max(0, status.last_sequence - status.forwarded_sequence)


def _short_disks(statuses: Iterable[IngressStatus]) -> Iterator[Case]:
    """Yield the case of disks that may be full before their spool is at its bound."""
    short = [
        one.spool_disk_free_bytes
        for one in statuses
        if one.spool_disk_free_bytes is not None
        and one.spool_disk_free_bytes
        < min(DISK_FREE_BYTES_MIN, one.spool_bytes_max - one.spool_bytes)
    ]
    if short:
        yield Case(short, "warning", "disk_short", {"free": size_text(min(short))})


def seconds(age_s: float | None) -> Amount | None:
    """Return an age as the number of a stage, None if it is not known."""
    return None if age_s is None else Amount(round(age_s, 1), "seconds")


def faulty_since(now: datetime, faults: Iterable[Fault | None]) -> datetime | None:
    """Return since when the fault has lasted that has lasted longest, None if there is none."""
    ages = [fault.for_s for fault in faults if fault]
    return now - timedelta(seconds=max(ages)) if ages else None


def first_reason(reasons: Iterable[str]) -> Values:
    """Return the first of the reasons that processes report, as the value of a text."""
    reason = next((reason for reason in reasons if reason), "not known")
    return {"reason": printable(reason, REASON_CHARACTERS_MAX).rstrip(".")}


def _unready(status: IngressStatus) -> Literal["stops", "full", "fails"] | None:
    """Return why a replica is not ready for callbacks, None if it is."""
    if not status.unready_because:
        return None
    if status.unready_because == STOPPING:
        return "stops"
    return "full" if used_percent([status]) >= FULL_PERCENT else "fails"


def used_percent(statuses: Iterable[IngressStatus]) -> int:
    """Return how full the fullest spool is."""
    return max(
        (100 * status.spool_bytes // max(1, status.spool_bytes_max) for status in statuses),
        default=0,
    )


def full_in_s(statuses: Iterable[IngressStatus]) -> float | None:
    """Return when the first spool is full, None while none grows."""
    return min(
        (status.spool_full_in_s for status in statuses if status.spool_full_in_s is not None),
        default=None,
    )
