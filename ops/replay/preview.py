"""Count what a replay would do, by app and command; nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.runtime.batch import Record
from ops.records.header_texts import header_texts
from ops.replay.target import RecordState

# The number of groups; the callbacks of all further apps and commands are one group.
GROUPS_MAX = 1000
OTHERS = "(others)"


@dataclass(slots=True, kw_only=True)
class ReplayGroup:
    """The callbacks of an app and a command; `first_ms` and `last_ms` are Kafka's times."""

    app: str
    command: str
    first_ms: int
    last_ms: int
    callbacks: int = 0
    lacking: int = 0


@dataclass(slots=True)
class Preview:
    """
    All callbacks that a replay would apply, by app and command.

    `lacking` and `expired` are of sync alone: of a webhook, it is not known what the target lacks,
    and they are 0. `pending` are left to the consumer, and are in no group.
    """

    groups: dict[tuple[str, str], ReplayGroup] = field(default_factory=dict)
    expired: int = 0
    pending: int = 0

    @property
    def callbacks(self) -> int:
        """The number of callbacks."""
        return sum(each.callbacks for each in self.groups.values())

    @property
    def lacking(self) -> int:
        """The number of callbacks that the database of sync lacks."""
        return sum(each.lacking for each in self.groups.values())

    def sorted(self) -> list[ReplayGroup]:
        """Return the groups, the largest of each app first."""
        return sorted(self.groups.values(), key=lambda g: (g.app, -g.callbacks, g.command))

    def add(self, records: Sequence[Record], states: Sequence[RecordState]) -> None:
        """Count records with their states."""
        for record, state in zip(records, states, strict=True):
            self.pending += state is RecordState.PENDING
            if state in (RecordState.PENDING, RecordState.UNWANTED):
                continue
            headers = header_texts(record.headers)
            group = self._group(
                headers.get("ce_sdkappid", ""), headers.get("ce_type", ""), record.timestamp_ms
            )
            group.callbacks += 1
            group.lacking += state in (RecordState.LACKING, RecordState.EXPIRED)
            self.expired += state is RecordState.EXPIRED

    def _group(self, app: str, command: str, at_ms: int) -> ReplayGroup:
        key = app, command
        if key not in self.groups and len(self.groups) >= GROUPS_MAX:
            key = OTHERS, ""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = ReplayGroup(
                app=key[0], command=key[1], first_ms=at_ms, last_ms=at_ms
            )
        group.first_ms = min(group.first_ms, at_ms)
        group.last_ms = max(group.last_ms, at_ms)
        return group
