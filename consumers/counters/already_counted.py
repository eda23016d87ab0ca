"""
What a member knows to be counted already, so that it does not ask Valkey for it again.

An entry is made after a call that was applied; that call moved a position of this member, too. If
Valkey loses the call, it loses that position. Then that member's write is refused, or its handler
is asked for the position; in both cases it first forgets everything here.
"""

from collections import defaultdict
from typing import TypeAlias

# Hashes of people by role.
ByRole: TypeAlias = dict[str, set[str]]
# The parts of a window's name: what kind it is, the app, and which one it is.
WindowName: TypeAlias = tuple[str, str, int | str]

# Bounds of entries: some 50 bytes each of people, 200 of conversations. When there are more, all
# are forgotten; that costs some calls more, nothing else. People of minutes soon become useless.
PEOPLE_MAX = 500_000
PEOPLE_OF_MINUTES_MAX = 200_000
CONVERSATIONS_MAX = 100_000
WINDOWS_MAX = 10_000
MINUTE = "minute"


class AlreadyCounted:
    """People by window and role, and conversations by app."""

    def __init__(self) -> None:
        # Number of times that everything was forgotten: a call that began before must add nothing.
        self.forget_count = 0
        self._windows: defaultdict[WindowName, ByRole] = defaultdict(lambda: defaultdict(set))
        self._minutes: defaultdict[WindowName, ByRole] = defaultdict(lambda: defaultdict(set))
        self._conversations: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._entries = self._entries_of_minutes = self._entries_of_conversations = 0

    def people(self, window: WindowName) -> ByRole:
        """Return the people that are known to be counted in a window; do not change them."""
        if len(self._minutes) > WINDOWS_MAX:
            self._forget_minutes()
        if len(self._windows) > WINDOWS_MAX:
            self._forget_windows()
        return self._people(window)

    def conversations(self, app: str) -> set[tuple[str, ...]]:
        """Return the conversations of an app that are known; do not change them."""
        return self._conversations[app]

    def add_people(self, window: WindowName, people: ByRole) -> None:
        """Add people who were counted in a window."""
        number = sum(map(len, people.values()))
        if window[0] == MINUTE:
            if self._entries_of_minutes + number > PEOPLE_OF_MINUTES_MAX:
                self._forget_minutes()
            self._entries_of_minutes += number
        else:
            if self._entries + number > PEOPLE_MAX:
                self._forget_windows()
            self._entries += number
        known = self._people(window)
        for role, hashes in people.items():
            known[role] |= hashes

    def add_conversations(self, app: str, conversations: set[tuple[str, ...]]) -> None:
        """Add conversations that were counted."""
        if self._entries_of_conversations + len(conversations) > CONVERSATIONS_MAX:
            self._conversations.clear()
            self._entries_of_conversations = 0
        self._entries_of_conversations += len(conversations)
        self._conversations[app] |= conversations

    def forget(self) -> None:
        """Forget everything."""
        self.forget_count += 1
        self._forget_minutes()
        self._forget_windows()
        self._conversations.clear()
        self._entries_of_conversations = 0

    def _people(self, window: WindowName) -> ByRole:
        return (self._minutes if window[0] == MINUTE else self._windows)[window]

    def _forget_minutes(self) -> None:
        self._minutes.clear()
        self._entries_of_minutes = 0

    def _forget_windows(self) -> None:
        self._windows.clear()
        self._entries = 0
