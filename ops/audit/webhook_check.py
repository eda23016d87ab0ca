"""
Compare what a webhook's receiver has accepted with the callbacks that are for it. Does no I/O.

A line of the receiver's log that has origin and sequence names one callback. A line with the id
alone may mean any callback with this id: if the sender has repeated a callback, nobody can know
which of them came.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap64

from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.contents import Contents, Difference, Location
from ops.audit.proof import OriginProof
from ops.audit.report import LISTED_MAX, SinkReport
from ops.audit.webhook_log import LoggedDelivery, LogReader
from ops.audit.webhook_report import WebhookReport, title
from ops.audit.webhook_state import TargetState
from ops.webhook import SAMPLE_ORIGIN
from schemas.callback_record import CallbackRecord

Place = tuple[str, int]


@dataclass(slots=True)
class _Origin:
    """The sequences of one origin. `named`: by their place. `by_id`: the first one of an id."""

    named: BitMap64 = field(default_factory=BitMap64)
    by_id: BitMap64 = field(default_factory=BitMap64)
    not_for_it: BitMap64 = field(default_factory=BitMap64)


class WebhookCheck:
    """
    One target. Note its state, then the records that are read later, then the log's new lines.

    So a callback that the state has as delivered is in the log, and one in the log is in Kafka.
    """

    def __init__(
        self,
        name: str,
        callback_filter: CallbackFilter,
        contents: Contents,
        differs: Callable[[Difference], None],
    ) -> None:
        self.title = title(name)
        self._callback_filter = callback_filter
        self._contents = contents
        self._differs = differs
        self._state = TargetState()
        self._origins: defaultdict[str, _Origin] = defaultdict(_Origin)
        # By the first callback with an id, the later ones with the same id.
        self._repeats: defaultdict[Place, list[Place]] = defaultdict(list)
        self._lines = self._repeated = self._samples = self._with_body = self._unknown = 0
        self._unknown_listed: list[str] = []

    def note_state(self, state: TargetState) -> None:
        """Note the state of the target in the retry topic."""
        self._state = state

    def add_callback(
        self, callback: CallbackRecord, partition: int, offset: int, *, in_topic: bool
    ) -> None:
        """Add a callback of the main topic, or one that only the archive has."""
        begin_offset = self._state.begun.get(partition)
        # A target that has not begun will begin with the oldest callback in the topic.
        is_after_begin = in_topic if begin_offset is None else offset >= begin_offset
        if not is_after_begin or not self._callback_filter.has(
            callback.sdkappid.encode(), callback.command.encode()
        ):
            self._origins[callback.origin].not_for_it.add(callback.sequence)

    def add_repeat(self, callback: CallbackRecord) -> None:
        """Add a callback whose id an earlier one has, too."""
        first = self._contents.first_place(callback.id)
        if first is not None:
            self._repeats[first].append((callback.origin, callback.sequence))

    def add_delivery(self, delivered: LoggedDelivery) -> None:
        """Add a line of the log."""
        if delivered.origin == SAMPLE_ORIGIN:
            self._samples += 1
            return
        self._lines += 1
        self._with_body += delivered.sha256 is not None
        if delivered.origin is not None and delivered.sequence is not None:
            self._add_named(delivered, delivered.origin, delivered.sequence)
            return
        first = self._contents.first_place(delivered.id)
        if first is None:
            self._add_unknown(delivered)
            return
        if not self._has_body(delivered, [first, *self._repeats.get(first, ())]):
            self._differs(self._difference(delivered, first))
        self._repeated += first[1] in self._origins[first[0]].by_id
        self._origins[first[0]].by_id.add(first[1])

    def _add_named(self, delivered: LoggedDelivery, origin: str, sequence: int) -> None:
        place = origin, sequence
        if not self._contents.has(*place):
            self._add_unknown(delivered)
            return
        if not self._contents.is_of(delivered.id, *place) or not self._has_body(delivered, [place]):
            self._differs(self._difference(delivered, place))
        self._repeated += sequence in self._origins[origin].named
        self._origins[origin].named.add(sequence)

    def _add_unknown(self, delivered: LoggedDelivery) -> None:
        self._unknown += 1
        if len(self._unknown_listed) < LISTED_MAX:
            self._unknown_listed.append(delivered.id)

    def _has_body(self, delivered: LoggedDelivery, places: Iterable[Place]) -> bool:
        """Return whether a callback at one of the places has the body; True if it is not known."""
        if delivered.sha256 is None:
            return True
        digest = bytes.fromhex(delivered.sha256)
        return any(self._contents.row_matches(digest, *place) for place in places)

    def _difference(self, delivered: LoggedDelivery, place: Place) -> Difference:
        return Difference(
            delivered.id,
            self._contents.location(*place),
            Location(*place, topic=self.title, partition=-1, offset=-1),
        )

    def sinks(self, proofs: Mapping[str, OriginProof]) -> dict[str, SinkReport]:
        """Return the numbers of the target, by origin."""
        not_known: defaultdict[str, BitMap64] = defaultdict(BitMap64)
        for origin, sequence in (*self._unsure(), *self._parked()):
            not_known[origin].add(sequence)
        return {
            origin: proof.webhook(
                self.title,
                delivered=self._origins[origin].named | self._origins[origin].by_id,
                not_required=self._origins[origin].not_for_it | not_known[origin],
            )
            for origin, proof in proofs.items()
        }

    def _parked(self) -> set[Place]:
        """Return the callbacks that wait in the retry topic and that the log does not name."""
        return {
            (origin, sequence)
            for waiting in self._state.parked.values()
            for origin, sequence in waiting.values()
            if sequence > 0 and sequence not in self._origins[origin].named
        }

    def _unsure(self) -> Iterator[Place]:
        """Yield the callbacks of which the log has the id, but perhaps that of another one."""
        for first, repeats in self._repeats.items():
            if first[1] not in self._origins[first[0]].by_id:
                continue
            places = [each for each in (first, *repeats) if self._is_for_it(each)]
            if len(places) > 1:
                yield from (each for each in places if each[1] not in self._origins[each[0]].named)

    def _is_for_it(self, place: Place) -> bool:
        return place[1] not in self._origins[place[0]].not_for_it

    def report(self, log: LogReader, *, may_be_gone: bool) -> WebhookReport:
        """
        Return what the table of sinks does not have.

        `may_be_gone`: Kafka and the archive may not have all callbacks that were delivered.
        """
        waiting = len(self._parked())
        return WebhookReport(
            lines=self._lines,
            repeats=self._repeated,
            samples=self._samples,
            without_body=self._lines - self._with_body,
            unknown=0 if may_be_gone else self._unknown,
            unknown_listed=self._unknown_listed,
            waiting=waiting,
            doubts=list(self._doubts(log, waiting, may_be_gone=may_be_gone)),
        )

    def _doubts(self, log: LogReader, waiting: int, *, may_be_gone: bool) -> Iterator[str]:
        if waiting:
            yield (
                f"{waiting} callbacks wait in the retry topic, because the target fails for their"
                " conversations; correct the target, and wait until it has them (--wait)"
            )
        if unsure := sum(1 for _ in self._unsure()):
            yield (
                f"{unsure} callbacks have the ce_id of another one, and the log does not say which"
                " of them came; have the receiver log ce-origin and ce-sequence, too"
            )
        if self._unknown and may_be_gone:
            yield (
                f"{self._unknown} ids of the log are neither in Kafka nor archived; they may be"
                " those of callbacks that have expired, or that no ingress wrote"
            )
        if log.unreadable:
            yield (
                f"{log.unreadable} lines of the log cannot be read, the first one is"
                f" {log.first_unreadable}; correct them"
            )
        if log.unfinished:
            yield f"{log.unfinished} ends within a line; complete it, or remove its last line"
        if unknown := sorted(self._state.positions.keys() - self._state.begun.keys()):
            yield (
                f"the retry topic does not say where partitions {', '.join(map(str, unknown))}"
                " began, so callbacks that only the archive has are not compared"
            )


def checks_of(
    filters: Mapping[str, CallbackFilter], contents: Contents, differs: Callable[[Difference], None]
) -> dict[str, WebhookCheck]:
    """Return a check for each target, by its name."""
    return {
        name: WebhookCheck(name, callback_filter, contents, differs)
        for name, callback_filter in filters.items()
    }
