"""
Deliver one callback, to a second address if the first fails.

With several addresses the sender does what the gateway of docker compose does between the vendor
and the replicas (deploy/haproxy/haproxy.cfg: `retries 1`, `redispatch`, `retry-on`): one second
try, at another address, if no connection can be made, if the connection ends before the answer, if
no answer comes in time, or after a 503. The callback may be stored by the first try all the same.
Then it is stored twice, with one `ce_id`: a repeat, which is one row in the database and counted
once. With one address there is no second try, as the vendor makes none.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from ops.simulate.callbacks import Request
from ops.simulate.ledger import Outcome

# The vendor's, which cannot be changed (protocol §1).
ANSWER_S_MAX = 2.0
# The gateway's: `timeout connect` and `timeout server` together, and `retries`.
TRY_S_MAX = 0.9
TRIES_MAX = 2


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
    limit_s = ANSWER_S_MAX if len(urls) == 1 else TRY_S_MAX
    tried: list[Delivery] = []
    for url in urls[:TRIES_MAX]:
        tried.append(await _try(session, request, url, limit_s))
        if not _is_repeated(tried[-1]):
            break
    failed = tuple(reason for each in tried for reason in each.failed_tries)
    return Delivery(tried[-1].outcome, tried[-1].status, failed)


def _is_repeated(delivery: Delivery) -> bool:
    return delivery.outcome == "unanswered" or delivery.status == 503


async def _try(
    session: aiohttp.ClientSession, request: Request, url: str, limit_s: float
) -> Delivery:
    try:
        async with session.post(
            f"{url}?{request.query}",
            data=request.body,
            timeout=aiohttp.ClientTimeout(total=limit_s),
        ) as response:
            return _answered(response.status, await response.read())
    except TimeoutError:
        reason = f"no answer within {limit_s:g} s"
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
