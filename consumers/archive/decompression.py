"""Decompress a segment's lines with bounds: a small file may unpack to any number of gigabytes."""

import io
from collections.abc import Iterator

import zstandard

# A line has at most the largest body (16 MiB), in base64, and its headers.
LINE_BYTES_MAX = 64 << 20
# The largest ARCHIVE_SEGMENT_BYTES_MAX is 1 GiB; base64 and the names of headers come in addition.
FRAME_BYTES_MAX = 2 << 30
# Decompression of a frame takes this memory. The archive's frames need less than 1 MiB, those of
# zstd -19 need 8 MiB.
WINDOW_BYTES_MAX = 8 << 20
# Each 4 bytes may unpack to 128 KiB, so one step yields at most 16 MiB.
STEP_BYTES = 512
# The library allocates buffers of this size for each step.
_BUFFER_BYTES = 16 << 10


class NotDecompressed(Exception):
    """The frames are not zstd, are not complete, or exceed a bound; the text says which."""


def lines_of(frames: memoryview) -> Iterator[bytes]:
    """
    Yield the lines of zstd frames, each with its line feed; the last one may lack it.

    Takes memory for two lines and one step, whatever the frames unpack to.

    Raises:
        NotDecompressed: the frames are not whole, or a line or a frame is larger than its bound.
    """
    begun: list[bytes] = []
    length = 0
    for text in _texts(frames):
        for part in io.BytesIO(text):
            begun.append(part)
            length += len(part)
            if length > LINE_BYTES_MAX:
                raise NotDecompressed(f"a line has more than {LINE_BYTES_MAX} bytes")
            if part.endswith(b"\n"):
                yield part if len(begun) == 1 else b"".join(begun)
                begun.clear()
                length = 0
    if begun:
        yield b"".join(begun)


def _texts(frames: memoryview) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    at = 0
    while at < len(frames):
        frame = decompressor.decompressobj(write_size=_BUFFER_BYTES)
        unpacked = 0
        while not frame.eof:
            if at == len(frames):
                raise NotDecompressed("its last zstd frame is not complete")
            step = frames[at : at + STEP_BYTES]
            try:
                text = frame.decompress(step)
            except zstandard.ZstdError as error:
                raise NotDecompressed(f"it cannot be decompressed: {error}") from error
            at += len(step) - len(frame.unused_data)
            unpacked += len(text)
            if unpacked > FRAME_BYTES_MAX:
                raise NotDecompressed(f"a zstd frame unpacks to more than {FRAME_BYTES_MAX} bytes")
            yield text
