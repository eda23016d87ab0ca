"""Feed bytes to a `Connection` without a socket, and note what it does with them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from ingress.http import answers
from ingress.http.answer_sender import AnswerSender
from ingress.http.answers import DetailedAnswer
from ingress.http.connection import Connection
from ingress.http.failure_log import FailureLog
from ingress.http.open_connections import OpenConnections
from ingress.http.receiver import Parameters, Receiver, SendAnswer

# A target with this is refused before its body is read.
REFUSED = "refused"
BODY_BYTES_MAX = 4096


class Taken(NamedTuple):
    """A plain request: its target, and its body unless it was refused."""

    target: str
    body: bytes | None


class HandedOver(NamedTuple):
    """All bytes that aiohttp got."""

    data: bytes


class Answered(NamedTuple):
    """An answer of the connection itself."""

    status: int
    closes: bool


Events = list[Taken | HandedOver | Answered | str]


class StillLoop:
    """The part of an event loop that a connection uses; time stands still."""

    def __init__(self) -> None:
        self._due: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def time(self) -> float:
        """Return the time in seconds."""
        return 0.0

    def get_debug(self) -> bool:
        """Return False, as in production."""
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call it in the next `turn`."""
        self._due.append((callback, args))

    def turn(self) -> None:
        """Run all that is due."""
        while self._due:
            callback, args = self._due.popleft()
            callback(*args)


class Wire(asyncio.Transport):
    """
    A connection's transport, receiver and aiohttp in one; `events` is what they saw.

    With `answers_late` a callback is on disk only at the next `commit`.
    """

    def __init__(self, loop: StillLoop, *, answers_late: bool) -> None:
        super().__init__()
        self.events: Events = []
        self._answers_late = answers_late
        self._is_reading = True
        # aiohttp pauses reading after each piece, until the next one is sent.
        self.is_paused_by_aiohttp = False
        self._is_closing = False
        # No answer follows; the connection may read and drop what comes.
        self._eof_written = False
        self._is_ending = False
        self._refused = ""
        self._uncommitted: SendAnswer | None = None
        self._loop = loop
        open_connections = OpenConnections(1000)
        self._connection = Connection(
            cast("Receiver", self),
            AnswerSender(cast("FailureLog", self)),
            open_connections,
            self._open_aiohttp_protocol,
            body_bytes_max=BODY_BYTES_MAX,
        )
        self._connection.connection_made(self)

    # The test.

    def send(self, pieces: Sequence[bytes], *, turns: Callable[[], bool]) -> Events:
        """
        Deliver the pieces and the end of the stream; return all that happened.

        After a piece the loop runs what is due if `turns()`; uvloop may read first.
        """
        for piece in pieces:
            while not (self._is_reading or self._is_closing):
                self._commit()
                self._loop.turn()
            if self._is_closing:
                break
            self.is_paused_by_aiohttp = False
            self._connection.data_received(piece)
            if turns():
                self._loop.turn()
            if turns():
                self._commit()
        while not self._is_reading or self._uncommitted:
            self._commit()
            self._loop.turn()
            if self._is_closing:
                break
        self._is_ending = True
        if not self._is_closing and not self._connection.eof_received():
            self.close()
        self._loop.turn()
        return self.events

    def _commit(self) -> None:
        send_answer, self._uncommitted = self._uncommitted, None
        if send_answer:
            send_answer(answers.OK, "")

    # The receiver and the failure log.

    def admit(self, method: str, raw_target: str) -> Parameters | DetailedAnswer:
        """Refuse some targets."""
        assert method == "POST"
        if REFUSED in raw_target:
            self._refused = raw_target
            return DetailedAnswer(answers.NOT_OURS)
        return {"target": raw_target}

    def store(self, parameters: Parameters, body: bytes, send_answer: SendAnswer) -> None:
        """Note the callback; answer it now or later."""
        self.events.append(Taken(parameters["target"], body))
        if self._answers_late:
            assert not self._uncommitted
            self._uncommitted = send_answer
        else:
            send_answer(answers.OK, "")

    def note(self, *_: object) -> None:
        """Log nothing."""

    # aiohttp.

    def _open_aiohttp_protocol(self, _connection: Connection, *_: object) -> asyncio.Protocol:
        wire = self

        class Aiohttp(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                wire.is_paused_by_aiohttp = True
                last = wire.events[-1] if wire.events else ""
                if isinstance(last, HandedOver):
                    wire.events[-1] = HandedOver(last.data + data)
                else:
                    wire.events.append(HandedOver(data))

        return Aiohttp()

    # The transport.

    def write(self, data: Any) -> None:
        """Note an answer."""
        assert not self._is_closing
        assert not self._eof_written
        status = int(data[9:12])
        if self._is_ending:
            self.events.append(f"{status} to a body that ended early")
            return
        if status == answers.NOT_OURS.status:
            self.events.append(Taken(self._refused, None))
        self.events.append(Answered(status, b"\r\nConnection: close\r\n" in data))

    def close(self) -> None:
        """Deliver no more bytes."""
        self.write_eof()
        self._is_closing = True

    def write_eof(self) -> None:
        """Note that no answer follows."""
        if not (self._eof_written or self._is_closing):
            self._eof_written = True
            self.events.append("closed")

    def abort(self) -> None:
        """Fail: no test here makes a connection abort."""
        raise AssertionError

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Deliver no bytes for now."""
        assert not self._is_closing
        self._is_reading = False

    def resume_reading(self) -> None:
        """Deliver bytes again."""
        assert not self.is_paused_by_aiohttp
        self._is_reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore them."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return nothing."""
        del name
        return default
