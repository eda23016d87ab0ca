"""Admit a request, store its callback, answer OK once it is on disk."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from ingress.authenticator import Authenticator
from ingress.http import answers
from ingress.http.answers import Answer, DetailedAnswer
from ingress.http.target import misspelled_sdkappid, parse_target
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.disk import DiskFailed, LimitReached
from schemas import outgoing_record
from schemas.body import Malformed, to_text
from schemas.clock import now_ms

Parameters = Mapping[str, str]
# Sends an answer, with a detail for its body, to the peer; called once for each callback.
SendAnswer = Callable[[Answer, str], None]

log = logging.getLogger(__name__)


class Receiver:
    """Admits a request by its URL, then stores the callback in its body."""

    def __init__(self, spool: AsyncSpool, authenticator: Authenticator, *, path: str) -> None:
        self._spool = spool
        self._authenticator = authenticator
        self._path = path

    def admit(self, method: str, raw_target: str) -> Parameters | DetailedAnswer:
        """Return the URL's parameters if the request is authentic, else the refusal."""
        path, parameters = parse_target(raw_target)
        if path != self._path:
            return DetailedAnswer(answers.NOT_HERE, self._fault_of_path(path))
        if method != "POST":
            return DetailedAnswer(answers.NOT_POST)
        answer = self._authenticator.check_and_count_use(parameters, time.time())
        if answer is None:
            return parameters
        wrong_name = misspelled_sdkappid(parameters) if answer is answers.NOT_OURS else ""
        return DetailedAnswer(
            answer,
            f"{answer.sent_text}: the URL has {wrong_name}=, but the name is spelled SdkAppid"
            if wrong_name
            else "",
        )

    def _fault_of_path(self, path: str) -> str:
        """
        Return what is wrong with a path that is nearly the configured one, "" for any other path.

        The configured path may be a secret, so it is shown only if the request has all of it.
        """
        parent, _, last_part = path.rpartition("/")
        if not last_part and parent == self._path:
            return f"{answers.NOT_HERE.sent_text}: remove the / at its end"
        if (parent or "/") == self._path and (
            wrong_name := misspelled_sdkappid([last_part.partition("=")[0]])
        ):
            return (
                f"{answers.NOT_HERE.sent_text}: it ends with {wrong_name}=, but the name is "
                "spelled SdkAppid"
            )
        return ""

    def store(self, parameters: Parameters, body: bytes, send_answer: SendAnswer) -> None:
        """
        Store an admitted callback, malformed or not, and call `send_answer` once.

        `send_answer` is called after the commit, or before this returns if the spool refuses the
        callback. When it is called with OK, the callback is on disk (fsync).
        """
        try:
            self._put(parameters, body, send_answer)
        except (LimitReached, DiskFailed) as failure:
            send_answer(*answers.unavailable(failure))
        except Exception:
            log.exception("a bug kept a callback from being stored; answered 503")
            send_answer(answers.UNAVAILABLE, answers.INTERNAL_FAULT)

    def _put(self, parameters: Parameters, body: bytes, send_answer: SendAnswer) -> None:
        callback = outgoing_record.ReceivedCallback(
            sdkappid=parameters["SdkAppid"],
            url_command=to_text(parameters.get("CallbackCommand")),
            client_ip=to_text(parameters.get("ClientIP")),
            opt_platform=to_text(parameters.get("OptPlatform")),
            received_at_ms=now_ms(),
            body=body,
        )
        answer, detail = answers.OK, ""
        try:
            outgoing = outgoing_record.main_topic_record(callback)
        except Malformed as malformed:
            answer, detail = answers.MALFORMED, str(malformed)
            outgoing = outgoing_record.malformed_record(callback, malformed)
        self._spool.put(
            outgoing,
            callback.received_at_ms,
            partial(_answer_after_commit, answer, detail, send_answer),
        )


def _answer_after_commit(
    answer: Answer, detail: str, send_answer: SendAnswer, failure: LimitReached | DiskFailed | None
) -> None:
    """Send `answer` if the commit succeeded, else that the callback is not known to be stored."""
    if failure:
        send_answer(*answers.unavailable(failure))
    else:
        send_answer(answer, detail)
