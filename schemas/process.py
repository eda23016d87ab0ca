"""What every process does in the same way: stop on signals, log, make files durable."""

import asyncio
import logging
import os
import signal
from pathlib import Path

from schemas.settings import Shared


def stop_on_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set. Call it on the running loop."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    return stop


def log_to_stderr(shared: Shared) -> None:
    """Log lines of text to stderr, from the configured level on."""
    logging.basicConfig(
        level=shared.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # What aiokafka meets its callers say, once and in one line.
    logging.getLogger("aiokafka").setLevel("CRITICAL")


def sync_directory(directory: Path) -> None:
    """Return when the names in `directory` are on disk (fsync)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
