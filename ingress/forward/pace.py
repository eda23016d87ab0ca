"""When the next transaction begins after one that was not full."""

import asyncio

from ingress.spool.async_spool import AsyncSpool

# A transaction costs 3 ms of CPU here and 12 to 24 ms in the broker, for any number of rows. So the
# next one begins TRANSACTION_INTERVAL_S after the last one began. If LOADED_ROWS wait by then, it
# begins after LOADED_INTERVAL_S: under load, answers need the CPU more.
TRANSACTION_INTERVAL_S = 0.1
LOADED_INTERVAL_S = 0.25
LOADED_ROWS = 250
# It begins immediately when MANY_ROWS wait. Those, and the rows that come while they are sent, must
# fit into memory (RECENT_ROWS_MAX in ingress/spool/recent_rows.py).
MANY_ROWS = 1000
# Checking at this interval costs less than an event for each commit of the spool.
POLL_INTERVAL_S = 0.02


async def wait_for_next_transaction(
    spool: AsyncSpool, forwarded_sequence: int, began_at: float
) -> None:
    """
    Return when the rows after `forwarded_sequence` should be sent.

    `began_at` is when the last transaction began, by the event loop's clock.
    """
    clock = asyncio.get_running_loop().time
    while (age_s := clock() - began_at) < LOADED_INTERVAL_S:
        waiting_rows = spool.state.last_sequence - forwarded_sequence
        if waiting_rows >= MANY_ROWS or (
            waiting_rows < LOADED_ROWS and age_s >= TRANSACTION_INTERVAL_S
        ):
            return
        begins_at_age_s = (
            TRANSACTION_INTERVAL_S if age_s < TRANSACTION_INTERVAL_S else LOADED_INTERVAL_S
        )
        await asyncio.sleep(min(begins_at_age_s - age_s, POLL_INTERVAL_S))
