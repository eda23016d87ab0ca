"""
The end of every known origin: N, the last sequence that its spool has given. Does no I/O.

The sequences of an origin are 1 to N, so N is also the number of callbacks that the spool stored
under this origin.

A running ingress knows the end of the spool that it holds, of the spool that another process left
and that it drains now, and of those that it has drained. For an end that is not known, the reason
is kept: without all ends, nothing may be proven.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from ops.audit.since import Since
from schemas.ingress_status import SpoolSummary
from schemas.url_text import public_url


class ReportedSpools(msgspec.Struct, frozen=True, kw_only=True):
    """
    The part of an ingress's `/status` that an audit needs.

    `instance` identifies the process, `origin` is that of the spool that the process holds.
    """

    instance: str
    origin: str
    last_sequence: int
    spools: tuple[SpoolSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEnds:
    """
    The ends according to all answers.

    `by_spool`: by spool's name, N of each origin that the spool had; a spool that is restored from
    an older copy gets another origin. `unknown`: by spool's name, why its end is not known and what
    to do. `never_known`: by spool's name, why its end can never be known. `unanswered`: by address,
    why there is no answer, or by name, why there is no address. `answered`: the other addresses.
    `resolved`: the names that have addresses. `quarantined`: by origin, the rows in
    quarantine. `since`: the time since which callbacks are audited, None for all.
    `first_sequences`: by origin, the first sequence since then, where it is known.
    `highest_reported`: by origin, the highest end that any answer reports. N is the end that the
    process reports whose own spool it is, and may be lower; without one, it is this highest end.
    """

    by_spool: dict[str, dict[str, int]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    never_known: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    resolved: frozenset[str] = frozenset()
    quarantined: dict[str, tuple[int, ...]] = field(default_factory=dict)
    since: Since | None = None
    first_sequences: dict[str, int] = field(default_factory=dict)
    highest_reported: dict[str, int] = field(default_factory=dict)

    def first_sequence(self, origin: str) -> int | None:
        """Return the first sequence of an origin that is audited, None if it is not known."""
        return 1 if self.since is None else self.first_sequences.get(origin)

    @property
    def last_sequences(self) -> dict[str, int | None]:
        """
        N by origin. A spool whose end is not known has an entry of its own: None, by its name.

        A spool is named after its first origin, so the name stands for an origin that may have
        callbacks: nothing is proven without its end.
        """
        last: dict[str, int | None] = dict.fromkeys(self.unknown | self.never_known)
        for origins in self.by_spool.values():
            last |= origins
        return last

    @property
    def doubts(self) -> dict[str, str]:
        """By spool or address, the reasons for which nothing can be proven."""
        return self.unknown | self.never_known | self.unanswered

    def completed_by(self, later: "SpoolEnds") -> "SpoolEnds":
        """
        Return these ends, completed by a `later` answer, without `highest_reported`.

        A known N stays: callbacks after it are not expected yet. A spool whose end is known,
        and an address that has answered, need not be in the later answer. One that has never
        answered stays in doubt, even if its name does not lead to it any more: its ingress may have
        had a directory of its own.
        """
        by_spool = {
            name: later.by_spool.get(name, {}) | self.by_spool.get(name, {})
            for name in {**self.by_spool, **later.by_spool}
        }
        return SpoolEnds(
            by_spool=by_spool,
            unknown={
                name: reason
                for name, reason in (self.unknown | later.unknown).items()
                if name not in by_spool
            },
            never_known=self.never_known | later.never_known,
            unanswered={
                url: reason
                for url, reason in self.unanswered.items()
                if url not in later.answered | later.resolved
            }
            | {url: reason for url, reason in later.unanswered.items() if url not in self.answered},
            answered=self.answered | later.answered,
            resolved=self.resolved | later.resolved,
            quarantined=self.quarantined | later.quarantined,
            since=self.since,
            first_sequences=later.first_sequences | self.first_sequences,
        )


def combine(
    statuses: dict[str, ReportedSpools],
    unanswered: dict[str, str],
    directory: Iterable[SpoolSummary] = (),
    since: Since | None = None,
) -> SpoolEnds:
    """Return the ends according to all answers: `statuses` by address, spools of a `directory`."""
    unanswered = unanswered | _without_ends(statuses)
    reported: dict[str, list[SpoolSummary]] = {}
    for spool in (*(spool for status in statuses.values() for spool in status.spools), *directory):
        reported.setdefault(spool.name, []).append(spool)
    owners = _owners(statuses)
    by_spool: dict[str, dict[str, int]] = {}
    unknown: dict[str, str] = {}
    never_known: dict[str, str] = {}
    quarantined: dict[str, tuple[int, ...]] = {}
    first_sequences: dict[str, int] = {}
    for name, spools in reported.items():
        reports = list(owners.get(name, {}).values())
        if reason := _why_never_known(name, spools, [address for address, _ in reports]):
            never_known[name] = reason
            continue
        # The report of its owner counts. Another process may have read the spool earlier.
        for spool in [spool for _, spool in reports] or spools:
            if spool.origin is not None and spool.last_sequence is not None:
                origins = by_spool.setdefault(name, {})
                origins[spool.origin] = max(origins.get(spool.origin, 0), spool.last_sequence)
                listed = {*quarantined.get(spool.origin, ()), *spool.quarantined}
                quarantined[spool.origin] = tuple(sorted(listed))
                if (first := spool.first_sequence_since) is not None:
                    former = first_sequences.get(spool.origin, first)
                    first_sequences[spool.origin] = min(first, former)
        if name not in by_spool:
            unknown[name] = (
                f"spool {name}: nothing that was asked knows its end; name the admin address of"
                " every running ingress (--ingress) and, if no process holds the spool, wait until"
                " one of them drains it (--wait); or stop them all and name the directory (--spool)"
                "; if a warning says that the spool cannot be read now, wait until it can (--wait)"
            )
    return SpoolEnds(
        by_spool=by_spool,
        unknown=unknown,
        never_known=never_known,
        unanswered=unanswered,
        answered=frozenset(statuses.keys() - unanswered.keys()),
        quarantined={origin: listed for origin, listed in quarantined.items() if listed},
        since=since,
        first_sequences=first_sequences,
        highest_reported=_highest_reported(chain.from_iterable(reported.values())),
    )


def _highest_reported(reports: Iterable[SpoolSummary]) -> dict[str, int]:
    """Return the highest end by origin. It is above N if the holder's file is an older copy."""
    highest: dict[str, int] = {}
    for spool in reports:
        if spool.origin is not None and spool.last_sequence is not None:
            highest[spool.origin] = max(highest.get(spool.origin, 0), spool.last_sequence)
    return highest


