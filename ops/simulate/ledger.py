"""The ledger of `hookline simulate`: a JSON line for each callback, with its answer."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import msgspec

from ops.failure import Failure
from schemas.additions import RoleMember

# The name of Outcome.OTHER_ANSWER in the ledgers of 0.1.
FORMER_OTHER_ANSWER = "refused"


class Outcome(StrEnum):
    """
    The outcome of one callback, as its sender knows it.

    OK: HTTP 200 with ActionStatus OK. OTHER_ANSWER: any other answer, by the ingress, a gateway or
    another server; whether the callback is stored depends on the answer, and after a 503 or 502 it
    is not known. UNANSWERED: no answer within the time-out, so the callback may be stored or not.
    """

    OK = "ok"
    OTHER_ANSWER = "other_answer"
    UNANSWERED = "unanswered"

    @classmethod
    def _missing_(cls, value: object) -> "Outcome | None":
        return cls.OTHER_ANSWER if value == FORMER_OTHER_ANSWER else None


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One callback.

    `answer`: the name of the ingress's answer, "status NUMBER" for an answer without a name, or
    "unanswered". `failed_tries`: the reason for each try that was not answered OK. `latency_ms`:
    from when the callback was due until the answer, or until it was given up.
    """

    id: str
    sdkappid: str
    command: str
    # What the callback adds to the statistics: numbers by figure, and people in their roles.
    sums: Mapping[str, int] = msgspec.field(default_factory=dict)
    people: tuple[RoleMember, ...] = ()
    sha256: str
    outcome: Outcome
    status: int
    answer: str = ""
    failed_tries: tuple[str, ...] = ()
    latency_ms: float


class NoLedger(Failure):
    """The file cannot be read, or a line of it is not an entry; the text says which."""


def write(ledger: BinaryIO, entry: LedgerEntry) -> None:
    """Append an entry."""
    ledger.write(msgspec.json.encode(entry) + b"\n")


def read_all(paths: Sequence[Path]) -> Iterator[LedgerEntry]:
    """
    Yield the entries of several ledgers, which are those of as many runs.

    Raises:
        NoLedger: one of them cannot be read, or is given twice.
    """
    known: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise NoLedger(f"{path} cannot be read: {error.strerror}") from error
        other = known.setdefault((status.st_dev, status.st_ino), path)
        if other is not path:
            raise NoLedger(f"{other} and {path} are the same ledger; name it once")
        yield from read(path)


def read(path: Path) -> Iterator[LedgerEntry]:
    """
    Yield the entries of a ledger.

    Raises:
        NoLedger: it cannot be read.
    """
    try:
        with path.open("rb") as ledger:
            for number, line in enumerate(ledger, start=1):
                try:
                    entry = msgspec.json.decode(line, type=LedgerEntry)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise NoLedger(f"{path}, line {number}: {error}") from error
                if not entry.id:
                    raise NoLedger(
                        f"{path}, line {number}: the entry has no id, so it cannot be found;"
                        " write the ce_id of every request"
                    )
                yield entry
    except OSError as error:
        raise NoLedger(f"{path} cannot be read: {error.strerror}") from error
