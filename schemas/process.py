"""What every process does in the same way: stop on signals, log, make files durable."""

import asyncio
import json
import logging
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from schemas.settings import Shared


def stop_on_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set. Call it on the running loop."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    return stop


def log_to_stderr(shared: Shared) -> None:
    """Log to stderr from the configured level on, in the configured form, one line an entry."""
    handler = logging.StreamHandler()
    if shared.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=shared.log_level, handlers=[handler])
    # What aiokafka meets its callers say, once and in one line.
    logging.getLogger("aiokafka").setLevel("CRITICAL")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, and any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        # Not orjson: it refuses the lone surrogates that a peer can put into a message.
        return json.dumps(entry)


def sync_directory(directory: Path) -> None:
    """Return when the names in `directory` are on disk (fsync)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
