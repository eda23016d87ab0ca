"""The statements that find rows of the database for a question. Does no I/O."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from consumers.sync.queryable import column_text
from ops.find.question import Question
from ops.records.time_range import TimeRange, hour_of

# Longer accounts are in the tables as their digest (consumers/sync/migrations/0002.sql).
NAME_BYTES_MAX = 512
NAMED_MAX = 128
_COMMON = (
    "ce_id, sdkappid, command, sender, recipient, group_id, received_at, {sent_at} as sent_at,"
    " coalesce(raw, convert_to(body::text, 'UTF8')) as body, '{table}' as table_name"
)
_SELECT = {
    table: f"select {_COMMON.format(sent_at=sent_at, table=table)} from hookline.{table}"  # noqa: S608 - constants
    for table, sent_at in (("messages", "sent_at"), ("events", "null::timestamptz"))
}
_OF_PLACE = (
    "ce_id in (select ce_id from hookline.receipts where origin = %(o)s and sequence = %(n)s)"
)


def row_ranges(question: Question, time_range: TimeRange | None) -> list[TimeRange | None]:
    """
    Return the ranges of `received_at` to search until a row is found; None for all rows.

    No index finds a message by its key, but one finds the rows of an hour.
    """
    if time_range is None or question.ce_id or question.place:
        return [None]
    hour = hour_of(question.sent_at or time_range.since) + timedelta(hours=1)
    if question.is_list or not time_range.since < hour < time_range.until:
        return [time_range]
    return [TimeRange(since=time_range.since, until=hour), time_range]


def row_statements(
    question: Question, part: TimeRange | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the statements that together find all rows, with their values."""
    values: dict[str, Any] = {"app": question.app}
    app = " and sdkappid = %(app)s" if question.app else ""
    if question.ce_id:
        values["id"] = question.ce_id
        conditions = ("ce_id = %(id)s",) * 2
    elif question.place:
        values["o"], values["n"] = question.place
        conditions = (_OF_PLACE,) * 2
    else:
        conditions = _conditions(question, values)
        if part is not None:
            values |= {"since": part.since, "until": part.until}
            app += " and received_at >= %(since)s and received_at < %(until)s"
    of_messages, of_events = conditions
    return [
        (f"{_SELECT['messages']} where ({of_messages}){app}", values),
        (f"{_SELECT['events']} where ({of_events}){app}", values),
    ]


def _conditions(question: Question, values: dict[str, Any]) -> tuple[str, str]:
    both: list[str] = []
    messages: list[str] = []
    events: list[str] = []
    if question.message is not None:
        messages.append(_of_message(question, values))
        events.append(
            "left(coalesce(body ->> 'MsgKey', body ->> 'MsgID'), 128) = %(name)s"
            " or body ->> 'MsgId' = %(key)s or body ->> 'MsgID' = %(key)s"
        )
    for number, account in enumerate(question.accounts):
        values[f"account{number}"] = _bounded(account)
    if len(question.accounts) == 2:
        both.append(
            "(sender = %(account0)s and recipient = %(account1)s)"
            " or (sender = %(account1)s and recipient = %(account0)s)"
        )
    elif question.accounts:
        both.append("sender = %(account0)s or recipient = %(account0)s")
    if question.group is not None:
        values["group"] = _bounded(question.group)
        both.append("group_id = %(group)s")
    if question.at is not None:
        values |= {"at_since": question.at.since, "at_until": question.at.until}
        both.append("received_at >= %(at_since)s and received_at < %(at_until)s")
    return (
        " and ".join(f"({each})" for each in messages + both) or "true",
        " and ".join(f"({each})" for each in events + both) or "true",
    )


def _of_message(question: Question, values: dict[str, Any]) -> str:
    message = column_text(question.message or "")
    values |= {"key": message, "name": (message or "")[:NAMED_MAX]}
    condition = "message_key = %(key)s or message_id = %(key)s or body ->> 'MsgID' = %(key)s"
    if question.message_numbers is None:
        return condition
    values |= dict(zip(("seq", "random", "time"), question.message_numbers, strict=True))
    return (
        f"{condition} or (message_seq = %(seq)s and message_random = %(random)s"
        " and body ->> 'MsgTime' = %(time)s::text)"
    )


def _bounded(account: str) -> str:
    text = column_text(account) or ""
    octets = text.encode("utf-8", "backslashreplace")
    if len(octets) <= NAME_BYTES_MAX:
        return text
    return f"sha256:{hashlib.sha256(octets).hexdigest()}"
