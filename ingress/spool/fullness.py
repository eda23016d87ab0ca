"""Whether a spool was full, and has not been below 95 % of its bound since."""

from dataclasses import dataclass

# A spool that was full is ready again below this share of its bound. Otherwise the process would
# alternate between ready and unready, and a balancer would send it callbacks that are refused.
READY_AGAIN_BELOW = 0.95


@dataclass(slots=True)
class Fullness:
    """`was_full`: the spool was full, and has not been below READY_AGAIN_BELOW since."""

    bytes_max: int
    was_full: bool = False

    def note(self, used_bytes: int, *, has_refused: bool) -> None:
        """Note the size of the spool after a commit, and whether the commit did not fit."""
        # A commit that does not fit fails below the bound, and the next, smaller one succeeds: a
        # refusal alone does not mean that the spool is full.
        if used_bytes < READY_AGAIN_BELOW * self.bytes_max:
            self.was_full = False
        elif has_refused or used_bytes >= self.bytes_max:
            self.was_full = True
