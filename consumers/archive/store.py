"""
Where segments are: a local directory, or any object store that obstore opens by its URL.

Segments are created whole, on disk, and only if absent. Local files are created by our own code,
because obstore does not fsync, and listed, because obstore asks for the size of each. Calls block,
in threads: obstore's own coroutines may abort a process that ends
(docs/decisions/0014-object-stores.md).
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from consumers.archive.directory_listing import DirectoryListing
from consumers.archive.listing import BucketListing, Listing
from consumers.archive.segment import SegmentSummary, read_summary, summary_size
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable
from schemas.process import sync_directory

# Well within the runtime's HANDLE_S: what is not done by then is tried again by the runtime.
REQUEST_S = 6.0
RETRIES_S = 12.0
# Enough for a summary with some hundred origins; longer ones cost a second request.
HEAD_BYTES = 16 << 10
_XML_ANSWER = re.compile(
    r"<\?xml.*?<Code>(.*?)</Code>.*?<Message>(.*?)</Message>.*", re.DOTALL | re.IGNORECASE
)

# Linux has files without a name, but not on every file system, nor without /proc; other systems
# are asked to write to a directory, and refuse. Then a scratch file is tried in its place.
_UNNAMED = getattr(os, "O_TMPFILE", 0)

Create = Callable[[str, bytes], None]


class Exists(Exception):
    """A segment of that name is there already; it stays as it is."""


class NoStore(Exception):
    """The URL names no store that can be opened; the text says why."""


class Gone(Unavailable):
    """There is no segment of that name any more."""


class Stored(NamedTuple):
    """What a store says of a segment: its size in bytes, and when it took it, by its own clock."""

    size: int
    at_ms: int


class Store:
    """Segments under one URL. Several processes may write it at once."""

    def __init__(self, opened: ObjectStore, create: Create, listing: Listing) -> None:
        self._opened = opened
        self._create = create
        self._listing = listing

    async def create(self, name: str, content: bytes) -> None:
        """
        Return once the segment is stored under `name`, whole and for good.

        Raises:
            Exists: there is one.
            Unavailable: it may or may not have been created.
        """
        with _answering():
            await asyncio.to_thread(self._create, name, content)

    async def partitions(self) -> list[Partition]:
        """
        Return the partitions that have a directory.

        Raises:
            Unavailable: the store does not answer.
        """
        with _answering():
            found = await asyncio.to_thread(self._directories)
        return sorted(
            Partition(topic, int(number))
            for topic, _, number in (each.rpartition("/") for each in found)
            if number.isdecimal()
        )

    async def names(self, partition: Partition, *, after: str = "") -> list[str]:
        """
        Return the names of the partition's segments that sort after `after`, in their order.

        Raises:
            Unavailable: the store does not answer.
        """
        async with contextlib.aclosing(self.pages(partition, after=after)) as pages:
            return [name async for page in pages for name in page]

    async def pages(self, partition: Partition, *, after: str = "") -> AsyncGenerator[list[str]]:
        """
        Yield the same names in pages, of which an object store's are listed as they are needed.

        Raises:
            Unavailable: the store does not answer.
        """
        with _answering():
            async with contextlib.aclosing(self._listing.pages(partition, after=after)) as pages:
                async for page in pages:
                    yield page

    async def last(self, partition: Partition, *, known: str = "") -> str | None:
        """
        Return the name of the partition's last segment, None if it has none.

        `known` is the name of a segment that was seen, which may make it quicker.

        Raises:
            Unavailable: the store does not answer.
        """
        with _answering():
            return await self._listing.last(partition, known=known)

    async def read(self, name: str) -> bytes:
        """
        Return a whole segment.

        Raises:
            Unavailable: the store does not answer; Gone, if the segment has been deleted.
        """
        with _answering():
            return await asyncio.to_thread(lambda: bytes(self._opened.get(name).bytes()))

    async def summary(self, name: str) -> SegmentSummary:
        """
        Return the summary of a segment.

        Raises:
            Damaged: it cannot be read.
            Unavailable: the store does not answer; Gone, if the segment has been deleted.
        """
        with _answering():
            head = await asyncio.to_thread(self._head, name, HEAD_BYTES)
            size = summary_size(head)
            if size > len(head) == HEAD_BYTES:
                head = await asyncio.to_thread(self._head, name, size)
        return read_summary(head)

    async def stored(self, name: str) -> Stored:
        """
        Return what the store says of a segment.

        Raises:
            Unavailable: the store does not answer; Gone, if the segment has been deleted.
        """
        with _answering():
            found = await asyncio.to_thread(self._opened.head, name)
        return Stored(found["size"], round(found["last_modified"].timestamp() * 1000))

    async def delete(self, name: str) -> None:
        """
        Delete a segment.

        Raises:
            Unavailable: it may or may not have been deleted.
        """
        with _answering():
            await asyncio.to_thread(self._opened.delete, name)

    def _directories(self) -> list[str]:
        topics = self._opened.list_with_delimiter()["common_prefixes"]
        return [
            str(each)
            for topic in topics
            for each in self._opened.list_with_delimiter(topic)["common_prefixes"]
        ]

    def _head(self, name: str, size: int) -> bytes:
        return bytes(self._opened.get_range(name, start=0, length=size))


def open_store(url: str, *, make: bool = False) -> Store:
    """
    Open the store at `url`: a path, file://…, s3://bucket/prefix, gs://…, az://….

    `make`: a local directory is made, if it is not there. Credentials, region and endpoint come
    from the environment, as each provider's own tools take them (AWS_ACCESS_KEY_ID, …).

    Raises:
        NoStore: it cannot be opened.
        OSError: the local directory cannot be made.
    """
    directory = local_directory(url)
    try:
        if directory is not None:
            if make:
                directory.mkdir(parents=True, exist_ok=True)
            opened: Any = from_url(directory.resolve().as_uri())
            listing = DirectoryListing(directory)

            def create(name: str, content: bytes) -> None:
                _create_file(directory, name, content)
                listing.created(name)

            return Store(opened, create, listing)
        opened = from_url(
            url,
            client_options={"timeout": f"{REQUEST_S:g}s", "allow_http": True},
            retry_config={"retry_timeout": timedelta(seconds=RETRIES_S)},
        )
    except (BaseError, ValueError) as error:
        raise NoStore(f"{url}: {_told(error)}") from error
    return Store(opened, partial(_create_object, opened), BucketListing(opened))


def local_directory(url: str) -> Path | None:
    """Return the directory of a local store, None if `url` is another one's."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if "://" in url else Path(url)


