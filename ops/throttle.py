"""A limit on the records that a command sends in a second."""

import asyncio
import time

import click

RECORDS_PER_S_MAX = 1e6

rate_option = click.option(
    "--records-per-s",
    "--rate",
    default=500.0,
    show_default=True,
    help="Records that are written or sent in a second at most. Others, such as those that are"
    " there already, are not limited.",
)


class Throttle:
    """Lets at most `records_per_s` records through in a second, also after a pause."""

    def __init__(self, records_per_s: float) -> None:
        self._records_per_s = records_per_s
        self._due_at = time.monotonic()

    @property
    def batch_max(self) -> int:
        """The size of a batch that takes about a tenth of a second."""
        return max(1, int(self._records_per_s / 10))

    def count(self, records: int) -> None:
        """Count records that were sent: later ones have to wait."""
        self._due_at = max(self._due_at, time.monotonic()) + records / self._records_per_s

    async def wait(self) -> None:
        """Wait until more may be sent."""
        await asyncio.sleep(max(0.0, self._due_at - time.monotonic()))
