"""
Deliver one callback, to a second address if the first fails.

With several addresses the simulator does what the gateway of docker compose does between the vendor
and the replicas (deploy/haproxy/haproxy.cfg: `retries 1`, `redispatch`, `retry-on`): one second
try, at another address, if no connection can be made, if the connection ends before the answer, if
no answer comes in time, or after a 503. The first try may have stored the callback nevertheless.
Then it is stored twice, with one `ce_id`: a repeat, which is one row in the database and counted
once. The second try may use the rest of the vendor's 2 s; the gateway, whose limits are fixed,
gives up a little earlier. With one address there is no second try: the vendor does not try again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiohttp
import orjson

from ops.simulate.callbacks import SimulatedCallback
from ops.simulate.ledger import Outcome
from schemas.http_failure import http_failure

# The vendor's limit, which cannot be changed.
ANSWER_TIMEOUT_S = 2.0
# The gateway's limit for one try: its `timeout connect` and `timeout server` together.
FIRST_TRY_TIMEOUT_S = 0.9
# The gateway checks each replica at this interval (`check inter`).
PASSED_OVER_S = 0.5
LATE = "no answer in time"
# Nothing listens at the address.
CONNECTION_REFUSED = "connection refused"
UNKNOWN_HOST = "the host's name cannot be resolved"
# The end of the reason if the answer does not have the form of the public port's answers.
ANOTHER_SERVER_SUFFIX = ", not by Hookline's public port"


class UrlRotation:
    """
    Gives each callback the URLs in turn.

    A URL at which a connection failed is tried last for PASSED_OVER_S, as the gateway does not use
    a replica that is not ready.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._first = 0
        self._passed_over_until: dict[str, float] = {}

    def in_turn(self) -> list[str]:
        """Return the URLs in the order in which the next callback tries them."""
        urls = self._urls[self._first :] + self._urls[: self._first]
        self._first = (self._first + 1) % len(self._urls)
        return sorted(urls, key=self.is_passed_over)

    def pass_over(self, url: str) -> None:
        """Note that a connection to `url` failed."""
        self._passed_over_until[url] = time.monotonic() + PASSED_OVER_S

    def is_passed_over(self, url: str) -> bool:
        """Return whether a connection to `url` failed just now."""
        return time.monotonic() < self._passed_over_until.get(url, 0.0)


@dataclass(frozen=True, slots=True)
class SendResult:
    """
    The answer to a callback, and the reason for each failed try.

    `answer` is the name of an answer that was not OK, "" if the outcome says it all.
    """

    outcome: Outcome
    status: int
    failed_tries: tuple[str, ...] = ()
    answer: str = ""

    @property
    def connection_failed(self) -> bool:
        """True if the last try ended without an answer, and not because of the time."""
        return self.outcome is Outcome.UNANSWERED and self.failed_tries[-1] != LATE


async def deliver(
    session: aiohttp.ClientSession,
    request: SimulatedCallback,
    rotation: UrlRotation,
    *,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> SendResult:
    """
    Send `request` to the first address, and to the second if that fails.

    Both tries together may take `answer_timeout_s`.
    """
    deadline = time.monotonic() + answer_timeout_s
    url, *others = rotation.in_turn()
    has_other = bool(others) and not rotation.is_passed_over(others[0])
    delivery = await _try(
        session, request, url, FIRST_TRY_TIMEOUT_S if has_other else answer_timeout_s
    )
    if delivery.connection_failed:
        rotation.pass_over(url)
    left_s = deadline - time.monotonic()
    if others and left_s > 0 and (delivery.outcome is Outcome.UNANSWERED or delivery.status == 503):
        second = await _try(session, request, others[0], left_s)
        if second.connection_failed:
            rotation.pass_over(others[0])
        delivery = replace(second, failed_tries=delivery.failed_tries + second.failed_tries)
    if delivery.outcome is Outcome.OK and time.monotonic() > deadline:
        # A simulator without enough CPU reads an answer late. The vendor would not have waited for
        # it.
        return SendResult(Outcome.UNANSWERED, delivery.status, (*delivery.failed_tries, LATE))
    return delivery


async def _try(
    session: aiohttp.ClientSession, request: SimulatedCallback, url: str, limit_s: float
) -> SendResult:
    limit = aiohttp.ClientTimeout(total=limit_s)
    try:
        async with session.post(
            f"{url}?{request.query}", data=request.body, timeout=limit
        ) as response:
            name = response.headers.get("Hookline-Answer", "")
            return _answered(response.status, name, await response.read())
    except TimeoutError:
        reason = LATE
    except aiohttp.ClientConnectorDNSError:
        reason = UNKNOWN_HOST
    except aiohttp.ClientConnectorError as error:
        reason = http_failure(error)
    except (aiohttp.ClientError, OSError):
        reason = "connection cut before the answer"
    return SendResult(Outcome.UNANSWERED, 0, (reason,))


def _answered(status: int, name: str, body: bytes) -> SendResult:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    fields = answer if isinstance(answer, dict) else {}
    if status == 200 and fields.get("ActionStatus") == "OK":
        return SendResult(Outcome.OK, status)
    # The public port explains each answer; another server, or the admin port, does not.
    why = f": {fields['ErrorInfo']}" if "ErrorInfo" in fields else ANOTHER_SERVER_SUFFIX
    reason = f"answered {status}{why}"
    # The gateway's own answers have no name.
    return SendResult(Outcome.OTHER_ANSWER, status, (reason,), answer=name or f"status {status}")
