"""The body of a plain request, while it comes in pieces."""

from ingress.http.answers import Answer
from ingress.http.receiver import Parameters


class PartialBody:
    """
    A body of which `missing` bytes are to come.

    `verdict` are the parameters of an admitted request, or the refusal, or None once its answer was
    sent. Only the bytes of an admitted request are kept.
    """

    __slots__ = ("kept", "missing", "verdict")

    def __init__(self, verdict: Parameters | Answer, missing: int) -> None:
        self.verdict: Parameters | Answer | None = verdict
        self.missing = missing
        self.kept = bytearray()

    def add(self, data: bytes) -> bytes:
        """Take the bytes of the body; return those after it."""
        piece = data[: self.missing]
        self.missing -= len(piece)
        if not isinstance(self.verdict, Answer | None):
            self.kept += piece
        return data[len(piece) :]

    def give_up(self, reason: Answer) -> Answer | None:
        """
        Drop the bytes, also those to come; return the answer, None if it was given up before.

        The answer is the refusal of the request if there is one, otherwise `reason`.
        """
        verdict, self.verdict = self.verdict, None
        self.kept = bytearray()
        return verdict if isinstance(verdict, Answer | None) else reason
