"""
Store segments in a local directory, or in any object store that obstore opens by its URL.

Segments are created whole, on disk, and only if absent. Our own code creates local files, because
obstore does not fsync, and lists them, because obstore asks for the size of each. obstore's calls
block and run in threads: its own coroutines may abort a process that ends
(docs/decisions/0014-object-stores.md).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from consumers.archive.directory_listing import DirectoryListing
from consumers.archive.listing import BucketListing, Listing
from consumers.archive.segment import SegmentSummary, read_summary, summary_size
from consumers.archive.store_errors import CannotOpenStore, is_timeout, reason, store_call
from consumers.runtime.batch import Partition
from consumers.runtime.handler import TookTooLong
from schemas.local_file import create_file
from schemas.url_text import public_url

# Well within the runtime's HANDLE_TIMEOUT_S: after a time-out, the runtime tries again. The time of
# sending a segment is included, and a create that timed out is not retried by obstore.
REQUEST_TIMEOUT_S = 6.0
RETRY_TIMEOUT_S = 12.0
# Enough for a summary with some hundred origins; longer ones cost a second request.
HEAD_BYTES = 16 << 10
Create = Callable[[str, bytes], None]


class SegmentStat(NamedTuple):
    """A segment's size in bytes, and when it was stored, by the store's clock."""

    size: int
    at_ms: int


class SegmentStore:
    """Segments under one URL. Several processes may write it concurrently."""

    def __init__(self, object_store: ObjectStore, create: Create, listing: Listing) -> None:
        self._object_store = object_store
        self._create = create
        self._listing = listing

    async def create(self, name: str, content: bytes) -> None:
        """
        Return once the segment is stored under `name`, whole and durable.

        Raises:
            SegmentExists: a segment has that name.
            TookTooLong: an object store did not take it within REQUEST_TIMEOUT_S; a smaller one may
                be quick enough. The segment may or may not have been created.
            Unavailable: the segment may or may not have been created.
        """
        with store_call():
            try:
                await asyncio.to_thread(self._create, name, content)
            except BaseError as error:
                if not is_timeout(error):
                    raise
                raise TookTooLong(
                    f"the store did not take a segment of {len(content)} bytes within "
                    f"{REQUEST_TIMEOUT_S:g} s: {reason(error)}"
                ) from error

    async def partitions(self) -> list[Partition]:
        """
        Return the partitions that have a directory in the store.

        Raises:
            Unavailable: the store does not answer.
        """
        with store_call():
            directories = await asyncio.to_thread(self._directories)
        return sorted(
            Partition(topic, int(number))
            for topic, _, number in (each.rpartition("/") for each in directories)
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
        Yield the same names in pages. An object store is asked for each page when it is needed.

        Raises:
            Unavailable: the store does not answer.
        """
        with store_call():
            async with contextlib.aclosing(self._listing.pages(partition, after=after)) as pages:
                async for page in pages:
                    yield page

    async def last(self, partition: Partition, *, search_from: str = "") -> str | None:
        """
        Return the name of the partition's last segment, None if it has none.

        The search begins at `search_from`, the name of a segment that was found or whose creation
        was tried. It may not exist: it only makes the search faster.

        Raises:
            Unavailable: the store does not answer.
        """
        with store_call():
            return await self._listing.last(partition, search_from=search_from)

    async def read(self, name: str) -> bytes:
        """
        Return a whole segment.

        Raises:
            SegmentNotFound: the segment has been deleted.
            Unavailable: the store does not answer.
        """
        with store_call():
            return await asyncio.to_thread(lambda: bytes(self._object_store.get(name).bytes()))

    async def summary(self, name: str) -> SegmentSummary:
        """
        Return the summary of a segment.

        Raises:
            DamagedSegment: the summary cannot be read.
            SegmentNotFound: the segment has been deleted.
            Unavailable: the store does not answer.
        """
        with store_call():
            head = await asyncio.to_thread(self._head, name, HEAD_BYTES)
            size = summary_size(head)
            if size > len(head) == HEAD_BYTES:
                head = await asyncio.to_thread(self._head, name, size)
        return read_summary(head)

    async def stat(self, name: str) -> SegmentStat:
        """
        Return size and time of a segment.

        Raises:
            SegmentNotFound: the segment has been deleted.
            Unavailable: the store does not answer.
        """
        with store_call():
            metadata = await asyncio.to_thread(self._object_store.head, name)
        return SegmentStat(metadata["size"], round(metadata["last_modified"].timestamp() * 1000))

    async def delete(self, name: str) -> None:
        """
        Delete a segment.

        Raises:
            Unavailable: the segment may or may not have been deleted.
        """
        with store_call():
            await asyncio.to_thread(self._object_store.delete, name)

    def _directories(self) -> list[str]:
        topics = self._object_store.list_with_delimiter()["common_prefixes"]
        return [
            str(each)
            for topic in topics
            for each in self._object_store.list_with_delimiter(topic)["common_prefixes"]
        ]

    def _head(self, name: str, size: int) -> bytes:
        return bytes(self._object_store.get_range(name, start=0, length=size))


def open_store(url: str, *, create_directory: bool = False) -> SegmentStore:
    """
    Open the store at `url`: a path, file://…, s3://bucket/prefix, gs://…, az://….

    `create_directory`: create a local directory that does not exist. Credentials, region and
    endpoint are read from the environment, as each provider's own tools do (AWS_ACCESS_KEY_ID, …).

    Raises:
        CannotOpenStore: the URL is wrong, or a setting of its provider is missing.
        OSError: the local directory cannot be created.
    """
    directory = local_directory(url)
    try:
        if directory is not None:
            if create_directory:
                directory.mkdir(parents=True, exist_ok=True)
            object_store: Any = from_url(directory.resolve().as_uri())
            listing = DirectoryListing(directory)

            def create(name: str, content: bytes) -> None:
                create_file(directory, name, content)
                listing.created(name)

            return SegmentStore(object_store, create, listing)
        object_store = from_url(
            url,
            client_options={"timeout": f"{REQUEST_TIMEOUT_S:g}s", "allow_http": True},
            retry_config={"retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S)},
        )
    except (BaseError, ValueError) as error:
        raise CannotOpenStore(f"{public_url(url)}: {reason(error)}") from error
    return SegmentStore(
        object_store, partial(_create_object, object_store), BucketListing(object_store)
    )


def local_directory(url: str) -> Path | None:
    """Return the directory of a local store, None if `url` is that of an object store."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if "://" in url else Path(url)


def _create_object(object_store: ObjectStore, name: str, content: bytes) -> None:
    # One request: if the name is taken, a store refuses an upload in parts only at its last part.
    obstore.put(object_store, name, content, mode="create", use_multipart=False)
