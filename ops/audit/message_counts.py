"""Compare the totals of the statistics with the records. Does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from ops.audit.contents import COUNTED, UP_TO_END, Contents
from ops.audit.day_counts import DayCounts
from ops.audit.statistic_report import StatisticReport
from schemas.additions import additions_of
from schemas.body import Malformed, parse
from schemas.callback_record import CallbackRecord
from schemas.figures import ACTIVE, GROUP_MESSAGES, ONE_TO_ONE_MESSAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """
    The statistics API's numbers; `people` is None if they are only an estimate.

    `messages` are those between two people and those of groups, together.
    """

    messages: int
    people: int | None
    # By origin and partition, the number of counted sequences and their sum modulo SUM_MODULUS.
    applied: Mapping[str, Mapping[int, tuple[int, int]]]


class MessageCounts:
    """
    Counts messages and people of the records as the counters must: each of an app once.

    `days` has the messages and callbacks by day.

    The records up to the origins' ends must be counted; later ones may be. So each number has a
    lower and an upper bound.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self.days = DayCounts()
        self._messages = 0
        self._messages_up_to_end = 0
        # By app and account, True if a record up to its origin's end names this person.
        self._people: dict[tuple[str, str], bool] = {}

    def add(self, callback: CallbackRecord, *, is_up_to_end: bool, is_repeat: bool) -> None:
        """
        Count a record.

        `is_up_to_end`: its sequence is not above the end of its origin. `is_repeat`: its `ce_id`
        was seen at another sequence before.
        """
        is_new = self._contents.mark(callback.id, COUNTED)
        is_newly_up_to_end = is_up_to_end and self._contents.mark(callback.id, UP_TO_END)
        if not (is_new or is_newly_up_to_end or is_repeat):
            return
        try:
            document = parse(callback.body)
        except Malformed:
            return  # no ingress wrote it, and no consumer counts it
        additions = additions_of(callback.command, callback.opt_platform, document)
        numbers = additions.sums.numbers
        is_message = ONE_TO_ONE_MESSAGES in numbers or GROUP_MESSAGES in numbers
        self.days.add(
            callback,
            document,
            messages=int(is_message),
            is_repeat=not is_new and is_repeat,
            is_new=is_new,
            is_newly_up_to_end=is_newly_up_to_end,
        )
        if not is_message or not (is_new or is_newly_up_to_end):
            return
        self._messages += is_new
        self._messages_up_to_end += is_newly_up_to_end
        for account in additions.accounts(ACTIVE):
            person = (callback.sdkappid, account)
            self._people[person] = self._people.get(person, False) or is_up_to_end

    def compare(
        self, statistics: Statistics, *, expired: int, dead_lettered: int
    ) -> dict[str, StatisticReport]:
        """
        Return the numbers of the statistics with their bounds, by name.

        `expired`: the number of callbacks that have expired everywhere. `dead_lettered`: the number
        that the counters sent to the dead-letter topic, so that they need not be counted.
        """
        reports = {
            "messages": StatisticReport(
                shown=statistics.messages,
                least=max(0, self._messages_up_to_end - dead_lettered),
                most=self._messages + expired,
            )
        }
        if statistics.people is not None:
            # Each dead letter and each callback that has expired may have been a message of two
            # people.
            reports["people"] = StatisticReport(
                shown=statistics.people,
                least=max(0, sum(self._people.values()) - 2 * dead_lettered),
                most=len(self._people) + 2 * expired,
            )
        return reports
