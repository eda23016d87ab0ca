"""A URL at one address of its host name: a request goes to the address, and keeps the name."""

from typing import Any, NamedTuple, Self

from yarl import URL


class ResolvedUrl(NamedTuple):
    """
    One of the processes that have a name. `text` is the URL with the address in place of the name.

    Each address of a name is asked. But a proxy finds the process by the name in the Host header,
    and a certificate has names. A redirect is not followed: it may lead to another process.
    """

    text: str
    host_header: str
    server_hostname: str

    @classmethod
    def at(cls, named: URL, address: str | None) -> Self:
        """Return a URL at an address; with None, the name is left to the client."""
        return cls(
            str(named if address is None else named.with_host(address)),
            named.host_port_subcomponent or "",
            named.raw_host or "",
        )

    @property
    def request_options(self) -> dict[str, Any]:
        """The arguments that aiohttp needs beside `text` and a path."""
        return {
            "headers": {"Host": self.host_header},
            "server_hostname": self.server_hostname,
            "allow_redirects": False,
        }
