"""Answers as CSV (RFC 4180): one line of names, then a line for each row."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from consumers.stats import answers

CONTENT_TYPE = "text/csv"
_FIGURES = answers.Figures.__struct_fields__
_PEOPLE = answers.People.__struct_fields__
_COUNTED = (
    *_FIGURES,
    *(name for figure in _PEOPLE for name in (f"{figure}_people", f"{figure}_error")),
)


def as_csv(answer: Any) -> str:
    """Return an answer of a route that has CSV. A number that is not known is empty."""
    if isinstance(answer, answers.Series):
        return _lines(
            ("begin", "end", *_COUNTED),
            ((row.begin, row.end, *_counted(row)) for row in answer.rows),
        )
    if isinstance(answer, answers.SeriesBy):
        names = sorted({name for row in answer.rows for name in row.by})
        return _lines(
            ("begin", "end", *names),
            ((row.begin, row.end, *(row.by.get(name, 0) for name in names)) for row in answer.rows),
        )
    if isinstance(answer, answers.Summary):
        periods = {
            name: value
            for name, value in msgspec.structs.asdict(answer).items()
            if isinstance(value, answers.Period)
        }
        return _lines(
            ("period", "begin", "end", "people_until", *_COUNTED),
            (
                (name, period.begin, period.end, period.people_until, *_counted(period))
                for name, period in periods.items()
            ),
        )
    if isinstance(answer, answers.Apps):
        return _lines(answers.App.__struct_fields__, map(msgspec.structs.astuple, answer.apps))
    return _lines(answer.__struct_encode_fields__, [msgspec.structs.astuple(answer)])


def _counted(row: answers.SeriesRow | answers.Period) -> list[Any]:
    values = list(msgspec.structs.astuple(row.figures))
    for figure in _PEOPLE:
        count = getattr(row.people, figure)
        values += ["", ""] if count is None else [count.value, count.error]
    return values


def _lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_text(value) for value in row] for row in rows)
    return text.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
