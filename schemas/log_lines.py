"""The formats of the log. An entry is one line, without secrets of URLs, whatever it contains."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from schemas.printable import printable, printable_json
from schemas.url_text import without_url_secrets

# Of a message or a traceback, so many characters are logged.
LOG_CHARACTERS_MAX = 1 << 15


class TextLines(logging.Formatter):
    """Format an entry for people: time, level, logger, message, traceback, fields; on one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        fields = "".join(f" {name}={json.dumps(value)}" for name, value in _fields(record).items())
        line = without_url_secrets(super().format(record)) + fields
        return printable(line, LOG_CHARACTERS_MAX)


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
            "message": _shown(_message(record)),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = _shown(self.formatException(record.exc_info))
        # Not orjson: it cannot encode lone surrogates, which a callback can contain.
        return printable_json(json.dumps(entry))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return {name: _public(value) for name, value in fields.items()}


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _public(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_public(each) for each in value]
    return without_url_secrets(value) if isinstance(value, str) else value


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A library's message does not fit its arguments. An exception would lose the entry.
        return f"{record.msg} {record.args!r}"


def _shown(text: str) -> str:
    text = without_url_secrets(text)
    note = f"… ({len(text) - LOG_CHARACTERS_MAX} more characters)"
    is_short = len(text) <= LOG_CHARACTERS_MAX + len(note)
    return text if is_short else text[:LOG_CHARACTERS_MAX] + note
