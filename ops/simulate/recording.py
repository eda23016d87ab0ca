"""
Read recorded callbacks from a file of JSON Lines, to send them again.

A line is the body of one callback, or a record as `hookline archive cat` prints it. A body has no
parameters of the URL, so its app is given and its ClientIP and OptPlatform are absent; a record has
them all. The whole file is checked before the first callback is sent.
"""

import base64
import binascii
import random
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from ops.failure import Failure
from ops.simulate.callbacks import SimulatedCallback, request_of
from schemas.body import Malformed, parse
from schemas.body_fields import integer, sent_s
from schemas.callback_record import TIME, received_at_s
from schemas.outgoing_record import UNKNOWN_COMMAND, ReceivedCallback

Order = Literal["file", "time", "random"]

LINES_MAX = 10_000_000
# A body of the largest size that an ingress can be set to accept, in base64, and its headers.
LINE_BYTES_MAX = 32 << 20

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_headers = msgspec.json.Decoder(dict[str, str | None]).decode


class UnusableRecording(Failure):
    """The file cannot be read, or a line of it is not a callback; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """
    The callbacks of a file that was checked, in the order in which they are sent.

    `offsets` is where their lines begin, and `times_s` is when each was received, or sent if that
    is not known (Unix time); it is empty if the times are not needed.
    """

    path: Path
    sdkappid: str
    as_app: bool
    offsets: "array[int]"
    times_s: "array[float]"

    def __len__(self) -> int:
        """Return the number of callbacks."""
        return len(self.offsets)

    def requests(self) -> Iterator[SimulatedCallback]:
        """
        Yield the callbacks.

        Raises:
            UnusableRecording: the file has changed since it was checked.
        """
        with _opened(self.path) as file:
            for offset in self.offsets:
                file.seek(offset)
                try:
                    callback = _callback(file.readline(), self.sdkappid, as_app=self.as_app)
                    yield request_of(callback, parse(callback.body))
                except (Malformed, _NotALine) as fault:
                    raise UnusableRecording(f"{self.path} was changed meanwhile: {fault}") from None


class _NotALine(Exception):
    """A line is neither a body nor a record; the text says why."""


def read_recording(
    path: Path, sdkappid: str, *, as_app: bool, order: Order, needs_times: bool, seed: int
) -> Recording:
    """
    Return the callbacks of a file.

    `sdkappid` is the app of lines that are bodies, "" if it is not known; with `as_app` it replaces
    the app of records, too. The order "time" needs times.

    Raises:
        UnusableRecording: the file cannot be read or has no callbacks, or a line is not a callback
            or has no time although it needs one; the text has the number of the line.
    """
    offsets, times_s = array("Q"), array("d")
    with _opened(path) as file:
        for number, offset, line in _lines(path, file):
            try:
                callback = _callback(line, sdkappid, as_app=as_app)
                document = parse(callback.body)
                request_of(callback, document)
            except (Malformed, _NotALine) as fault:
                raise UnusableRecording(f"{path}, line {number}: {fault}") from None
            at_s = _time_s(callback, document) if needs_times else 0.0
            if at_s is None:
                raise UnusableRecording(
                    f"{path}, line {number}: the callback has no time, so --speed and --order time"
                    " cannot place it; leave them out"
                )
            offsets.append(offset)
            times_s.append(at_s)
    if not offsets:
        raise UnusableRecording(f"{path} has no callbacks")
    sent = list(range(len(offsets)))
    if order == "time":
        sent.sort(key=times_s.__getitem__)
    elif order == "random":
        random.Random(seed).shuffle(sent)  # noqa: S311 - traffic, not secrets
    return Recording(
        path=path,
        sdkappid=sdkappid,
        as_app=as_app,
        offsets=array("Q", [offsets[index] for index in sent]),
        times_s=array("d", [times_s[index] for index in sent] if needs_times else []),
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UnusableRecording(f"{path} cannot be read: {error.strerror}") from error


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, offset and content of each line that is not empty."""
    offset = number = lines = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise UnusableRecording(f"{path}, line {number}: longer than {LINE_BYTES_MAX} bytes")
        if line.strip():
            lines += 1
            if lines > LINES_MAX:
                raise UnusableRecording(
                    f"{path} has more than {LINES_MAX} callbacks; split it, for example with split"
                )
            yield number, offset, line
        offset += len(line)


def _callback(line: bytes, sdkappid: str, *, as_app: bool) -> ReceivedCallback:
    """Return the callback of a line; its time of receipt is 0 if the line has none."""
    try:
        fields = _fields(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A body that no record can embed, such as one with a BOM or lone surrogates.
        fields = {}
    if "headers" in fields and ("body" in fields or "body_base64" in fields):
        return _of_record(fields, sdkappid if as_app else "")
    if not sdkappid:
        raise _NotALine("a body does not name its app; name it with one --sdkappid")
    return ReceivedCallback(
        sdkappid=sdkappid,
        url_command="",
        client_ip="",
        opt_platform="",
        received_at_ms=0,
        body=line.strip(b"\r\n"),
    )


def _of_record(fields: Mapping[str, msgspec.Raw], sdkappid: str) -> ReceivedCallback:
    try:
        headers = _headers(fields["headers"])
        body = bytes(fields["body"]) if "body" in fields else _base64(fields["body_base64"])
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise _NotALine(f"the record cannot be read: {error}") from None
    app = sdkappid or headers.get("ce_sdkappid")
    if not app:
        raise _NotALine("the record has no header ce_sdkappid")
    command = headers.get("ce_type") or ""
    at_s = received_at_s([(TIME, (headers.get(TIME) or "").encode())])
    return ReceivedCallback(
        sdkappid=app,
        url_command="" if command == UNKNOWN_COMMAND else command,
        client_ip=headers.get("ce_clientip") or "",
        opt_platform=headers.get("ce_optplatform") or "",
        received_at_ms=round((at_s or 0) * 1000),
        body=body,
    )


def _base64(text: msgspec.Raw) -> bytes:
    return base64.b64decode(msgspec.json.decode(text, type=str), validate=True)


def _time_s(callback: ReceivedCallback, document: Mapping[str, Any]) -> float | None:
    if callback.received_at_ms:
        return callback.received_at_ms / 1000
    event_ms = integer(document.get("EventTime"))
    return event_ms / 1000 if event_ms else sent_s(document)
