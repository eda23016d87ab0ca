"""A failure that lasts: of Kafka, of a partition, or of a sink."""

from dataclasses import dataclass

# A failure that lasts is logged again at this interval.
REPEAT_LOG_S = 60.0


@dataclass(frozen=True, slots=True)
class OngoingFailure:
    """The last error of a part that does not work, and since when it has not, by the clock."""

    error: Exception
    since: float
