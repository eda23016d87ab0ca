"""A plain model of the content of a spool's file."""

from dataclasses import dataclass, field

from ingress.spool.block import split_into_blocks
from ingress.spool.write_transaction import REMOVED_BLOCKS_MAX

# The name of the spool, which is also its first origin.
NAME = "0123456789abcdef"


@dataclass
class Model:
    """The expected content of a spool's file; rows are identified by their numbers."""

    base: int = 0
    first: int = 1
    last: int = 0
    bodies: dict[int, bytes] = field(default_factory=dict)
    # The first and the last number of each block.
    blocks: list[tuple[int, int]] = field(default_factory=list)
    quarantined: set[int] = field(default_factory=set)
    # Rows whose bytes the disk has changed, and blocks whose heads it has changed, by first number.
    changed_rows: set[int] = field(default_factory=set)
    changed_heads: set[int] = field(default_factory=set)
    # Rows that were answered OK.
    acknowledged: set[int] = field(default_factory=set)
    # "" if the spool has chosen a new origin that the model does not know yet.
    origin: str = NAME

    @property
    def waiting(self) -> int:
        """The number of rows that wait to be forwarded."""
        return sum(n not in self.quarantined for n in range(self.first, self.last + 1))

    def remove_forwarded(self, forwarded_sequence: int) -> None:
        """Remove whole blocks of rows that Kafka has."""
        until = self.base + forwarded_sequence
        while until + 1 in self.quarantined:
            until += 1
        for _ in range(REMOVED_BLOCKS_MAX):
            if not self.blocks or self.blocks[0][1] > until:
                break
            self.first = self.blocks.pop(0)[1] + 1

    def append(self, bodies: list[bytes], contents: list[bytes]) -> None:
        """Store rows."""
        self.bodies |= dict(enumerate(bodies, self.last + 1))
        for part in split_into_blocks(contents):
            self.blocks.append((self.last + 1, self.last + len(part)))
            self.last += len(part)

    def quarantine(self, number: int) -> None:
        """Move a row into quarantine, together with all lost rows of the same block."""
        for first, end in self.blocks:
            if first <= number <= end and number not in self.quarantined:
                last = end if first in self.changed_heads else number
                self.quarantined |= set(range(number, last + 1))

    def start_new_origin(self) -> None:
        """Make the present rows the sequences 1, 2, 3, …."""
        self.base = self.first - 1
        self.origin = ""

    def damage(self) -> set[int]:
        """Return the rows that cannot be read."""
        lost = [range(a, b + 1) for a, b in self.blocks if a in self.changed_heads]
        return self.changed_rows.union(*lost)
