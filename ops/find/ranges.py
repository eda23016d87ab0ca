"""Which range of Kafka's time to search for a question. Does no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.find.collection import LocatedCallback
from ops.find.question import Question
from ops.records.time_range import CLOCK_SLACK, TimeRange, hour_of

# Records are searched from the hour of sending on for so long: they may have waited in a spool.
HOURS_AFTER = timedelta(hours=6)
# The range of a question without a time.
WITHOUT_TIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRequest:
    """A question with all that was given on the command line: the range of time, if any."""

    question: Question
    since: datetime | None
    until: datetime | None
    now: datetime
    limit: int
    keeps_bodies: bool
    timeout_s: float


def range_of(request: FindRequest, received: Sequence[datetime]) -> TimeRange:
    """
    Return the range of Kafka's time to search.

    By default it begins with the hour in which the message was sent or received, and ends
    HOURS_AFTER that hour; without any time, it is the last day.
    """
    question = request.question
    times = list(received)
    if question.sent_at and question.sent_at <= request.now + CLOCK_SLACK:
        times.append(question.sent_at)
    if question.at:
        times += [question.at.since, question.at.until - timedelta(microseconds=1)]
    end = request.now + timedelta(minutes=1)
    if times:
        since = hour_of(min(times) - CLOCK_SLACK)
        until = min(end, hour_of(max(times)) + HOURS_AFTER)
    else:
        since, until = end - WITHOUT_TIME, end
    if request.since:
        # Until now, if there is no time to search around, or if it is before `since`.
        return TimeRange(
            since=request.since,
            until=request.until or (until if times and until > request.since else end),
        )
    if request.until:
        since = min(since, request.until - timedelta(hours=1))
    return TimeRange(since=since, until=request.until or max(until, since))


def parts(
    request: FindRequest, whole: TimeRange, rows: Sequence[LocatedCallback]
) -> list[TimeRange]:
    """
    Return the ranges to search one after the other: the usual hour first, then all.

    Nearly every record is in Kafka within a second after its message was sent. A list, and a range
    that was given, is searched as a whole.
    """
    times = [each.received_at for each in rows if each.received_at]
    if request.question.sent_at:
        times.append(request.question.sent_at)
    if request.question.is_list or request.since or request.until or not times:
        return [whole]
    usual = hour_of(max(times)) + timedelta(hours=1)
    if not whole.since < usual < whole.until:
        return [whole]
    return [TimeRange(since=whole.since, until=usual), whole]
