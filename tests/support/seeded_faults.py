"""
A pipeline in which each origin has one fault at one stage, and what an audit must say of each.

Each origin has CALLBACKS_EACH callbacks. Its fault is one callback that was deleted or doubled on
the way to one place, or none.
"""

import random
from dataclasses import dataclass
from itertools import product

import msgspec
from support.builders import a_body, a_callback

from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, SinkReport
from ops.audit.webhook_report import title
from schemas.outgoing_record import OutgoingRecord, main_topic_record, with_place_and_id

CALLBACKS_EACH = 5
TARGET = "crm"
WEBHOOK = title(TARGET)
SINKS = (KAFKA, ARCHIVE, POSTGRES, COUNTS, WEBHOOK)

MISSING, DOUBLED, DEAD = "missing", "doubled", "dead_lettered"
# By kind of fault, what is wrong where.
FAULTS: dict[str, dict[str, str]] = {
    "none": {},
    "lost between spool and Kafka": dict.fromkeys(SINKS, MISSING),
    "sent to Kafka twice": {KAFKA: DOUBLED, ARCHIVE: DOUBLED},
    "lost by Kafka after every sink had it": {KAFKA: MISSING},
    "in both topics": {KAFKA: DOUBLED},
    "twice in the dead-letter topic of the ingress": {KAFKA: DOUBLED},
    "left out by the archive": {ARCHIVE: MISSING},
    "archived twice": {ARCHIVE: DOUBLED},
    "left out by sync": {POSTGRES: MISSING},
    "receipt deleted": {POSTGRES: MISSING},
    "row deleted": {POSTGRES: MISSING},
    "rejected by sync": {POSTGRES: DEAD},
    "left out by the counters": {COUNTS: MISSING},
    "counted twice": {COUNTS: DOUBLED},
    "not delivered to the webhook": {WEBHOOK: MISSING},
}


@dataclass(frozen=True, slots=True)
class Seeded:
    """
    An origin and its fault: what happened to the callback with `sequence`.

    `first_sequence` is the first one of an audit with --since, CALLBACKS_EACH + 1 if there is none.
    """

    origin: str
    kind: str
    sequence: int
    first_sequence: int

    def record(self, sequence: int) -> OutgoingRecord:
        """Return the record of the callback with `sequence`, with its place."""
        body = a_body(MsgKey=f"{self.origin}-{sequence}", From_Account=f"of {self.origin}")
        made = main_topic_record(a_callback(body))
        return msgspec.structs.replace(
            made, headers=with_place_and_id(made.headers, self.origin, sequence)
        )

    def has(self, kind: str, sequence: int) -> bool:
        """Return whether this fault happened to the callback with `sequence`."""
        return kind == self.kind and sequence == self.sequence

    def expected(self, sink: str) -> dict[str, list[int]]:
        """Return the sequences with each fault that an audit must name for a sink."""
        faults: dict[str, list[int]] = {MISSING: [], DOUBLED: [], DEAD: []}
        if fault := FAULTS[self.kind].get(sink):
            faults[fault] = [self.sequence]
        return faults

    def expected_since(self, sink: str) -> dict[str, list[int]]:
        """Return the same for an audit with --since: nothing of a callback before."""
        return {
            fault: [sequence for sequence in sequences if sequence >= self.first_sequence]
            for fault, sequences in self.expected(sink).items()
        }


def every_fault() -> list[Seeded]:
    """Return an origin for each kind of fault, place of the fault, and begin of the audit."""
    sequences = range(1, CALLBACKS_EACH + 1)
    firsts = range(1, CALLBACKS_EACH + 2)
    return [
        Seeded(f"{number:016x}", *each)
        for number, each in enumerate(product(FAULTS, sequences, firsts), 1)
    ]


def seeded(seeds: int) -> list[Seeded]:
    """Return an origin for each seed; every kind of fault is there, if there are enough seeds."""
    kinds = list(FAULTS)
    chance = random.Random(0)  # noqa: S311 - no secret
    return [
        Seeded(
            f"{seed:016x}",
            kinds[seed % len(kinds)],
            chance.randint(1, CALLBACKS_EACH),
            chance.randint(1, CALLBACKS_EACH + 1),
        )
        for seed in range(1, seeds + 1)
    ]


def named(report: SinkReport) -> dict[str, list[int]]:
    """Return the sequences with each fault that an audit names; it must name all of them."""
    faults = {
        MISSING: report.missing_listed,
        DOUBLED: report.doubled_listed,
        DEAD: report.dead_lettered_listed,
    }
    numbers = {MISSING: report.missing, DOUBLED: report.doubled, DEAD: report.dead_lettered}
    assert numbers == {fault: len(listed) for fault, listed in faults.items()}, report
    return faults
