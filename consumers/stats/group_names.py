"""
The groups of a consumer's processes: those of a webhook have one for each target. No I/O.

A process reports the name of its group. One that does not answer has the group that it reported
last, or that of the other processes at its URL.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from consumers.runtime.status import ConsumerStatus
from consumers.stats.process_statuses import SilentProcess
from consumers.stats.resolved_url import ResolvedUrl

Answers: TypeAlias = Mapping[ResolvedUrl, ConsumerStatus | SilentProcess]


class GroupNames:
    """The groups that the processes at one URL report; its host may be the name of several."""

    def __init__(self) -> None:
        self._by_address: dict[ResolvedUrl, str] = {}
        # The groups of all addresses, kept while all of them are new and silent.
        self._last: set[str] = set()

    def note(self, answers: Answers) -> Answers:
        """
        Note the groups of all answers of the URL; return the answers, with silent ones named.

        A silent process gets no name if the URL has processes of several groups, or never answered.
        """
        reported = {
            address: answer.name
            for address, answer in answers.items()
            if not isinstance(answer, SilentProcess)
        }
        known = self._by_address | reported
        # Addresses of processes that were replaced are forgotten.
        self._by_address = {address: known[address] for address in answers if address in known}
        self._last = set(self._by_address.values()) or self._last
        only = next(iter(self._last)) if len(self._last) == 1 else ""
        return {
            address: replace(answer, group=self._by_address.get(address, only))
            if isinstance(answer, SilentProcess)
            else answer
            for address, answer in answers.items()
        }
