"""Turn a batch into rows of the database's tables; consumers/sync/migrations define the columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from typing import Any

from consumers.runtime.callbacks import Callback
from consumers.sync.message_columns import CONTENT_COLUMNS, content_columns
from consumers.sync.queryable import column_text, queryable
from schemas.body import to_text
from schemas.body_fields import MESSAGE_COMMANDS, integer, sent_at
from schemas.identity import message_random
from schemas.parties import parties

RECEIPT_COLUMNS = ("origin", "sequence", "ce_id", "received_at")
EVENT_COLUMNS = (
    *("ce_id", "sdkappid", "command", "sender", "recipient", "group_id"),
    *("received_at", "client_ip", "platform"),
    *("body", "altered", "raw", "body_sha256"),
)
MESSAGE_COLUMNS = (
    *EVENT_COLUMNS,
    *("sent_at", "message_seq", "message_random", "message_key", "result"),
    *CONTENT_COLUMNS,
)

# A row's values in the order of its table's columns.
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a batch adds to each table."""

    receipts: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)

    def columns(self) -> Mapping[str, list[Any]]:
        """Return every column's values under `table.column`, as apply.sql names them."""
        by_name: dict[str, list[Any]] = {}
        for table, columns, rows in (
            ("receipts", RECEIPT_COLUMNS, self.receipts),
            ("messages", MESSAGE_COLUMNS, self.messages),
            ("events", EVENT_COLUMNS, self.events),
        ):
            values = zip(*rows, strict=True) if rows else repeat(())
            for column, column_values in zip(columns, values, strict=False):
                by_name[f"{table}.{column}"] = list(column_values)
        return by_name


def rows(callbacks: Iterable[Callback]) -> Rows:
    """Return the rows of `callbacks`: a receipt for each, and its row in messages or events."""
    result = Rows()
    for callback in callbacks:
        record, ce_id = callback.record, column_text(callback.record.id)
        result.receipts.append(
            (column_text(record.origin), record.sequence, ce_id, record.received_at)
        )
        if record.command in MESSAGE_COMMANDS:
            result.messages.append(_common_values(callback, ce_id) + _message_values(callback))
        else:
            result.events.append(_common_values(callback, ce_id))
    return result


def _common_values(callback: Callback, ce_id: str | None) -> Row:
    record, people = callback.record, parties(callback.document)
    body = queryable(record.body, callback.document)
    return (
        ce_id,
        column_text(record.sdkappid),
        column_text(record.command),
        column_text(people.sender),
        column_text(people.recipient),
        column_text(people.group),
        record.received_at,
        column_text(record.client_ip),
        column_text(record.opt_platform),
        body.text,
        body.altered,
        record.body if body.altered else None,
        sha256(record.body).digest(),
    )


def _message_values(callback: Callback) -> Row:
    document = callback.document
    return (
        sent_at(document),
        integer(document.get("MsgSeq")),
        integer(message_random(document)),
        column_text(to_text(document.get("MsgKey"))),
        integer(document.get("SendMsgResult")),
        *content_columns(document),
    )
