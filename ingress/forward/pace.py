"""When the next transaction begins after one that was not full."""

import asyncio

from ingress.spool.intake import Intake

# A transaction costs 2 ms of CPU here and 12 to 24 ms in the broker, for any number of rows. So the
# next one begins EVERY_S after the last one began, and under load, if then LOADED_ROWS wait, after
# LOADED_EVERY_S: answers need the CPU more.
EVERY_S = 0.1
LOADED_EVERY_S = 0.25
LOADED_ROWS = 250
# It begins at once when MANY_ROWS wait. Those, and the rows that come while they are sent, must fit
# into memory (RECENT_ROWS_MAX in ingress/spool/recent.py).
MANY_ROWS = 1000
# An event for each commit of the spool would cost more than to look at this interval.
LOOK_S = 0.02


async def wait_for_turn(intake: Intake, forwarded: int, begun: float) -> None:
    """
    Return when the rows after `forwarded` should be sent.

    `begun` is when the last transaction began, by the event loop's clock.
    """
    clock = asyncio.get_running_loop().time
    while (age_s := clock() - begun) < LOADED_EVERY_S:
        rows = intake.state.last_sequence - forwarded
        if rows >= MANY_ROWS or (rows < LOADED_ROWS and age_s >= EVERY_S):
            return
        next_s = EVERY_S if age_s < EVERY_S else LOADED_EVERY_S
        await asyncio.sleep(min(next_s - age_s, LOOK_S))
