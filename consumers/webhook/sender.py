"""Send one callback to the target: a request with bounds on its time and on the answer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import aiohttp
from aiohttp import ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig
from yarl import URL

from consumers.runtime.batch import Record
from consumers.webhook.guard import AddressGuard
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind, by_answer
from consumers.webhook.request import webhook_headers
from consumers.webhook.secrets_file import SecretsFile
from consumers.webhook.settings import WebhookSettings
from schemas.callback_record import NotACallback, parse_callback_record
from schemas.http_failure import http_failure
from schemas.telemetry import WEBHOOK_DELIVERIES, WEBHOOK_DELIVERY_S

log = logging.getLogger(__name__)

# The part of an answer's body that is read and reported. The connection of a longer one is closed.
EXCERPT_BYTES_MAX = 1024
HEADER_BYTES_MAX = 8190
# Of one try to connect, TLS included. The name is looked up before, and after it aiohttp tries the
# target's other addresses; only `timeout_s`, the time of the whole request, bounds all of this.
CONNECT_S_MAX = 5.0


class Attempt:
    """One attempt to deliver a callback; `connection` is what aiohttp's trace has noted."""

    def __init__(self) -> None:
        self.connection = Connection.NOT_TRIED


class TargetAnswer(NamedTuple):
    """The parts of an answer that count; `excerpt` is the beginning of its body."""

    status: int
    retry_after: str | None
    excerpt: str

    def outcome(self) -> Outcome:
        """Return what becomes of the callback."""
        return by_answer(self.status, self.retry_after, self.excerpt, datetime.now(UTC))


class Sender:
    """Sends callbacks to one URL. Not more requests than the connector allows are in flight."""

    def __init__(self, session: aiohttp.ClientSession, url: URL, secrets: SecretsFile) -> None:
        self._session = session
        self._url = url
        self._secrets = secrets

    async def send(self, record: Record) -> Outcome:
        """Make one attempt to deliver `record`; return what becomes of it. Nothing is raised."""
        began_at = time.monotonic()
        outcome = await self._send(record)
        WEBHOOK_DELIVERY_S.observe(time.monotonic() - began_at)
        WEBHOOK_DELIVERIES.labels(outcome.kind.value).inc()
        return outcome

    async def _send(self, record: Record) -> Outcome:
        attempt = Attempt()
        try:
            return (await self.post(record, attempt)).outcome()
        except NotACallback as error:
            return Outcome(OutcomeKind.REFUSED, str(error), connection=attempt.connection)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            reason = in_words(error, attempt)
        except Exception as error:
            # The target chooses the bytes of the answer: no answer may end the process.
            log.exception("an answer of the target cannot be handled")
            reason = in_words(error, attempt)
        return Outcome(OutcomeKind.FAILED, reason, connection=attempt.connection)

    async def post(self, record: Record, attempt: Attempt) -> TargetAnswer:
        """
        Make one attempt to deliver `record`, and return the answer.

        Note in `attempt` whether there was a connection.

        Raises:
            NotACallback: nothing was sent.
            aiohttp.ClientError, TimeoutError, OSError, ValueError: there was no answer.
        """
        callback = parse_callback_record(record.value, record.headers)
        now_s = int(time.time())
        headers = webhook_headers(
            callback,
            record.headers,
            timestamp_s=now_s,
            signatures=self._secrets.signatures(callback.id, now_s, record.value),
        )
        async with self._session.post(
            self._url,
            data=record.value,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=attempt,
        ) as answer:
            return TargetAnswer(
                answer.status, answer.headers.get("Retry-After"), await _excerpt(answer)
            )


async def _excerpt(answer: aiohttp.ClientResponse) -> str:
    """Return the beginning of the body, for the reason of a failure."""
    beginning = b""
    try:
        beginning = await _read_beginning(answer)
    except (aiohttp.ClientError, TimeoutError, OSError):
        # With a success the target has accepted the callback, whatever becomes of the rest.
        if not 200 <= answer.status < 300:
            raise
    return beginning.decode("utf-8", "backslashreplace")


async def _read_beginning(answer: aiohttp.ClientResponse) -> bytes:
    beginning = b""
    while len(beginning) <= EXCERPT_BYTES_MAX:
        part = await answer.content.read(EXCERPT_BYTES_MAX + 1 - len(beginning))
        if not part:
            break
        beginning += part
    if len(beginning) > EXCERPT_BYTES_MAX:
        # The rest is not read, so the connection cannot be used again.
        answer.close()
    return beginning[:EXCERPT_BYTES_MAX]


def in_words(error: Exception, attempt: Attempt, limit: str = "WEBHOOK_TIMEOUT_S") -> str:
    """Return why there was no answer; `limit` is the name of the setting of `timeout_s`."""
    is_late = isinstance(error, TimeoutError)
    if attempt.connection is Connection.NOT_MADE:
        # aiohttp raises this error only for the limit of one try to connect.
        is_connect = isinstance(error, aiohttp.ConnectionTimeoutError)
        within = f"{CONNECT_S_MAX:g} s" if is_connect else limit
        why = f"no connection was made within {within}" if is_late else http_failure(error)
        return f"the target cannot be reached: {why}"
    if attempt.connection is Connection.NOT_TRIED:
        why = f"no connection was free within {limit}" if is_late else http_failure(error)
        return f"nothing was sent to the target: {why}"
    # Over a connection that broke, the request may have been sent.
    if is_late:
        return f"the target did not answer within {limit}"
    return f"the target gave no answer: {http_failure(error)}"


def _connection_trace() -> TraceConfig:
    """
    Return a trace that notes in the `Attempt` of each request whether it has a connection.

    The exception does not show it: if the time of the whole request is over, aiohttp raises the
    same one while it resolves the name, connects, or waits for the answer.
    """

    async def note(
        connection: Connection, _: aiohttp.ClientSession, context: SimpleNamespace, _params: object
    ) -> None:
        attempt: Attempt = context.trace_request_ctx
        attempt.connection = connection

    trace = TraceConfig()
    trace.on_connection_create_start.append(partial(note, Connection.NOT_MADE))
    trace.on_connection_create_end.append(partial(note, Connection.MADE))
    trace.on_connection_reuseconn.append(partial(note, Connection.MADE))
    return trace


@contextlib.asynccontextmanager
async def open_sender(settings: WebhookSettings) -> AsyncIterator[Sender]:
    """
    Yield a sender for the target of `settings`.

    Raises:
        UnusableFile: the file of secrets cannot be used.
    """
    secrets = SecretsFile(settings.secrets_file)
    connector = TCPConnector(
        limit=settings.requests_max,
        socket_factory=AddressGuard(settings.allow_cidrs).create_socket,
        use_dns_cache=False,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=settings.timeout_s, sock_connect=CONNECT_S_MAX),
        trace_configs=[_connection_trace()],
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    watching = asyncio.create_task(secrets.file.watch())
    try:
        async with session:
            yield Sender(session, URL(settings.url), secrets)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
