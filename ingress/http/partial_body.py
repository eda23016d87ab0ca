"""The body of a plain request, while it comes in pieces."""

from ingress.http.answers import Reply
from ingress.http.receiver import Parameters


class PartialBody:
    """
    A body of which `missing_bytes` bytes are to come.

    `admission` is the parameters of an admitted request, or the refusal. Only the bytes of an
    admitted request are kept.
    """

    __slots__ = ("admission", "missing_bytes", "received")

    def __init__(self, admission: Parameters | Reply, missing_bytes: int) -> None:
        self.admission = admission
        self.missing_bytes = missing_bytes
        self.received = bytearray()

    def add(self, data: bytes) -> bytes:
        """Take the bytes of the body; return those after it."""
        piece = data[: self.missing_bytes]
        self.missing_bytes -= len(piece)
        if not isinstance(self.admission, Reply):
            self.received += piece
        return data[len(piece) :]
