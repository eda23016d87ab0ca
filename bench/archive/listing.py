"""
Measure how long it takes to find the end of a long chain in a directory.

Run it with `python -m bench.archive.listing`.

The former way, for comparison, lists all names by obstore: when names began with the hour, the last
one could not be found without all others.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click
import obstore
from obstore.store import LocalStore

from consumers.archive import segment_name
from consumers.archive.directory_listing import DirectoryListing
from consumers.runtime.batch import Partition

# A file may have 65,000 names on ext4; making names is quicker than making files.
LINKS_MAX = 60_000
TOPIC = "tim.callbacks.v1"
HOUR = "2026-11-23T14"


def fill(archive: Path, names: int) -> None:
    """Create the names of a partition."""
    (archive / TOPIC / "0").mkdir(parents=True)
    linked = ""
    for at in range(names):
        name = segment_name.of_hour(Partition(TOPIC, 0), offset=2 * at, hour=HOUR)
        path = f"{archive}/{name}"
        if at % LINKS_MAX == 0:
            linked = path
            Path(path).touch()
        else:
            os.link(linked, path)


async def seconds(partitions: int, find: Callable[[Partition], Awaitable[object]]) -> float:
    """Return how long it takes to find the ends of `partitions` at once."""
    began_s = time.monotonic()
    await asyncio.gather(*(find(Partition(TOPIC, number)) for number in range(partitions)))
    return time.monotonic() - began_s


async def measure(archive: Path, partitions: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way, the former and ours, round by round."""

    def listed(partition: Partition) -> str:
        pages = obstore.list(LocalStore(archive), str(partition))
        return max(each["path"] for page in pages for each in page)

    async def all_names(partition: Partition) -> object:
        return await asyncio.to_thread(listed, partition)

    took: dict[str, list[float]] = {"all names by obstore": [], "the last name": []}
    for _ in range(rounds):
        took["all names by obstore"].append(await seconds(partitions, all_names))
        last = partial(DirectoryListing(archive).last, search_from="")
        took["the last name"].append(await seconds(partitions, last))
    return took


@click.command()
@click.option("--names", default=525_600, show_default=True, help="A year of minutes.")
@click.option("--partitions", default=6, show_default=True, help="All are links to one directory.")
@click.option("--rounds", default=3, show_default=True)
def main(names: int, partitions: int, rounds: int) -> None:
    """Print the median seconds for one partition, and for all of them at once."""
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory)
        fill(archive, names)
        for number in range(1, partitions):
            (archive / TOPIC / str(number)).symlink_to("0")
        for at_once in sorted({1, partitions}):
            took = asyncio.run(measure(archive, at_once, rounds))
            for way, all_s in took.items():
                median_s = statistics.median(all_s)
                click.echo(f"{names} names, {at_once} partition(s), {way}: {median_s:.2f} s")


if __name__ == "__main__":
    main()
