"""Clients that keep connections open do not prevent others from being answered."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kafka.broker import Broker
from support.processes.ingress import Connection, Ingress, post
from support.processes.senders import Senders, body

pytestmark = pytest.mark.timeout(600)

OTHER_FILES = 1000


@pytest.fixture
def crowd(scaled: Callable[..., int]) -> Iterator[int]:
    """Return how many connections to open, or fewer where the machine does not allow so many."""
    wanted = scaled(1000, at_most=10_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted + OTHER_FILES if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted + OTHER_FILES, allowed), hard))
    yield min(wanted, allowed - OTHER_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def opened(port: int, count: int, piece: bytes = b"") -> list[Connection]:
    """Return `count` open connections, each of which has sent `piece`."""
    connections: list[Connection] = []
    while len(connections) < count:
        some = min(500, count - len(connections))
        connections += await asyncio.gather(*(Connection.open(port) for _ in range(some)))
    for connection in connections:
        if piece:
            connection.send(piece)
    return connections


def memory_mib(ingress: Ingress) -> float:
    """Return the resident memory of the process."""
    status = Path(f"/proc/{ingress.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.parametrize(
    "piece", [b"", post(body("slow", 1, 420))[:60], post(body("slow", 1, 420))[:-5]]
)
async def test_thousands_of_slow_connections_do_not_hurt_others(  # noqa: PLR0917 - fixtures
    broker: Broker,
    new_ingress: Callable[..., Ingress],
    tmp_path: Path,
    crowd: int,
    say: Callable[[str], None],
    piece: bytes,
) -> None:
    """The connections are idle, or stop in the middle of a request's head or body."""
    ingress = new_ingress(tmp_path / "spool", broker.address, body_s=30)
    await ingress.start()
    before_mib = memory_mib(ingress)
    connections = await opened(ingress.port, crowd, piece)
    async with Senders(ingress.port, connections=8, rounds=50) as senders:
        await senders.until_more_ok(8 * 50)
    assert (len(senders.ok), senders.refused, senders.unanswered) == (400, [], [])
    status = await ingress.status()
    say(
        f"{status['connections']} connections that have sent {len(piece)} bytes: 400 of 400 OK, "
        f"p99 {1000 * senders.p99_s():.0f} ms, {before_mib:.0f} -> {memory_mib(ingress):.0f} MiB"
    )
    assert status["connections"] >= crowd
    for connection in connections:
        connection.close()


async def test_at_its_bound_the_oldest_connection_makes_room(
    broker: Broker, new_ingress: Callable[..., Ingress], tmp_path: Path
) -> None:
    """A new connection is answered, however many are open."""
    ingress = new_ingress(tmp_path / "spool", broker.address, connections_max=50)
    await ingress.start()
    connections = await opened(ingress.port, 200)
    async with Senders(ingress.port, connections=8, rounds=5) as senders:
        await senders.until_more_ok(40)
    assert senders.unanswered == []
    assert (await ingress.status())["connections"] <= 50
    for connection in connections:
        connection.close()
