"""Compare an existing topic with the options of `hookline topics apply`. Does no I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.kafka_names import KafkaName
from schemas.topics import Topic

DAY_MS = 24 * 3600 * 1000
_INFINITE = -1
KEYS_MOVE = (
    "keys move: later callbacks of a conversation may be in another partition, and so be read"
    " before its earlier ones"
)
# Kafka deletes records when one of these becomes smaller.
_RETENTIONS = ("retention.ms", "retention.bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTopic:
    """
    A topic with the partitions and configurations that the options of the command give it.

    `partitions` and `retention_days` are None if they were not given: then a new topic gets those
    that `topic` declares, and a topic that exists keeps its own. `configs` were given by Kafka's
    names. `may_lower_size`: the size of the largest body was given, so it may become smaller.
    `is_of_others`: another team uses it, so it is created if it is missing, and never changed.
    """

    topic: Topic
    body_bytes_max: int
    partitions: int | None = None
    retention_days: int | None = None
    configs: Mapping[str, str] = field(default_factory=dict)
    may_lower_size: bool = False
    is_of_others: bool = False

    @property
    def new_partitions(self) -> int:
        """The number of partitions of a new topic."""
        return self.partitions or self.topic.partitions

    def new_configs(self) -> dict[str, str]:
        """Return the configuration of a new topic."""
        return {
            **self.topic.configs(body_bytes_max=self.body_bytes_max),
            **self._given(),
        }

    def changes(self, current: Mapping[str, str]) -> dict[str, str]:
        """Return the configurations to change if the topic has those of `current`."""
        wanted = self.new_configs()
        if not {"retention.ms"} & set(self._given()):
            del wanted["retention.ms"]
        size = "max.message.bytes"
        if size not in self.configs and not self.may_lower_size:
            wanted[size] = str(max(int(wanted[size]), int(current.get(size, 0))))
        return {name: value for name, value in wanted.items() if current.get(name) != value}

    def _given(self) -> dict[str, str]:
        given = dict(self.configs)
        if self.retention_days is not None:
            given["retention.ms"] = str(self.retention_days * DAY_MS)
        return given


def deletes_records(name: str, old: str | None, new: str) -> bool:
    """Return whether Kafka may delete records if a configuration changes from `old` to `new`."""
    if name == "cleanup.policy":
        return old != new
    if name not in _RETENTIONS:
        return False
    try:
        old_limit, new_limit = int(old or _INFINITE), int(new)
    except ValueError:
        return True  # Kafka will refuse it
    return new_limit != _INFINITE and (old_limit == _INFINITE or new_limit < old_limit)


def change_lines(
    topic: str, current: Mapping[str, str], changes: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each change of the configuration: its name, old -> new."""
    for name, new in sorted(changes.items()):
        yield f"{topic}: {name} {_value(name, current.get(name))} -> {_value(name, new)}"


def _value(name: str, value: str | None) -> str:
    if value is None:
        return "not set"
    if name == "retention.ms" and value.isdecimal():
        return f"{value} ({int(value) / DAY_MS:g} days)"
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingTopic:
    """A topic in the cluster: `configs` are in force, `own_configs` were set on the topic."""

    name: KafkaName
    wanted: WantedTopic
    partitions: int
    configs: Mapping[str, str]
    own_configs: Mapping[str, str]

    @property
    def changes(self) -> dict[str, str]:
        """The configurations to change."""
        return self.wanted.changes(self.configs)

    @property
    def added_partitions(self) -> int:
        """The number of partitions to add; negative if fewer were asked for than there are."""
        return (self.wanted.partitions or self.partitions) - self.partitions

    def lines(self) -> Iterator[str]:
        """Yield a line for each change."""
        if self.added_partitions:
            change = f"partitions {self.partitions} -> {self.wanted.partitions}"
            yield f"{self.name}: {change}; {KEYS_MOVE}"
        yield from change_lines(self.name, self.configs, self.changes)

    def refusals(self) -> Iterator[str]:
        """Yield why the changes are refused unless the deletion of records is allowed."""
        risky = {
            name: new
            for name, new in self.changes.items()
            if deletes_records(name, self.configs.get(name), new)
        }
        for line in change_lines(self.name, self.configs, risky):
            yield f"{line}: Kafka would delete records; to allow it: --allow-record-deletion"