def _create_object(opened: ObjectStore, name: str, content: bytes) -> None:
    # In one piece: stores refuse an object that exists with the last part at best.
    obstore.put(opened, name, content, mode="create", use_multipart=False)


def _create_file(directory: Path, name: str, content: bytes) -> None:
    """A link, not a rename: a rename would replace a segment that is there."""
    path = directory / name
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        for made in (path.parent, path.parent.parent, directory):
            sync_directory(made)
    try:
        _link_unnamed(path, content)
    except FileExistsError:
        raise
    except OSError:
        _link_scratch(path, content)
    sync_directory(path.parent)


def _link_unnamed(path: Path, content: bytes) -> None:
    """Nothing stays of a file without a name when its writer is killed."""
    with os.fdopen(os.open(path.parent, _UNNAMED | os.O_WRONLY, 0o666), "wb") as file:
        _write(file, content)
        # Without src_dir_fd, Python links the link in /proc itself; it is not used otherwise.
        fd = file.fileno()
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
        # A file system may leave a file without a name out of its log; this one has a name now.
        os.fsync(fd)


def _link_scratch(path: Path, content: bytes) -> None:
    """Where every file has a name; a killed writer leaves its own, which is no segment."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with scratch.open("xb") as file:
            _write(file, content)
        os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (FileExistsError, AlreadyExistsError) as error:
        raise Exists from error
    except FileNotFoundError as error:
        raise Gone(_told(error)) from error
    except (OSError, BaseError) as error:
        raise Unavailable(_told(error)) from error


def _told(error: Exception) -> str:
    """Return what obstore says in one line, without its inner life; of S3's XML the reason."""
    text = _XML_ANSWER.sub(r"\1: \2", str(error).split("\n\nDebug source", 1)[0])
    return " ".join(text.split())