def _owners(
    statuses: dict[str, ReportedSpools],
) -> dict[str, dict[str, tuple[str, SpoolSummary]]]:
    """
    Return, by spool's name and by process whose own spool it is, the process's address and report.

    A process also holds the spools that it has adopted; they are not here.
    """
    owners: dict[str, dict[str, tuple[str, SpoolSummary]]] = {}
    for address, status in statuses.items():
        for spool in status.spools:
            if spool.origin == status.origin and spool.last_sequence is not None:
                # By process, not by address: several addresses may lead to one process.
                owners.setdefault(spool.name, {})[status.instance] = (address, spool)
    return owners


def _without_ends(statuses: dict[str, ReportedSpools]) -> dict[str, str]:
    """
    Return by address which ingresses report no end.

    Without an end, the audit would expect no callback and find none missing.
    """
    return {
        address: f"{public_url(address)}: this ingress reports no end, not even that of its own"
        " spool; name an ingress of this release"
        for address, status in statuses.items()
        if all(spool.last_sequence is None for spool in status.spools)
    }


def _why_never_known(name: str, spools: list[SpoolSummary], owners: list[str]) -> str:
    """Return why the end of a spool can never be known and what to do, "" if it may be known."""
    faults = [spool.fault for spool in spools if spool.fault]
    if faults:
        return (
            f"spool {name}: {faults[0]}; keep the file, and count the callbacks in it that Kafka"
            " does not have as lost"
        )
    if len(owners) > 1:
        return (
            f"spool {name}: {' and '.join(owners)} both have a spool of this name as their own, so"
            " one of their directories is a copy; stop the process with the copy"
        )
    return ""
