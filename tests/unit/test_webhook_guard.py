"""No spelling of an address leads a webhook to a host that is not public."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import aiohttp
import pytest
from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from consumers.webhook.guard import AddressGuard, AddressRefused, is_public

# Spellings of the loopback interface, of private networks and of metadata services, as the host of
# a URL. `{port}` of the listener is added.
SPELLINGS = (
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "localhost"),  # noqa: S104
    *("2130706433", "017700000001", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.1", "0x7f.0.0.1"),
    *("127.0.0.1.", "localhost.", "LOCALHOST", "LocalHost", "127.00.00.01", "0x7F.0x0.0x0.0x1"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]", "[::ffff:0:127.0.0.1]"),
    *("[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[::1%lo]", "[fd00::1]", "[fec0::1]"),
    *("[ff02::1]", "[ff02::1%25lo]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("100.64.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "198.18.0.1"),
    *(
        "①②⑦.⓪.⓪.①",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
        "127。0。0。1",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "loopback.test",
        "rebinding.test",
    ),
)


class Names(AbstractResolver):
    """The system's resolver, with two names of its own; one changes its address each time."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()
        self._asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name."""
        self._asked += 1
        if host == "loopback.test" or (host == "rebinding.test" and self._asked > 1):
            host = "127.0.0.1"
        elif host == "rebinding.test":
            host = "198.51.100.7"
        return await self._system.resolve(host, port, family)

    async def close(self) -> None:
        """Close nothing."""


@pytest.fixture
async def listener() -> AsyncIterator[tuple[int, list[object]]]:
    """Yield the port of a listener on every local address, and its connections."""
    connections: list[object] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(reader)
        writer.close()

    server = await asyncio.start_server(connected, None, 0, family=socket.AF_INET6)
    port = server.sockets[0].getsockname()[1]
    other = await asyncio.start_server(connected, "0.0.0.0", port)  # noqa: S104 - to count
    yield port, connections
    for each in (server, other):
        each.close()
        await each.wait_closed()


@contextlib.contextmanager
def failing() -> Iterator[list[BaseException]]:
    """Keep the exception of a request that must fail."""
    raised: list[BaseException] = []
    try:
        yield raised
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raised.append(error)


async def post(host: str, port: int, guard: AddressGuard) -> None:
    """Post to a host twice, so that a name is looked up again."""
    connector = TCPConnector(
        resolver=Names(), socket_factory=guard.create_socket, use_dns_cache=False
    )
    timeout = aiohttp.ClientTimeout(total=1)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for _ in range(2):
            with failing() as raised:
                async with session.post(f"http://{host}:{port}/", data=b"{}"):
                    pass
            assert raised, host


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_a_refused_address_is_connected_to(
    host: str, listener: tuple[int, list[object]]
) -> None:
    """The check is made on the address that the socket would connect to."""
    port, connections = listener
    await post(host, port, AddressGuard(()))
    await asyncio.sleep(0)
    assert connections == []


def test_the_table_has_sixty_spellings() -> None:
    """None of them twice."""
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 60


async def test_the_listener_counts_what_is_allowed(listener: tuple[int, list[object]]) -> None:
    """Without this the test above would prove nothing."""
    port, connections = listener
    for host in ("127.0.0.1", "loopback.test", "[::ffff:127.0.0.1]", "[::1]"):
        before = len(connections)
        await post(host, port, AddressGuard(("127.0.0.0/8", "::1/128")))
        async with asyncio.timeout(180):
            while len(connections) == before:  # noqa: ASYNC110 - the other side
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("text", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_allowed(text: str) -> None:
    """Of both families."""
    assert is_public(ip_address(text))
    AddressGuard(()).check(text)


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_a_network_that_is_not_public_can_be_allowed(text: str) -> None:
    """A mapped address is judged as the IPv4 address that the system connects to."""
    AddressGuard(("10.1.0.0/16", "fd00::/8")).check(text)
    with pytest.raises(AddressRefused, match="WEBHOOK_ALLOW_CIDRS"):
        AddressGuard(("10.2.0.0/16", "fd00::/16" if text == "10.1.2.3" else "fc00::/64")).check(
            text
        )


def test_an_allowed_network_has_its_addresses_with_a_zone_too() -> None:
    """The zone names the interface; the network is that of the address."""
    AddressGuard(("fe80::/10",)).check("fe80::1%lo")
    with pytest.raises(AddressRefused, match="WEBHOOK_ALLOW_CIDRS"):
        AddressGuard(("fd00::/8",)).check("fe80::1%lo")
