"""
Refuse connections to addresses that a target must not have, such as those of the own network.

The check is made on the address that a socket is about to connect to, after names were looked up.
So neither the spelling of an address nor a name that changes its address between two look-ups gets
around it.
"""

import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from aiohappyeyeballs import AddrInfoType

Address: TypeAlias = IPv4Address | IPv6Address

# Networks that Python's `is_global` counts as global, but that lead to other hosts than they seem
# to, or to none: IPv4 in IPv6 by NAT64 (RFC 6052, RFC 8215), 6to4 and Teredo, ORCHID, the old site
# and compatible addresses, segment routing, and what is neither unicast nor assigned.
_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            *("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/23", "2001:db8::/32"),
            *("3fff::/20", "5f00::/16", "fec0::/10", "::/96", "::ffff:0:0:0/96"),
            *("192.88.99.0/24", "192.0.0.0/24", "168.63.129.16/32", "100.100.100.200/32"),
        ),
    )
)


class AddressRefused(OSError):
    """The target has an address to which nothing may connect; nothing was sent."""


class AddressGuard:
    """Creates sockets for allowed addresses only; `allowed` are networks that count as public."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = [ipaddress.ip_network(each) for each in allowed]

    def create_socket(self, info: AddrInfoType) -> socket.socket:
        """
        Return a socket that is about to connect to the address in `info`.

        Raises:
            AddressRefused: nothing may connect to that address.
        """
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)

    def check(self, text: str) -> None:
        """
        Check that connections to the address in `text` are allowed.

        Raises:
            AddressRefused: they are not.
        """
        address = ipaddress.ip_address(text)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # The system connects to the IPv4 address.
            address = address.ipv4_mapped
        if not is_public(address) and not any(address in each for each in self._allowed):
            raise AddressRefused(
                f"the target's address {text} is not public, and nothing connects to it. If it is "
                "meant, add its network to WEBHOOK_ALLOW_CIDRS (of hookline webhook test: --allow)"
            )


def is_public(address: Address) -> bool:
    """Return whether `address` is one of a host in the public internet."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in each for each in _REFUSED)
    )
