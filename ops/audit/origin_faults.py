"""The lines below an audit's table about one origin: each fault, and what was not audited."""

from collections.abc import Iterator

from ops.audit.report import (
    ARCHIVE,
    COUNTS,
    INGRESS_DEAD_LETTERS,
    KAFKA,
    POSTGRES,
    OriginReport,
)

# Everything that an audit reads, in the order in which a callback gets there.
TITLES = {
    KAFKA: "Kafka",
    INGRESS_DEAD_LETTERS: "ingress dead letters",
    ARCHIVE: "archive",
    POSTGRES: "PostgreSQL",
    COUNTS: "counts",
}


def origin_faults(origin: OriginReport) -> Iterator[str]:
    """Yield the lines of `origin`, none if it has no fault and all of it was audited."""
    for name, sink in origin.sinks.items():
        for fault, count, listed in (
            ("missing", sink.missing, sink.missing_listed),
            ("doubled", sink.doubled, sink.doubled_listed),
            ("only in the dead-letter topic", sink.dead_lettered, sink.dead_lettered_listed),
        ):
            if count:
                which = ", ".join(map(str, listed)) or "the counts do not show which"
                yield f"{origin.origin}: {TITLES.get(name, name)}: {count} {fault}: {which}"
        if sink.dropped:
            yield (
                f"{origin.origin}: {TITLES.get(name, name)}: {sink.dropped} dropped by"
                " hookline dead-letters drop: not audited there"
            )
    if origin.expired:
        yield f"{origin.origin}: {origin.expired} expired from Kafka and the archive: not audited"
    for name, sink in origin.sinks.items():
        if sink.expired:
            yield f"{origin.origin}: {sink.expired} expired from {TITLES[name]}: not audited there"
        if sink.returned:
            yield (
                f"{origin.origin}: {TITLES[name]}: {sink.returned} had expired and came again;"
                " the next `hookline sync expire` deletes them"
            )
