"""Read the archive without the product's code: zstd, JSON, and the chain of names and frames."""

import asyncio
import hashlib
import io
import itertools
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from support.processes.ingress import until

SUFFIX = ".jsonl.zst"
SKIPPABLE_MAGIC = 0x184D2A50

Place = tuple[str, int]


class Segment(NamedTuple):
    """A segment's file: the summary in its first frame, and its lines."""

    name: str
    summary: dict[str, Any]
    lines: list[dict[str, Any]]

    @property
    def partition(self) -> int:
        """Return the partition in its name."""
        return int(self.name.split("/")[-2])

    @property
    def named_offset(self) -> int:
        """Return the first offset in its name."""
        return int(self.name.rpartition("/")[2].partition("-")[0])


def read(name: str, content: bytes) -> Segment:
    """Return a segment; fail if the file is not whole."""
    summary, frames = _summary_and_frames(name, content)
    assert hashlib.sha256(frames).hexdigest() == summary["sha256"], name
    reader = zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True)
    lines = [json.loads(line) for line in io.BufferedReader(reader)]
    assert len(lines) == summary["records"], name
    if lines:
        assert (lines[0]["offset"], lines[-1]["offset"]) == (
            summary["first_offset"],
            summary["last_offset"],
        ), name
    return Segment(name, summary, lines)


def _summary_and_frames(name: str, content: bytes) -> tuple[dict[str, Any], bytes]:
    assert len(content) > 8, f"{name} has {len(content)} bytes"
    magic, size = struct.unpack_from("<II", content)
    assert magic == SKIPPABLE_MAGIC, name
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def files(directory: Path) -> dict[str, bytes]:
    """Return the segments of a local archive by their names."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob(f"*{SUFFIX}")
    }


def count(directory: Path) -> Counter[int]:
    """Return how many segments each partition of a local archive has now."""
    return Counter(int(path.parent.name) for path in directory.rglob(f"*{SUFFIX}"))


def archived_records(directory: Path) -> int:
    """Return the number of records in a local archive, by the summaries of its segments."""
    contents = files(directory).items()
    return sum(_summary_and_frames(name, content)[0]["records"] for name, content in contents)


def reached(names: Iterable[str], content: Callable[[str], bytes]) -> dict[int, int]:
    """Return the end of the last of these segments, for each partition."""
    last: dict[str, str] = {}
    for name in names:
        directory = name.rpartition("/")[0]
        last[directory] = max(name, last.get(directory, name))
    ends = [read(name, content(name)) for name in last.values()]
    return {segment.partition: segment.summary["next_offset"] for segment in ends}


async def until_archived(
    there: Callable[[], Mapping[int, int]], topic: Mapping[int, list[int]]
) -> None:
    """Return once the archive has the last of the `topic`'s offsets."""
    ends = {partition: offsets[-1] for partition, offsets in topic.items()}

    async def archived() -> bool:
        now = await asyncio.to_thread(there)
        return all(now.get(partition, 0) > end for partition, end in ends.items())

    await until(archived, f"the archive has {ends}")


def local(directory: Path) -> dict[int, int]:
    """Return the end of a local archive's last segment, for each partition."""
    names = [str(path.relative_to(directory)) for path in directory.rglob(f"*{SUFFIX}")]
    return reached(names, lambda name: (directory / name).read_bytes())


@dataclass(kw_only=True)
class Proof:
    """The comparison of an archive with the records that were committed to the topic."""

    segments: int = 0
    without_records: int = 0
    records: int = 0
    # (origin, sequence) of committed records that are not in the archive, and of records that are
    # in it twice.
    missing: list[Place] = field(default_factory=list)
    doubled: list[Place] = field(default_factory=list)
    # Faults in the chains, and archived records that readers of the topic do not see.
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the counts as a line of text."""
        return (
            f"{self.records} records in {self.segments} segments ({self.without_records} of them "
            f"without records): {len(self.missing)} missing, {len(self.doubled)} twice, "
            f"{len(self.broken)} breaks of a chain"
        )

    def assert_holds(self) -> None:
        """Check that each record is in the archive once, and no chain has a gap or an overlap."""
        assert self.records
        faults = (self.missing[:20], self.doubled[:20], self.broken[:20])
        assert faults == ([], [], []), f"{self} {faults}"


def prove(archive: Mapping[str, bytes], topic: Mapping[int, list[int]], sent: set[Place]) -> Proof:
    """
    Compare an archive with a topic.

    `topic` has the offsets of each partition's committed records, in order; `sent` has each
    committed (origin, sequence). Markers and aborted records may lie between two segments, so a
    chain is complete if it has the same offsets as the topic and no segment ends after the
    beginning of the next.
    """
    chains: dict[int, list[Segment]] = {}
    for name, content in archive.items():
        segment = read(name, content)
        chains.setdefault(segment.partition, []).append(segment)
    proof = Proof(segments=len(archive))
    places: Counter[Place] = Counter()
    for partition, chain in chains.items():
        chain.sort(key=lambda segment: (segment.named_offset, segment.name))
        proof.broken += _breaks(chain)
        lines = [line for segment in chain for line in segment.lines]
        offsets = [line["offset"] for line in lines]
        if offsets != topic.get(partition, []):
            proof.broken.append(_differ(partition, offsets, topic.get(partition, [])))
        places.update(map(_place, lines))
        proof.records += len(lines)
        proof.without_records += sum(not segment.lines for segment in chain)
    proof.missing = sorted(sent - set(places))
    proof.doubled = sorted(place for place, times in places.items() if times > 1)
    proof.broken += [f"{place} was never committed" for place in sorted(set(places) - sent)]
    proof.broken += [f"partition {p} has no chain" for p in topic.keys() - chains.keys()]
    return proof


def _breaks(chain: list[Segment]) -> Iterable[str]:
    if chain[0].lines or "-0001-01-01T00." not in chain[0].name:
        yield f"{chain[0].name} is not the beginning of a chain"
    for before, segment in itertools.pairwise(chain):
        if before.summary["next_offset"] > segment.summary["first_offset"]:
            end = before.summary["next_offset"]
            yield f"{before.name} ends at {end}, after the beginning of {segment.name}"
        if not segment.lines and before.summary["next_offset"] != segment.summary["first_offset"]:
            yield f"{segment.name}, without records, does not begin where {before.name} ends"


def _differ(partition: int, archived: list[int], committed: list[int]) -> str:
    few, many = sorted(set(committed) - set(archived)), sorted(set(archived) - set(committed))
    return (
        f"partition {partition}: of {len(committed)} committed offsets {len(few)} are not archived "
        f"({few[:3]}…), {len(many)} of {len(archived)} archived ones are not committed "
        f"({many[:3]}…), or the order differs"
    )


def _place(line: dict[str, Any]) -> Place:
    return line["headers"]["ce_origin"], int(line["headers"]["ce_sequence"])
