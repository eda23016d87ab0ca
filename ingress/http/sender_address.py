"""
The address of the client that sent a request, also if a gateway is between.

A gateway writes the client's address into X-Forwarded-For. Anybody can send that header, so it
counts only on connections from the gateway's own networks (INGRESS_GATEWAY_NETWORKS). Of several
addresses the last one counts: the gateway wrote it, and a client may have sent those before it.
"""

import functools
import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_network(text: str) -> bool:
    """Return whether the text is an address, or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


class SenderAddresses:
    """Finds the addresses of clients; the connections of gateways come from `networks`."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        # A flood of refusals comes from few peers.
        self._is_gateway = functools.lru_cache(maxsize=64)(self._is_in_networks)

    def sender(self, peer: object, forwarded_for: str) -> str:
        """
        Return the client's address, "unknown" if the connection's is not known.

        `peer` is the connection's address as asyncio returns it, `forwarded_for` is the request's
        X-Forwarded-For. If that is not from a gateway or is not an address, the sender is the peer.
        """
        host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        if forwarded_for and self._is_gateway(host):
            client = _address(forwarded_for.rpartition(",")[2].strip())
            if client:
                return str(client)
        return str(_address(host) or host or "unknown")

    def _is_in_networks(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    try:
        # The zone of a link-local address names an interface of the other machine.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # IPv4 on a socket of IPv6.
    return getattr(address, "ipv4_mapped", None) or address
