"""Compare callbacks of one id with each other, and copies with their callback. Does no I/O."""

from ops.audit.difference import Differences
from ops.audit.entries import Entry
from ops.audit.group import Group


class ContentCheck:
    """Compares the groups of one report; `repeats` is the number of callbacks that came again."""

    def __init__(self, differences: Differences) -> None:
        self._differences = differences
        self.repeats = 0

    def compare(self, group: Group) -> None:
        """Compare the callbacks and copies of one id."""
        first: Entry | None = None
        for callback in group.callbacks:
            if first is None:
                first = callback
                continue
            self.repeats += 1
            if callback.content_digest != first.content_digest:
                self._differences.add(group.ce_id, first.location, callback.location)
        self._compare_copies(group)

    def _compare_copies(self, group: Group) -> None:
        for copy, callback in group.copies:
            if callback is None:
                # The callback with this sequence has another id.
                self._differences.add("", None, copy.location)
            elif callback.body_digest != copy.body_digest:
                self._differences.add("", callback.location, copy.location)
