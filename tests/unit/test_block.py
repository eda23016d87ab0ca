"""A block holds the rows of a commit; damage to it is detected row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.spool import block
from ingress.spool.block import pack, split_into_blocks, unpack
from ingress.spool.row import CHECKSUM_BYTES, DamagedRow

rows = st.lists(st.binary(max_size=300), min_size=1, max_size=20)


@given(contents=rows, first=st.integers(1, 1 << 60))
def test_a_packed_block_unpacks_to_the_same_rows(contents: list[bytes], first: int) -> None:
    """Each row has a checksum for its own number."""
    unpacked = unpack(pack(contents, "spool", first), "spool", first)
    assert [row[CHECKSUM_BYTES:] for row in unpacked] == contents


@given(contents=st.lists(st.binary(max_size=50_000), max_size=30))
def test_blocks_are_bounded_and_lose_nothing(contents: list[bytes]) -> None:
    """Only a row that is larger than the bound makes a larger block."""
    parts = list(split_into_blocks(contents))
    assert [content for part in parts for content in part] == contents
    for part in parts:
        assert 1 <= len(part) <= block.BLOCK_ROWS_MAX
        assert len(part) == 1 or sum(map(len, part)) <= block.BLOCK_BYTES_MAX


@given(contents=rows, data=st.data())
def test_damage_is_noticed_or_harmless(contents: list[bytes], data: st.DataObject) -> None:
    """Damage to the head is noticed; damage after the head affects one row."""
    stored = bytearray(pack(contents, "spool", 1))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    try:
        unpacked = unpack(bytes(stored), "spool", 1)
    except DamagedRow:
        return
    changed = [
        number
        for number, (row, content) in enumerate(
            zip(unpacked, unpack(pack(contents, "spool", 1), "spool", 1), strict=True)
        )
        if row != content
    ]
    assert len(changed) <= 1


def test_a_block_is_bound_to_its_place() -> None:
    """Under another number or in another spool it counts as damaged."""
    stored = pack([b"a", b"b"], "spool", 7)
    for spool, first in (("spool", 8), ("other", 7)):
        with pytest.raises(DamagedRow):
            unpack(stored, spool, first)
    with pytest.raises(DamagedRow):
        unpack(b"", "spool", 7)
