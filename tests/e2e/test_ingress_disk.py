"""The disk or the spool is full: the ingress refuses at once, and accepts again by itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.kafka.broker import Broker
from support.kafka.topic_proof import Topic
from support.own_disk import mounted_disk, own_disk
from support.processes.ingress import Ingress, until
from support.processes.senders import Senders, assert_refused_as_documented

DISK_BYTES = 24 << 20
# The smallest spool that the settings allow.
SPOOL_BYTES_MAX = 16_842_752
MIXED = (420, 3_000, 20_000)
SIZES = [MIXED, (20_000,), (3_000,), (420,)]

Say = Callable[[str], None]
NewIngress = Callable[..., Ingress]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a directory with a mounted disk of its own; fail if the kernel refuses the mount."""
    return mounted_disk(tmp_path)


async def started_on(
    disk: Path, new_ingress: NewIngress, broker: Broker, tmp_path: Path
) -> Ingress:
    """Return an ingress whose spools are on the small disk; its log is on another."""
    ingress = new_ingress(
        disk / "spools",
        broker.address,
        wrap=own_disk(disk, DISK_BYTES),
        log=tmp_path / "ingress.log",
    )
    await ingress.start()
    return ingress


class Ballast:
    """A file that fills the disk of a process."""

    def __init__(self, ingress: Ingress, disk: Path) -> None:
        self._path = Path(f"/proc/{ingress.process.pid}/root{disk}/ballast")

    def fill(self) -> None:
        """Write until the disk has no free page."""
        with self._path.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        """Delete the file."""
        self._path.unlink()


@pytest.mark.timeout(600)
async def test_a_full_disk_is_refused_at_once_and_the_ingress_recovers_by_itself(  # noqa: PLR0917 - fixtures
    broker: Broker,
    new_ingress: NewIngress,
    tmp_path: Path,
    disk: Path,
    scaled: Callable[..., int],
    say: Say,
) -> None:
    """503, FAIL and unready while it is full, OK again without a restart, and each OK is kept."""
    times = scaled(1, at_most=5)
    topic = await Topic.from_now(broker.address)
    ingress = await started_on(disk, new_ingress, broker, tmp_path)
    ballast = Ballast(ingress, disk)
    ok: list[str] = []
    refused_s: list[float] = []
    for _ in range(times):
        # Kafka stands still: a spool that is drained has free pages of its own to go on with.
        with broker.frozen():
            async with Senders(ingress.port, connections=8, sizes=MIXED) as senders:
                await senders.until_more_ok(50)
                ballast.fill()
                await until(lambda: is_unready(ingress), "it is unready")
                await senders.until_more_refused(50)
            ok += senders.ok
            refused_s += [took_s for _, took_s in senders.refused]
            assert_refused_as_documented(senders)
            assert not senders.unanswered
            ballast.free()
            ready_s = await until(lambda: is_ready(ingress), "it is ready again, unasked")
            async with Senders(ingress.port, connections=8, rounds=20) as senders:
                await senders.stop()
            assert not senders.refused
            ok += senders.ok
        await ingress.until_forwarded()
        say(f"ready again {ready_s:.2f} s after there was room")
    assert ingress.process.poll() is None
    ingress.kill()
    proof = await topic.proof(ok)
    say(
        f"{times} times a full disk: {proof}; {len(refused_s)} refused, the slowest after "
        f"{max(refused_s) * 1000:.0f} ms"
    )
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_a_damaged_row_is_not_passed_over_while_the_disk_is_full(
    broker: Broker, new_ingress: NewIngress, tmp_path: Path, disk: Path, say: Say
) -> None:
    """No later row is sent before the damaged row is in quarantine and reported."""
    topic = await Topic.from_now(broker.address)
    ingress = await started_on(disk, new_ingress, broker, tmp_path)
    ballast = Ballast(ingress, disk)
    with broker.frozen():
        # A block of its own, and more pages than a spool has in a row that no row has left.
        async with Senders(ingress.port, connections=1, sizes=(60_000,), rounds=1) as first:
            await first.stop()
        (damaged,) = first.ok
        # So many that the first is not in memory any more.
        async with Senders(ingress.port, connections=8, sizes=(20_000,)) as senders:
            await senders.until_more_ok(600)
            flip_a_bit(Path(f"/proc/{ingress.process.pid}/root{disk}/spools"), damaged)
            ballast.fill()
            await senders.until_more_refused(20)
    fault = "ingress at a row that cannot be put into quarantine"
    await until(lambda: "stopped after sequence 0: mdb" in ingress.log.read_text(), fault)
    await asyncio.sleep(3)  # it tries again and again
    status = await ingress.status()
    assert (status["forwarded_sequence"], status["spools"][0]["quarantined"]) == (0, [])
    assert await quarantined(ingress) == 0
    ballast.free()
    await until(lambda: is_ready(ingress), "it is ready again, unasked")
    await ingress.until_forwarded()
    status = await ingress.status()
    assert status["spools"][0]["quarantined"] == [1]
    assert await quarantined(ingress) == 1
    assert ingress.log.read_text().count("are in quarantine and will not be sent") == 1
    ingress.kill()
    proof = await topic.proof([damaged, *senders.ok])
    say(f"a damaged row on a full disk: {proof}")
    assert (proof.lost, proof.doubled) == ([damaged], [])


def flip_a_bit(spools: Path, key: str) -> None:
    """Change one bit in every copy of the callback `key` in the spool's file."""
    (path,) = spools.glob("*.lmdb")
    content = path.read_bytes()
    at = content.find(key.encode())
    assert at >= 0
    with path.open("r+b") as file:
        while at >= 0:
            file.seek(at)
            file.write(bytes([content[at] ^ 1]))
            at = content.find(key.encode(), at + 1)


async def quarantined(ingress: Ingress) -> float:
    """Return the number of rows put into quarantine."""
    answer = await ingress.get("/metrics")
    assert answer
    name = "ingress_rows_quarantined_total "
    lines = answer.body.decode().splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.timeout(600)
async def test_a_full_spool_is_drained_and_filled_again(
    broker: Broker,
    new_ingress: NewIngress,
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Say,
) -> None:
    """Fill it while Kafka is frozen, with rows smaller than a page and rows of many pages."""
    cycles = scaled(2, at_most=12)
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(
        tmp_path / "spools",
        broker.address,
        spool_bytes_max=SPOOL_BYTES_MAX,
        pending_bytes_max=SPOOL_BYTES_MAX,
    )
    await ingress.start()
    ok: list[str] = []
    refused = 0
    for cycle in range(cycles):
        async with Senders(ingress.port, sizes=SIZES[cycle % len(SIZES)]) as senders:
            with broker.frozen():
                await senders.until_more_refused(100)
                await until(lambda: is_unready(ingress), "it is unready")
            await until(lambda: is_ready(ingress), "it is ready again")
            await senders.until_more_ok(100)
        assert not senders.unanswered
        assert_refused_as_documented(senders)
        ok += senders.ok
        refused += len(senders.refused)
        await ingress.until_forwarded()
    ingress.kill()
    proof = await topic.proof(ok)
    say(f"{cycles} times full and drained: {proof}; {refused} refused")
    proof.assert_holds()


async def is_ready(ingress: Ingress) -> bool:
    """Return whether /readyz succeeds."""
    return not await ingress.unready_because()


async def is_unready(ingress: Ingress) -> bool:
    """Return whether /readyz fails."""
    return not await is_ready(ingress)
