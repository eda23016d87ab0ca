"""The body of a plain request, while it comes in pieces."""

from ingress.http.answers import Answer
from ingress.http.receiver import Parameters


class PartialBody:
    """
    A body of which `missing` bytes are to come.

    `admitted` are the parameters of its request, or the refusal, or None once it was given up.
    Only the bytes of an admitted request are kept.
    """

    __slots__ = ("admitted", "kept", "missing")

    def __init__(self, admitted: Parameters | Answer, missing: int) -> None:
        self.admitted: Parameters | Answer | None = admitted
        self.missing = missing
        self.kept = bytearray()

    def add(self, data: bytes) -> bytes:
        """Take the bytes of the body; return those after it."""
        piece = data[: self.missing]
        self.missing -= len(piece)
        if not isinstance(self.admitted, Answer | None):
            self.kept += piece
        return data[len(piece) :]

    def give_up(self, reason: Answer) -> Answer | None:
        """
        Drop the bytes, also those to come; return the answer, None if it was given up before.

        The answer is the refusal of the request if there is one, otherwise `reason`.
        """
        admitted, self.admitted = self.admitted, None
        self.kept = bytearray()
        return admitted if isinstance(admitted, Answer | None) else reason
