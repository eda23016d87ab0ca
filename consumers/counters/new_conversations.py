"""The part of the input of apply.lua with the conversations that are new in a batch."""

from typing import Any

from consumers.counters import layout
from consumers.counters.batch_windows import BatchWindows, Minute
from consumers.counters.bounds import Bounds
from consumers.counters.hashes import Hashes
from schemas.figures import NEW_CONVERSATIONS


def new_conversations(
    generation: int, bounds: Bounds, hashes: Hashes, windows: BatchWindows
) -> tuple[list[list[tuple[str, str]]], list[tuple[Any, ...]]]:
    """
    Return the fields of NEW_CONVERSATIONS of each minute, and the conversations of each app.

    Each conversation comes with the number, from 1 on, of its minute's fields in the first list.
    """
    fields: list[list[tuple[str, str]]] = []
    by_app: dict[str, tuple[list[str], list[int], int]] = {}
    for (app, number), minute in windows.minutes.items():
        if not minute.new_conversations:
            continue
        fields.append(_fields(generation, minute))
        conversations, field_numbers, at_s = by_app.get(app, ([], [], number * layout.MINUTE_S))
        for conversation in minute.new_conversations:
            conversations.append(hashes.of(_text(conversation)))
            field_numbers.append(len(fields))
        by_app[app] = (conversations, field_numbers, min(at_s, number * layout.MINUTE_S))
    return fields, [
        (
            layout.conversations(generation, app),
            conversations,
            field_numbers,
            bounds.conversations_max,
            layout.totals(generation, app),
            layout.UNCOUNTED + NEW_CONVERSATIONS,
            at_s,
        )
        for app, (conversations, field_numbers, at_s) in by_app.items()
    ]


def _fields(generation: int, minute: Minute) -> list[tuple[str, str]]:
    """Return key and field of NEW_CONVERSATIONS in each window of a minute."""
    app, number = minute.app, minute.number
    quarter, date = minute.quarter.number, minute.quarter.day.date
    return [
        (
            layout.minutes_of_hour(generation, app, number),
            layout.minute_field(number, NEW_CONVERSATIONS),
        ),
        (
            layout.quarters_of_day(generation, app, quarter),
            layout.quarter_field(quarter, NEW_CONVERSATIONS),
        ),
        (layout.days_of_month(generation, app, date), layout.day_field(date, NEW_CONVERSATIONS)),
        (layout.totals(generation, app), NEW_CONVERSATIONS),
    ]


def _text(conversation: tuple[str, ...]) -> bytes:
    # The length keeps ("a/b", "c") and ("a", "b/c") apart, the number of names pairs and groups.
    return f"{len(conversation)}/{len(conversation[0])}/{'/'.join(conversation)}".encode()
