"""The formats of the log. An entry is always one line, whatever text it contains."""

import json
import logging
from datetime import UTC, datetime

from schemas.printable import printable, printable_json

# Of a message or a traceback, so many characters are logged.
LOG_CHARACTERS_MAX = 1 << 15


class TextLines(logging.Formatter):
    r"""Format an entry for people: time, level, logger, message, traceback; a line feed is \n."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        return printable(super().format(record), LOG_CHARACTERS_MAX)


class JsonLines(logging.Formatter):
    """Format an entry as a JSON object: time (RFC 3339, UTC), level, logger, message, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _bounded(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = _bounded(self.formatException(record.exc_info))
        # Not orjson: it cannot encode lone surrogates, which a callback can contain.
        return printable_json(json.dumps(entry))


def _bounded(text: str) -> str:
    omitted = len(text) - LOG_CHARACTERS_MAX
    return text if omitted <= 0 else f"{text[:LOG_CHARACTERS_MAX]}… ({omitted} more characters)"
