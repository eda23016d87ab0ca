"""Small zstd frames that unpack to gigabytes."""

import hashlib
import struct
from pathlib import Path

import msgspec

from consumers.archive import segment

_MAGIC = 0xFD2FB528
_RLE = 1
BLOCK_BYTES = 128 << 10
UNPACKED_BYTES = 2 << 30


def bomb(unpacked_bytes: int, byte: bytes = b"\0", *, window_log: int = 23) -> bytes:
    """Return a zstd frame (RFC 8878) of this one byte, repeated; 4 bytes for each 128 KiB."""
    blocks = unpacked_bytes // BLOCK_BYTES
    # A frame without a content size and a checksum; then its window's size.
    parts = [struct.pack("<IBB", _MAGIC, 0, (window_log - 10) << 3)]
    for block in range(blocks):
        is_last = block == blocks - 1
        head = is_last | _RLE << 1 | BLOCK_BYTES << 3
        parts.append(head.to_bytes(3, "little") + byte)
    return b"".join(parts)


def put_frames(path: Path, frames: bytes, **fields: object) -> None:
    """Replace the frames of a segment's file; its checksums match."""
    summary = segment.read_summary(path.read_bytes())
    sha256 = hashlib.sha256(frames).hexdigest()
    changed = msgspec.structs.replace(summary, sha256=sha256, **fields)
    path.write_bytes(segment.file_content(changed, frames))
