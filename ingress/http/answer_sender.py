"""Send the answers of the public port, for plain requests and for those that aiohttp read."""

import asyncio
import time

from ingress.http import answers
from ingress.http.answers import Answer, count_oks, encode_and_count_failure, ok_bytes
from ingress.http.failure_log import FailureLog


class AnswerSender:
    """Counts, logs and writes each answer; all connections share it."""

    def __init__(self, failure_log: FailureLog) -> None:
        self._failure_log = failure_log
        # OKs since the last scrape: counting each one would take the metric's lock.
        self._uncounted_oks = 0

    def send(
        self,
        transport: asyncio.Transport,
        answer: Answer,
        detail: str,
        target: str,
        forwarded_for: str = "",
        *,
        closes: bool,
        has_body: bool = True,
    ) -> None:
        """
        Count, log and write an answer to a request for `target`.

        `forwarded_for` is the request's X-Forwarded-For, "" if it has none.
        With `closes` it says that the connection is closed after it; the caller closes it.
        """
        second = int(time.time())
        if answer is answers.OK:
            self._uncounted_oks += 1
            encoded = ok_bytes(second, closes=closes)
        else:
            peer = transport.get_extra_info("peername")
            self._failure_log.note(answer, detail, peer, target, forwarded_for)
            encoded = encode_and_count_failure(answer, detail, second, closes=closes)
        if not has_body:
            encoded = encoded[: encoded.index(b"\r\n\r\n") + 4]
        transport.write(encoded)

    def count_oks(self) -> None:
        """Add the OKs since the last call to the metric."""
        count_oks(self._uncounted_oks)
        self._uncounted_oks = 0
