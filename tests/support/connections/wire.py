"""A connection in memory, with stricter rules than those of asyncio's and uvloop's transports."""

import asyncio
from collections import deque
from typing import Any

# The end of a stream among its pieces.
END = b""


class Wire(asyncio.Transport):
    """
    The server's transport; the methods `peer_…` are the other end.

    Writing after `write_eof` raises RuntimeError, as with asyncio. Pausing or resuming a transport
    that is closing does so, too, although both loops ignore it: no code should depend on that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.received = b""
        self.is_lost = asyncio.Event()
        # The server has been told that the peer sends no more.
        self.has_ended = False
        self._loop = loop
        self._sent: deque[bytes] = deque()
        self._unread = b""
        self._high = 1 << 16
        self._is_reading = True
        self._is_closing = False
        self._losing = False
        self._eof_written = False
        self._peer_reads = True
        protocol.connection_made(self)

    # The peer.

    def peer_sends(self, piece: bytes, *, at_once: bool) -> None:
        """Send a piece, or END; `at_once` it arrives before what is due in the loop."""
        self._sent.append(piece)
        if at_once:
            self._deliver()
        else:
            self._loop.call_soon(self._deliver)

    def peer_reads(self, *, reads: bool) -> None:
        """Read all answers from now on, or none."""
        self._peer_reads = reads
        if reads and self._unread:
            self.received += self._unread
            self._unread = b""
            if self._is_closing:
                self._lose(None)
            else:
                self.protocol.resume_writing()

    def peer_aborts(self) -> None:
        """Reset the connection."""
        self._is_closing = True
        self._lose(ConnectionResetError("by the peer"))

    def _deliver(self) -> None:
        if not self._sent or not self._is_reading or self._is_closing:
            return
        piece = self._sent.popleft()
        if piece is not END:
            self.protocol.data_received(piece)
        else:
            self.has_ended = True
            if not self.protocol.eof_received():
                self.close()
        if self._sent:
            self._loop.call_soon(self._deliver)

    def _lose(self, exception: Exception | None) -> None:
        if not self._losing:
            self._losing = True
            self._loop.call_soon(self._lost, exception)

    def _lost(self, exception: Exception | None) -> None:
        self.is_lost.set()
        self.protocol.connection_lost(exception)

    # The server.

    @property
    def is_stalled(self) -> bool:
        """True if the server takes no bytes from a peer that is connected."""
        return not (self._is_reading or self._is_closing)

    def write(self, data: Any) -> None:
        """Send an answer, unless the connection is being closed."""
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_closing:
            return
        if self._peer_reads:
            self.received += bytes(data)
            return
        self._unread += bytes(data)
        if len(self._unread) > self._high:
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        """Send no more."""
        if not self._is_closing:
            self._eof_written = True

    def close(self) -> None:
        """Lose the connection once the peer has read all."""
        if not self._is_closing:
            self._is_closing = True
            if not self._unread:
                self._lose(None)

    def abort(self) -> None:
        """Lose the connection now."""
        self._is_closing = True
        self._unread = b""
        self._lose(None)

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Take no bytes from the peer for now."""
        if self._is_closing:
            raise RuntimeError("Cannot pause_reading() when closing")
        self._is_reading = False

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""
        if self._is_closing:
            raise RuntimeError("Cannot resume_reading() when closing")
        if not self._is_reading:
            self._is_reading = True
            self._loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how many bytes of answers a peer may leave unread."""
        del low
        self._high = high or 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the peer's address."""
        return ("peer", 1) if name == "peername" else default
