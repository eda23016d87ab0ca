"""
Deliver one callback, to a second address if the first fails.

With several addresses the sender does what the gateway of docker compose does between the vendor
and the replicas (deploy/haproxy/haproxy.cfg: `retries 1`, `redispatch`, `retry-on`): one second
try, at another address, if no connection can be made, if the connection ends before the answer, if
no answer comes in time, or after a 503. The callback may be stored by the first try all the same.
Then it is stored twice, with one `ce_id`: a repeat, which is one row in the database and counted
once. With one address there is no second try, as the vendor makes none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from ops.simulate.callbacks import Request
from ops.simulate.ledger import Outcome

# The vendor's, which cannot be changed (protocol §1).
ANSWER_S_MAX = 2.0
# The gateway's: `timeout connect`, `timeout server`, `retries`.
GATEWAY_CONNECT_S_MAX = 0.15
GATEWAY_ANSWER_S_MAX = 0.75
TRIES_MAX = 2

_VENDOR = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
_GATEWAY = aiohttp.ClientTimeout(
    total=GATEWAY_CONNECT_S_MAX + GATEWAY_ANSWER_S_MAX,
    sock_connect=GATEWAY_CONNECT_S_MAX,
    sock_read=GATEWAY_ANSWER_S_MAX,
)


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
    limits = _VENDOR if len(urls) == 1 else _GATEWAY
    tried: list[Delivery] = []
    for url in urls[:TRIES_MAX]:
        tried.append(await _try(session, request, url, limits))
        if not _is_repeated(tried[-1]):
            break
    failed = tuple(reason for each in tried for reason in each.failed_tries)
    return Delivery(tried[-1].outcome, tried[-1].status, failed)


def _is_repeated(delivery: Delivery) -> bool:
    return delivery.outcome == "unanswered" or delivery.status == 503


async def _try(
    session: aiohttp.ClientSession, request: Request, url: str, limits: aiohttp.ClientTimeout
) -> Delivery:
    try:
        async with session.post(
            f"{url}?{request.query}", data=request.body, timeout=limits
        ) as response:
            return _answered(response.status, await response.read())
    except aiohttp.ConnectionTimeoutError:
        reason = f"no connection within {limits.sock_connect:g} s"
    except TimeoutError:
        reason = f"no answer within {limits.sock_read or limits.total:g} s"
    except aiohttp.ClientConnectorError:
        reason = "connection refused"
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
