"""A plain request whose body comes in pieces."""

from ingress.http.answers import DetailedAnswer
from ingress.http.receiver import Parameters


class PartialRequest:
    """
    A request of whose body `missing_bytes` bytes are to come.

    `admission_result` is its parameters if it is admitted, or the refusal. Only the bytes of
    an admitted request are kept.
    """

    __slots__ = ("admission_result", "missing_bytes", "received")

    def __init__(self, admission_result: Parameters | DetailedAnswer, missing_bytes: int) -> None:
        self.admission_result = admission_result
        self.missing_bytes = missing_bytes
        self.received = bytearray()

    def add(self, data: bytes) -> bytes:
        """Take the bytes of the body; return those after it."""
        piece = data[: self.missing_bytes]
        self.missing_bytes -= len(piece)
        if not isinstance(self.admission_result, DetailedAnswer):
            self.received += piece
        return data[len(piece) :]
