"""
Compare what a webhook's receiver has accepted with the callbacks that are for it. Does no I/O.

A line of the receiver's log that has origin and sequence names one callback. A line with the id
alone may mean any callback with this id: if the sender has repeated a callback, the log does not
show which of them came.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap64

from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.contents import Contents
from ops.audit.difference import Differences, Location
from ops.audit.entries import Entry
from ops.audit.group import Group
from ops.audit.origins import Origins
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
        number: int,
        origins: Origins,
    ) -> None:
        self.title = title(name)
        self._callback_filter = callback_filter
        self._contents = contents
        self._number = number
        self._note_seen = origins.note_seen
        # With --since, earlier callbacks are not known: the log may have them, too.
        self._is_since = origins.since is not None
        self._state = TargetState()
        self._origins: defaultdict[str, _Origin] = defaultdict(_Origin)
        self._lines = self._samples = self._with_body = 0
        # The deliveries whose line has origin and sequence.
        self._named_repeats = 0
        self._named_unknown: list[str] = []
        self._named_unknown_count = 0
        self.begin_report()

    def begin_report(self) -> None:
        """Forget what `compare` has found, before it is called for all ids again."""
        self._repeated, self._unknown = self._named_repeats, self._named_unknown_count
        self._unknown_listed = self._named_unknown[:]
        self._unsure: defaultdict[str, BitMap64] = defaultdict(BitMap64)
        for of_origin in self._origins.values():
            of_origin.by_id = BitMap64()

    def note_state(self, state: TargetState) -> None:
        """Note the state of the target in the retry topic."""
        self._state = state
        for place in state.places():
            self._note_seen(*place)

    def add_callback(
        self, callback: CallbackRecord, partition: int, offset: int, *, was_in_topic: bool
    ) -> None:
        """
        Add a callback of the main topic, or one that only the archive has.

        `was_in_topic`: its offset was not below the topic's first one at the first reading.
        """
        begun = self._state.begun.get(partition)
        if begun is None or (was_in_topic and not begun.may_continue_in(self._state.topic_id)):
            # A target that has not begun will begin with the oldest callback in the topic, and it
            # gets all of a topic that was created after it began.
            is_after_begin = was_in_topic
        else:
            is_after_begin = offset >= begun.next_offset
        if not is_after_begin or not self._callback_filter.has(
            callback.sdkappid.encode(), callback.command.encode()
        ):
            self._origins[callback.origin].not_for_it.add(callback.sequence)

    def add_delivery(self, delivered: LoggedDelivery) -> None:
        """Add a line of the log."""
        if delivered.origin == SAMPLE_ORIGIN:
            self._samples += 1
            return
        self._lines += 1
        self._with_body += delivered.sha256 is not None
        place: Place | None = None
        if delivered.origin is not None and delivered.sequence is not None:
            place = delivered.origin, delivered.sequence
            self._note_seen(*place)
            if not self._contents.has(*place):
                if not self._is_since:
                    self._named_unknown_count += 1
                    if len(self._named_unknown) < LISTED_MAX:
                        self._named_unknown.append(delivered.id)
                return
            named = self._origins[place[0]].named
            self._named_repeats += place[1] in named
            named.add(place[1])
        digest = None if delivered.sha256 is None else bytes.fromhex(delivered.sha256)
        self._contents.add_delivery(delivered.id, digest, place, self._number)

    def compare(self, group: Group, differences: Differences) -> None:
        """Compare the deliveries of one id that are not equal to a callback."""
        first = next(iter(group.callbacks), None)
        digests: set[int] | None = None
        for delivered, callback in group.deliveries:
            if delivered.key_or_webhook != self._number:
                continue
            if delivered.sequence:
                self._compare_named(group.ce_id, delivered, callback, differences)
            elif first is None:
                if not self._is_since:
                    self._unknown += 1
                    if len(self._unknown_listed) < LISTED_MAX:
                        self._unknown_listed.append(group.ce_id)
            else:
                if digests is None:
                    digests = group.common_digests(group.deliveries)
                    self._note_unsure(group)
                if delivered.body_digest and delivered.body_digest not in digests:
                    differences.add(group.ce_id, first.location, self._location(first.place))
                by_id = self._origins[first.origin].by_id
                self._repeated += first.sequence in by_id
                by_id.add(first.sequence)

    def _compare_named(
        self, ce_id: str, delivered: Entry, callback: Entry | None, differences: Differences
    ) -> None:
        if callback is None or delivered.body_digest not in (0, callback.body_digest):
            differences.add(ce_id, callback and callback.location, self._location(delivered.place))

    def _note_unsure(self, group: Group) -> None:
        """Note that the log has the id, but perhaps that of another callback."""
        places: defaultdict[str, BitMap64] = defaultdict(BitMap64)
        for callback in group.callbacks:
            if self._is_for_it(callback.place):
                places[callback.origin].add(callback.sequence)
        # With --since, the id may also be that of an earlier callback.
        if sum(map(len, places.values())) > (0 if self._is_since else 1):
            for origin, sequences in places.items():
                self._unsure[origin] |= sequences - self._origins[origin].named

    def _location(self, place: Place) -> Location:
        return Location(*place, topic=self.title, partition=-1, offset=-1)

    def sinks(self, proofs: Mapping[str, OriginProof]) -> dict[str, SinkReport]:
        """Return the numbers of the target, by origin."""
        not_known: defaultdict[str, BitMap64] = defaultdict(BitMap64)
        for origin, sequences in self._unsure.items():
            not_known[origin] |= sequences
        for origin, sequence in self._parked():
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
            if not self._is_since or self._contents.has(origin, sequence)
        }

    def _is_for_it(self, place: Place) -> bool:
        return place[1] not in self._origins[place[0]].not_for_it

    def report(self, log: LogReader, *, may_be_gone: bool) -> WebhookReport:
        """
        Return the numbers and doubts that the table of sinks does not have.

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
        if unsure := sum(map(len, self._unsure.values())):
            shared = "may share their ce_id" if self._is_since else "have the ce_id of another one"
            yield (
                f"{unsure} callbacks {shared}, and the log does not say which of them came;"
                " have the receiver log ce-origin and ce-sequence, too"
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
