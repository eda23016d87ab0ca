"""
Read many fields of hashes in Valkey.

A request reads thousands of fields whose names are few texts after the numbers of quarter hours,
minutes or days. To pack each name for each request would cost more CPU than all of the rest, so the
packed names are remembered, and sent without the client's own packing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from valkey.asyncio import Valkey

# A text for each of 96 quarter hours, 60 minutes and 31 days, of some lists of names; 0.5 KB each.
PACKED_MAX = 4096


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of one hash: each of `names`, after each of `parts`."""

    key: str
    names: tuple[str, ...]
    parts: Sequence[str] = ("",)

    @property
    def count(self) -> int:
        """The number of fields."""
        return len(self.parts) * len(self.names)

    @property
    def command(self) -> bytes:
        """The command that reads them, as it is sent."""
        head = b"*%d\r\n%b%b" % (2 + self.count, _packed("HMGET"), _packed(self.key))
        return head + b"".join([_packed_names(part, self.names) for part in self.parts])


@lru_cache(maxsize=PACKED_MAX)
def _packed_names(part: str, names: tuple[str, ...]) -> bytes:
    return b"".join(_packed(part + name) for name in names)


def _packed(text: str) -> bytes:
    encoded = text.encode()
    return b"$%d\r\n%b\r\n" % (len(encoded), encoded)


async def read_fields(valkey: Valkey, reads: Sequence[Fields]) -> list[list[bytes | None]]:
    """Return the values of each of `reads`, read in this order; None for an absent field."""
    connection = await valkey.connection_pool.get_connection("HMGET")
    try:
        await connection.send_packed_command(b"".join([read.command for read in reads]))
        return [await connection.read_response() for _ in reads]
    except BaseException:
        # Answers may be left on the connection, which the next command would take for its own.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await valkey.connection_pool.release(connection)
