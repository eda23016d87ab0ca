"""The processes that have one name: each has an address of its own."""

import asyncio
import contextlib
import socket

from yarl import URL

from consumers.stats.resolved_url import ResolvedUrl

# Addresses that are asked for one name.
ADDRESSES_MAX = 32
# A process that is no longer in its name is missed for this time: orchestrators take a dead one out
# of the name immediately.
MISSED_S = 300.0


def is_admin_url(text: str) -> bool:
    """Return whether `text` is the URL of an admin port: a scheme, a host and a port, no more."""
    try:
        url = URL(text)
    except ValueError:
        return False
    bare = URL.build(scheme=url.scheme, host=url.host or "", port=url.explicit_port)
    return url.scheme in ("http", "https") and bool(url.host) and str(bare) == text.lower()


class RecentAddresses:
    """The addresses of a name, and those that were in it lately. No I/O."""

    def __init__(self) -> None:
        # When each address was in the name last.
        self._named_at: dict[str, float] = {}

    def note(self, addresses: list[str], now: float) -> list[str]:
        """
        Note the addresses that the name has now; return those to ask.

        An address that is no longer in the name stays for MISSED_S, unless a new one replaces it.
        """
        removed_addresses = sorted(
            self._named_at.keys() - set(addresses), key=self._named_at.__getitem__
        )
        replaced = len(set(addresses) - self._named_at.keys())
        still_used = [a for a in removed_addresses[replaced:] if now - self._named_at[a] < MISSED_S]
        self._named_at = {address: self._named_at[address] for address in still_used}
        self._named_at |= dict.fromkeys(addresses, now)
        return sorted(self._named_at)[:ADDRESSES_MAX]


class Addresses:
    """The processes at one URL, whose host may be the name of several."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self._recent = RecentAddresses()
        self._resolving: asyncio.Task[list[str]] | None = None

    async def find(self, timeout_s: float) -> list[ResolvedUrl]:
        """Return the URL of each process; the URL itself if its name cannot be resolved."""
        resolved = await self._resolve(timeout_s)
        addresses = self._recent.note(resolved, asyncio.get_running_loop().time())
        found = [ResolvedUrl.at(self._url, address) for address in addresses]
        return found or [ResolvedUrl.at(self._url, None)]

    async def _resolve(self, timeout_s: float) -> list[str]:
        """Return the addresses of the name, none if the name server does not answer in time."""
        # A thread resolves, and cannot be cancelled: there is one at most.
        if self._resolving is None or self._resolving.done():
            self._resolving = asyncio.create_task(_resolved(self._url))
        await asyncio.wait((self._resolving,), timeout=timeout_s)
        return self._resolving.result() if self._resolving.done() else []

    async def close(self) -> None:
        """End the request to the name server, if there is one."""
        if self._resolving is not None:
            self._resolving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._resolving


async def _resolved(url: URL) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(url.host or "", url.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    # A process may have an address of each family: only those of one family are counted.
    family = min(info[0] for info in infos)
    return sorted({str(info[4][0]) for info in infos if info[0] == family})
