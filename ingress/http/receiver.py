"""One callback in, one answer out, and never an OK before it is on disk (protocol §1, §3, §4)."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from ingress.apps import Apps
from ingress.http import answers as refusals
from ingress.http.answers import Answer
from ingress.http.target import target
from ingress.spool.disk import Broken, Full
from ingress.spool.intake import Intake
from schemas import record
from schemas.body import Malformed, text

Parameters = Mapping[str, str]
Answered = Callable[[Answer, str], None]


class Door:
    """Decides what is let in, and lets it in."""

    def __init__(self, intake: Intake, apps: Apps, *, path: str) -> None:
        self._intake = intake
        self._apps = apps
        self._path = path

    def admit(self, method: str, raw_target: str) -> Parameters | Answer:
        """Return the URL's parameters if the request is authentic, else why it is refused."""
        path, parameters = target(raw_target)
        if path != self._path:
            return refusals.NOT_HERE
        if method != "POST":
            return refusals.NOT_POST
        return self._apps.refusal(parameters, time.time()) or parameters

    def keep(self, parameters: Parameters, body: bytes, answered: Answered) -> None:
        """
        Store an admitted callback, malformed or not; `answered` is told once what to answer.

        It may be told before this returns. When it is told OK, the callback is on disk (fsync).
        """
        callback = record.ReceivedCallback(
            sdkappid=parameters["SdkAppid"],
            command=text(parameters.get("CallbackCommand")),
            client_ip=text(parameters.get("ClientIP")),
            opt_platform=text(parameters.get("OptPlatform")),
            received_at_ms=time.time_ns() // 1_000_000,
            body=body,
        )
        answer, detail = refusals.OK, ""
        try:
            kept = record.callback_record(callback)
        except Malformed as malformed:
            answer, detail = refusals.MALFORMED, str(malformed)
            kept = record.malformed_record(callback, malformed)
        try:
            self._intake.put(
                kept,
                callback.received_at_ms,
                partial(_stored, answer, detail, answered),
            )
        except (Full, Broken) as failure:
            answered(*_unavailable(failure))


def _stored(answer: Answer, detail: str, answered: Answered, failure: Full | Broken | None) -> None:
    if failure:
        answered(*_unavailable(failure))
    else:
        answered(answer, detail)


def _unavailable(failure: Full | Broken) -> tuple[Answer, str]:
    return refusals.UNAVAILABLE, f"{refusals.UNAVAILABLE.info}: {failure}"
