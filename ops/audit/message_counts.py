"""Compare the totals of the statistics with the records. Does no I/O."""

from collections.abc import Mapping
from typing import Any

from ops.audit.day_counts import DayCounts
from ops.audit.expected_counts import NOT_COUNTED, ExpectedCounts
from ops.audit.statistic_report import ADDED_MAX, MESSAGES, PEOPLE, StatisticReport
from ops.audit.statistics import Statistics
from schemas.additions import additions_of
from schemas.callback_record import CallbackRecord
from schemas.figures import ACTIVE, GROUP_MESSAGES, ONE_TO_ONE_MESSAGES


class MessageCounts:
    """
    Counts messages and people of the records as the counters must: each of an app once.

    `days` has the messages and callbacks by day.

    The records up to the origins' ends must be counted; later ones may be. So each number has a
    lower and an upper bound.
    """

    def __init__(self) -> None:
        self.days = DayCounts()
        # Hashes of app and account: of the people in records after their origin's end, and of those
        # in records up to it. Names would take three times the memory.
        self._people_after_end: set[int] = set()
        self._people_up_to_end: set[int] = set()

    def add(
        self,
        callback: CallbackRecord,
        document: Mapping[str, Any] | None,
        *,
        is_up_to_end: bool,
        with_people: bool,
    ) -> int:
        """
        Count a callback that was not counted before; return the number of its `CountKey`.

        `document` is the parsed body, None if it is malformed: no ingress wrote such a record, and
        no consumer counts it. `is_up_to_end`: its sequence is not above the end of its origin.
        """
        if document is None:
            return NOT_COUNTED
        additions = additions_of(callback.command, callback.opt_platform, document)
        numbers = additions.sums.numbers
        is_message = ONE_TO_ONE_MESSAGES in numbers or GROUP_MESSAGES in numbers
        if is_message and with_people:
            people = self._people_up_to_end if is_up_to_end else self._people_after_end
            people.update(
                hash((callback.sdkappid, account)) for account in additions.members_in(ACTIVE)
            )
        return self.days.add(callback, document, is_message=is_message, is_up_to_end=is_up_to_end)

    def compare(
        self,
        statistics: Statistics,
        expected_counts: ExpectedCounts,
        *,
        unread: int,
        need_not_be_counted: int,
    ) -> dict[str, StatisticReport]:
        """
        Return the numbers of the statistics with their bounds, by name.

        `expected_counts`: those of `days`. `unread`: the number of callbacks that may be counted,
        but are in no record that was counted here. `need_not_be_counted`: the number of those that
        the counters sent to the dead-letter topic, or that a person has dropped.
        """
        least, most = expected_counts.messages()
        reports = {
            MESSAGES: StatisticReport(
                shown=statistics.messages,
                least=max(0, least - need_not_be_counted),
                most=most + unread,
            )
        }
        if statistics.people is not None:
            # Each dead letter and each callback that was not read may have been a message.
            people_max = ADDED_MAX[PEOPLE]
            reports[PEOPLE] = StatisticReport(
                shown=statistics.people,
                least=max(0, len(self._people_up_to_end) - people_max * need_not_be_counted),
                most=len(self._people_after_end | self._people_up_to_end) + people_max * unread,
            )
        return reports
