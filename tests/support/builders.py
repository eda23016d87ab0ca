"""Build callbacks, records, batches and a public port, with defaults for unspecified values."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from consumers.runtime.batch import Batch, Partition, Position, Record
from ingress.authenticator import Authenticator
from ingress.http.failure_log import FailureLog
from ingress.http.receiver import Receiver
from ingress.http.server import PublicServer
from ingress.settings import IngressSettings
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from ingress.spool.row import Row
from ingress.spool.spool import Spool
from schemas import outgoing_record as wire
from schemas.callback_record import place

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.json"))
APP = "1400000001"
P0 = Partition("tim.callbacks.v1", 0)
P1 = Partition("tim.callbacks.v1", 1)

# Values of MsgTime as a sender with a broken clock may write them.
MAD_TIMES: list[Any] = [
    *(0, -1, -(10**12), 10**17, 10**18, 10**30, 2_556_144_000, "2556144000", "tomorrow", ""),
    *(1764688415.5, 1e300, True, None, [1764688415], {"s": 1}),
]


def a_body(**fields: Any) -> bytes:
    """Return the body of a C2C message; `fields` replace its fields or add to them."""
    document = {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": "jared",
        "To_Account": "Jonh",
        "MsgKey": "48374_2837546_1557481126",
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "red packet"}}],
    }
    return json.dumps(document | fields).encode()


def a_callback(
    body: bytes | None = None, *, command: str = "", **fields: Any
) -> wire.ReceivedCallback:
    """Return a callback with `command` in its URL; `fields` replace its other attributes."""
    values: dict[str, Any] = {
        "sdkappid": APP,
        "url_command": command,
        "client_ip": "10.1.2.3",
        "opt_platform": "iOS",
        "received_at_ms": 1_700_000_000_123,
        "body": a_body() if body is None else body,
    }
    return wire.ReceivedCallback(**(values | fields))


def a_wire_record(number: int = 1, value: bytes | None = None) -> wire.OutgoingRecord:
    """Return a record as the ingress puts it into the spool."""
    body = a_body(MsgKey=f"key-{number}") if value is None else value
    return wire.main_topic_record(a_callback(body))


async def store(async_spool: AsyncSpool, record: wire.OutgoingRecord, received_at_ms: int) -> None:
    """Return once `record` is on disk; raises LimitReached or DiskFailed if it is not."""
    on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_commit(failure: Exception | None) -> None:
        if failure:
            on_disk.set_exception(failure)
        else:
            on_disk.set_result(None)

    async_spool.put(record, received_at_ms, on_commit)
    await on_disk


def headers_of(record: wire.OutgoingRecord) -> dict[str, str]:
    """Return a record's headers as text."""
    return {name: value.decode() for name, value in record.headers}


def a_record(offset: int, *, timestamp_ms: int = 1_700_000_000_000, value: bytes = b"{}") -> Record:
    """Return a record as a consumer sees it."""
    headers = (
        ("ce_id", b"%032x" % offset),
        ("ce_origin", b"o" * 16),
        ("ce_sequence", b"%d" % offset),
    )
    return Record(offset, timestamp_ms, b"key", value, headers)


def a_stored_record(
    offset: int, body: bytes | None = None, *, origin: str = "o" * 16, **fields: Any
) -> Record:
    """Return a record as a consumer sees it, with all headers and a body that has the offset."""
    callback = a_callback(a_body(MsgKey=f"key-{offset}") if body is None else body, **fields)
    made = wire.main_topic_record(callback)
    headers = tuple(wire.with_place_and_id(made.headers, origin, offset + 1))
    return Record(offset, callback.received_at_ms, made.key, made.value, headers)


def a_stored_batch(
    *records: Record, begins_at: int | None = None, next_offset: int | None = None
) -> Batch:
    """Return a batch of `records`, which may begin before the first and end after the last."""
    return Batch(
        partition=P0,
        begins_at=records[0].offset if begins_at is None else begins_at,
        reached=reached(records, next_offset=next_offset),
        records=records,
    )


def reached(
    records: Sequence[Record], *, next_offset: int | None = None, topic_id: str | None = None
) -> Position:
    """Return the position after `records`."""
    last = records[-1]
    return Position(
        last.offset + 1 if next_offset is None else next_offset,
        (last.offset, *place(last.headers)),
        topic_id,
    )


def all_rejected(batch: Batch) -> Batch:
    """Return `batch` as a handler gets it once all its records are in the dead-letter topic."""
    return replace(batch, records=())


def a_batch(*offsets: int, partition: Partition = P0) -> Batch:
    """Return a batch of records at `offsets`."""
    records = tuple(a_record(offset) for offset in offsets)
    return Batch(
        partition=partition, begins_at=offsets[0], reached=reached(records), records=records
    )


def ingress_settings(directory: Path, **fields: Any) -> IngressSettings:
    """Return settings of an ingress whose spools are in `directory`."""
    values: dict[str, Any] = {"sdkappids": (APP,), "spool_dir": directory, "path": "/callback"}
    return IngressSettings(**(values | fields))


class PublicPort:
    """An ingress's public port on the loopback interface, and its spool."""

    def __init__(self, server: PublicServer, spool: Spool, address: tuple[str, int]) -> None:
        self.server = server
        self.spool = spool
        self.host, self.port = address
        self.url = f"http://{self.host}:{self.port}"

    def stored(self) -> list[Row]:
        """Return the rows in the spool."""
        return self.spool.rows_after(0, rows_max=10_000, bytes_max=1 << 30)


@asynccontextmanager
async def public_port(
    directory: Path,
    *,
    body_bytes_max: int = 1 << 20,
    spool_bytes_max: int = 1 << 20,
    **fields: Any,
) -> AsyncIterator[PublicPort]:
    """Yield a public port with a real spool in `directory`; `fields` are settings."""
    settings = ingress_settings(directory, **fields)
    spool = hold_any(directory, bytes_max=spool_bytes_max)
    async_spool = AsyncSpool(spool, pending_rows_max=100, pending_bytes_max=1 << 20)
    authenticator = Authenticator(
        settings.sdkappids, settings.tokens_file, sign_window_s=settings.sign_window_s
    )
    server = PublicServer(
        Receiver(async_spool, authenticator, path=settings.path),
        FailureLog(),
        settings,
        body_bytes_max=body_bytes_max,
    )
    address = await server.listen("127.0.0.1", 0)
    closing_the_late = asyncio.create_task(server.close_late_connections())
    try:
        yield PublicPort(server, spool, address)
    finally:
        closing_the_late.cancel()
        server.close()
        await async_spool.stop()
        async_spool.close()
