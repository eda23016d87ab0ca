"""Compare callbacks of one id with each other, and copies with their callback. Does no I/O."""

from ops.audit.difference import Differences
from ops.audit.entries import Group


class ContentCheck:
    """Compares the groups of one report; `repeats` is the number of callbacks that came again."""

    def __init__(self, differences: Differences) -> None:
        self._differences = differences
        self.repeats = 0

    def compare(self, group: Group) -> None:
        """Compare the callbacks and copies of one id."""
        first, *repeats = group.callbacks or (None,)
        self.repeats += len(repeats)
        for repeat in repeats:
            if first is not None and repeat.content != first.content:
                self._differences.add(group.ce_id, first.location, repeat.location)
        by_place = {callback.place: callback for callback in group.callbacks}
        for copy in group.copies:
            callback = by_place.get(copy.place)
            if callback is None:
                # The callback with this sequence has another id.
                self._differences.add("", None, copy.location)
            elif callback.digest != copy.digest:
                self._differences.add("", callback.location, copy.location)
