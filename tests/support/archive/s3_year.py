"""Run an S3 API server (moto) whose bucket holds one year of an archive, computed on request."""

import heapq
import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from moto.s3 import models
from moto.s3.responses import S3Response
from moto.s3.utils import _VersionedKeyStore
from support.archive import year_of_names
from support.archive.s3_server import REGION, serve

ROOT = "an/archive/"


class Keys(_VersionedKeyStore):
    """A bucket's objects; an object of the year is computed on request."""

    def __missing__(self, key: str) -> list[models.FakeKey]:
        """Return an object of the year."""
        content = year_of_names.content_of(key.removeprefix(ROOT))
        if content is None or not key.startswith(ROOT):
            raise KeyError(key)
        return [_object(key, content)]

    def __contains__(self, key: object) -> bool:
        """Return whether the object exists."""
        try:
            return bool(self[str(key)])
        except KeyError:
            return False


def _object(key: str, content: bytes) -> models.FakeKey:
    return models.FakeKey(key, content, account_id="123456789012", region_name=REGION)


def list_objects_v2(response: S3Response) -> tuple[int, dict[str, str], str]:
    """
    Answer a list request in place of moto, which takes half a second for a thousand names.

    List the names after `start-after` or the continuation token in lexicographic order, at most
    `max-keys`.
    """
    query = {name: values[0] for name, values in response.querystring.items()}
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    page_max = int(query.get("max-keys", 1000))
    written = sorted(dict.keys(response.backend.get_bucket(response.bucket_name).keys))
    # The year of one partition has at most one common prefix.
    year: Iterable[str] = (
        (year_of_names.name(number, 0) for number in range(year_of_names.PARTITIONS))
        if delimiter
        else _year_after(prefix, after)
    )
    names: Iterator[str] = (
        each
        for each in heapq.merge(written, (ROOT + name for name in year))
        if each.startswith(prefix) and each > after
    )
    if delimiter:
        parts = (each.removeprefix(prefix).partition(delimiter) for each in names)
        names = iter(sorted({prefix + first + cut for first, cut, _ in parts}))
    page = list(itertools.islice(names, page_max + 1))
    listed = page[:page_max]
    more = len(page) > page_max
    return 200, {"Content-Type": "application/xml"}, _xml(listed, delimiter, more=more)


def _xml(listed: list[str], delimiter: str, *, more: bool) -> str:
    contents = (
        f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>"
        if delimiter and each.endswith(delimiter)
        else f"<Contents><Key>{each}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"0"</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>'
        for each in listed
    )
    token = f"<NextContinuationToken>{listed[-1]}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>year</Name><KeyCount>{len(listed)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(contents)}"
        "</ListBucketResult>"
    )


def _year_after(prefix: str, after: str) -> Iterable[str]:
    number = prefix.removeprefix(ROOT).strip("/").rpartition("/")[2]
    if number.isdecimal():
        inside = int(number) < year_of_names.PARTITIONS
        return year_of_names.names_after(int(number), after.removeprefix(ROOT)) if inside else ()
    return year_of_names.all_after(after.removeprefix(ROOT))


def make_with_year(bucket: models.FakeBucket, *arguments: Any, **named: Any) -> None:
    """Create a bucket that holds the year."""
    make(bucket, *arguments, **named)
    bucket.keys = Keys()


if __name__ == "__main__":
    make = models.FakeBucket.__init__
    models.FakeBucket.__init__ = make_with_year  # type: ignore[assignment, method-assign]
    S3Response.list_objects_v2 = list_objects_v2  # type: ignore[method-assign, assignment]
    serve(int(sys.argv[1]))
