"""Check after all runs that every callback is exactly once in every place."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from valkey import Valkey

from bench.ingress.callbacks import APP
from bench.latency.observer import COUNTS, KAFKA, POSTGRES
from bench.latency.system import System
from consumers.counters import layout
from schemas.figures import COMMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """
    What each place has of the callbacks that the ingress stored, which are all different.

    `applied` and `sequence_sum` (modulo 2^52) are the counters' proof; `messages` are rows in
    PostgreSQL, `counted` and `repeats` are the totals of the app.
    """

    origin: str
    stored: int
    kafka: Counter[tuple[str, int]]
    receipts: list[tuple[str, int, int, int]]
    messages: int
    applied: int
    sequence_sum: int
    counted: int
    repeats: int

    def faults(self, answered_ok: int) -> Iterator[str]:
        """Yield a sentence for each place that does not have each callback exactly once."""
        if answered_ok > self.stored:
            yield f"{answered_ok} callbacks were answered OK, {self.stored} are stored"
        wanted = {(self.origin, sequence) for sequence in range(1, self.stored + 1)}
        if missing := len(wanted - set(self.kafka)):
            yield f"{KAFKA}: {missing} of {self.stored} are missing"
        if others := self.kafka.total() - len(wanted & set(self.kafka)):
            yield f"{KAFKA}: {others} records are repeated or unknown"
        # The key of the table is the sequence, so no row is there twice.
        expected = [(self.origin, self.stored, 1, self.stored)]
        if self.receipts != expected:
            yield f"{POSTGRES}: the receipts are {self.receipts}, not {expected}"
        if self.messages != self.stored:
            yield f"{POSTGRES}: {self.messages} messages, not {self.stored}"
        total = self.stored * (self.stored + 1) // 2 % layout.SUM_MODULUS
        if (self.applied, self.sequence_sum) != (self.stored, total):
            yield f"{COUNTS}: {self.applied} of {self.stored} are applied, or others"
        if (self.counted, self.repeats) != (self.stored, 0):
            yield f"{COUNTS}: {self.counted} counted and {self.repeats} repeats, not {self.stored}"


def arrived(system: System, records: Sequence[tuple[str, int]]) -> Arrived:
    """Return what each place has now; `records` are those that were read in Kafka."""
    end = system.spool_end()
    with psycopg.connect(system.postgres) as postgres:
        receipts = postgres.execute(
            "select origin, count(*), min(sequence), max(sequence) from hookline.receipts"
            " group by origin"
        ).fetchall()
        (messages,) = postgres.execute("select count(*) from hookline.messages").fetchone() or (0,)
    with Valkey.from_url(system.valkey, decode_responses=True) as valkey:
        applied, sums, totals = (
            {name: int(value) for name, value in valkey.hgetall(key).items()}
            for key in (layout.applied(1), layout.sequence_sums(1), layout.totals(1, APP))
        )
    return Arrived(
        origin=end.origin,
        stored=end.last_sequence,
        kafka=Counter(records),
        receipts=receipts,
        messages=messages,
        applied=sum(applied.values()),
        sequence_sum=sum(sums.values()) % layout.SUM_MODULUS,
        counted=totals.get(f"{COMMAND}C2C.CallbackAfterSendMsg", 0),
        repeats=totals.get(layout.REPEATS, 0),
    )
