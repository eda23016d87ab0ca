"""Ids that are not 128 bits in hex are in temporary files, or the audit fails."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.audit import text_file
from ops.audit.contents import Contents
from ops.audit.difference import Location
from ops.audit.sources import AuditFailed
from ops.audit.text_file import TextFile
from schemas.topics import CALLBACKS

DIGEST = b"d" * 32


@contextmanager
def a_full_disk() -> Iterator[None]:
    """Have every file full that has 1,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def bytes_of_temporary_files() -> int:
    """Return the size of all open files of this process that have no name."""
    size = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()).endswith(" (deleted)"):
                size += link.stat().st_size
        except FileNotFoundError:
            # It was that of the listing itself.
            continue
    return size


def test_texts_are_found_by_their_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, and in the file."""
    for size_max in (1 << 20, 10):
        monkeypatch.setattr(text_file, "TEXT_BYTES_MAX", size_max)
        file = TextFile()
        positions = {text: file.add(text) for text in ("", "order-4711", "你好", "x" * 5000)}
        assert {file.text(at): at for at in positions.values()} == positions


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an id is written at once, or when another one is read."""
    monkeypatch.setattr(text_file, "TEXT_BYTES_MAX", 10)
    contents, place = Contents(), Location("o", 1, CALLBACKS.name, 0, 1)
    with a_full_disk(), pytest.raises(AuditFailed, match="File too large; TMPDIR names"):
        contents.add("order" * 4000, DIGEST, place, b"contents", 0)
    file = TextFile()
    first = file.add("x" * 900)
    file.add("x" * 900)
    with a_full_disk(), pytest.raises(AuditFailed, match="File too large; TMPDIR names"):
        file.text(first)


def test_ids_of_receipts_are_forgotten_with_their_receipts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that waits reads the receipts again in each round; the ids of callbacks stay."""
    monkeypatch.setattr(text_file, "TEXT_BYTES_MAX", 10)
    contents = Contents()
    contents.add("order-0", DIGEST, Location("o", 1, CALLBACKS.name, 0, 1), b"contents", 0)
    sizes = []
    for _ in range(3):
        contents.forget_receipts()
        for number in range(1000):
            contents.add_receipt(f"order-{number:032}", DIGEST, "p", number)
        assert {group.ce_id for group in contents.groups()} >= {f"order-{7:032}"}
        sizes.append(bytes_of_temporary_files())
    # Files of earlier tests may be closed meanwhile.
    assert sizes[0] >= sizes[1] >= sizes[2] > 1000 * 32
    contents.forget_receipts()
    contents.add_receipt("order-0", b"e" * 32, "o", 1)
    assert [group.ce_id for group in contents.groups()] == ["order-0"]
