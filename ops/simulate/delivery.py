"""
Deliver one callback, to a second address if the first fails.

With several addresses the sender does what the gateway of docker compose does between the vendor
and the replicas (deploy/haproxy/haproxy.cfg: `retries 1`, `redispatch`, `retry-on`): one second
try, at another address, if no connection can be made, if the connection ends before the answer, if
no answer comes in time, or after a 503. The callback may be stored by the first try all the same.
Then it is stored twice, with one `ce_id`: a repeat, which is one row in the database and counted
once. The second try may use what is left of the vendor's 2 s; the gateway, whose limits are fixed,
gives up a little earlier. With one address there is no second try, as the vendor makes none.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from ops.simulate.callbacks import Request
from ops.simulate.ledger import Outcome

# The vendor's limit, which cannot be changed (protocol §1).
ANSWER_S_MAX = 2.0
# The gateway's limit for one try: its `timeout connect` and `timeout server` together.
FIRST_TRY_S_MAX = 0.9


@dataclass(frozen=True, slots=True)
class Delivery:
    """The answer to a callback, and why each try failed that did."""

    outcome: Outcome
    status: int
    failed_tries: tuple[str, ...] = ()


async def deliver(
    session: aiohttp.ClientSession, request: Request, urls: Sequence[str]
) -> Delivery:
    """Send `request` to the first of `urls`, and to the second if that fails."""
    deadline = time.monotonic() + ANSWER_S_MAX
    url, *others = urls
    first = await _try(session, request, url, FIRST_TRY_S_MAX if others else ANSWER_S_MAX)
    if not others or not (first.outcome == "unanswered" or first.status == 503):
        return first
    second = await _try(session, request, others[0], deadline - time.monotonic())
    return Delivery(second.outcome, second.status, first.failed_tries + second.failed_tries)


async def _try(
    session: aiohttp.ClientSession, request: Request, url: str, limit_s: float
) -> Delivery:
    limit = aiohttp.ClientTimeout(total=limit_s)
    try:
        async with session.post(
            f"{url}?{request.query}", data=request.body, timeout=limit
        ) as response:
            return _answered(response.status, await response.read())
    except TimeoutError:
        reason = "no answer in time"
    except aiohttp.ClientConnectorDNSError:
        reason = "the host's name cannot be resolved"
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "no connection"
    except (aiohttp.ClientError, OSError):
        reason = "connection cut before the answer"
    return Delivery("unanswered", 0, (reason,))


def _answered(status: int, body: bytes) -> Delivery:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    fields = answer if isinstance(answer, dict) else {}
    if status == 200 and fields.get("ActionStatus") == "OK":
        return Delivery("ok", status)
    return Delivery("refused", status, (f"answered {status}: {fields.get('ErrorInfo', '')}",))
