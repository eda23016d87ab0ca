"""The formats of the log. An entry is always one line, whatever text it contains."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from schemas.printable import printable, printable_json

# Of a message or a traceback, so many characters are logged.
LOG_CHARACTERS_MAX = 1 << 15


class TextLines(logging.Formatter):
    """Format an entry for people: time, level, logger, message, traceback, fields; on one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        fields = "".join(f" {name}={json.dumps(value)}" for name, value in _fields(record).items())
        return printable(super().format(record) + fields, LOG_CHARACTERS_MAX)


class JsonLines(logging.Formatter):
    """
    Format an entry as a JSON object: time (RFC 3339, UTC), level, logger, message, traceback.

    The values of `extra={"fields": {…}}` follow under their own names.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _bounded(_message(record)),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = _bounded(self.formatException(record.exc_info))
        # Not orjson: it cannot encode lone surrogates, which a callback can contain.
        return printable_json(json.dumps(entry))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A library's message does not fit its arguments. An exception would lose the entry.
        return f"{record.msg} {record.args!r}"


def _bounded(text: str) -> str:
    omitted = len(text) - LOG_CHARACTERS_MAX
    return text if omitted <= 0 else f"{text[:LOG_CHARACTERS_MAX]}… ({omitted} more characters)"
