"""When the next transaction begins after one that was not full."""

import asyncio

from ingress.spool.intake import Intake

# A transaction costs 2 ms of CPU here and some 15 ms in the broker, for any number of rows. So the
# next one begins after TRANSACTION_EVERY_S, or when MANY_ROWS wait. Those, and the rows that come
# while they are sent, must fit into memory (RECENT_ROWS_MAX in ingress/spool/recent.py).
TRANSACTION_EVERY_S = 0.25
MANY_ROWS = 1500
# An event for each commit of the spool would cost more than to look at this interval.
LOOK_S = 0.02


async def wait_for_many(intake: Intake, forwarded: int, *, until: float) -> None:
    """Return when MANY_ROWS after `forwarded` wait, or at `until`, by the event loop's clock."""
    clock = asyncio.get_running_loop().time
    while (left_s := until - clock()) > 0:
        if intake.state.last_sequence - forwarded >= MANY_ROWS:
            return
        await asyncio.sleep(min(left_s, LOOK_S))
