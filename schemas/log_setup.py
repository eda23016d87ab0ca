"""Set up the log of a service: every line that it writes to stderr is an entry of the log."""

import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any, Literal

from schemas.log_lines import JsonLines, TextLines

log = logging.getLogger("process")


def log_format(env: Mapping[str, str]) -> Literal["json", "text"]:
    """Return the format in which faults of the settings are reported, before these are valid."""
    return "text" if env.get("HOOKLINE_LOG_FORMAT") == "text" else "json"


def log_to_stderr(form: Literal["json", "text"]) -> None:
    """Log to stderr, a line per entry; also warnings, and exceptions that no code handles."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level="INFO", handlers=[handler])
    # If stderr cannot be written, Python would try to write a traceback to it.
    logging.raiseExceptions = False
    logging.captureWarnings(True)  # noqa: FBT003 - Python's own signature
    sys.excepthook = _log_exception
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_exception_of_thread
    # The callers of aiokafka report its errors themselves; its own log would repeat them.
    # At DEBUG it would also contain passwords.
    logging.getLogger("aiokafka").setLevel("CRITICAL")


def _log_exception(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("the process ends because of a bug", exc_info=(kind, error, traceback))


def _log_exception_of_thread(caught: threading.ExceptHookArgs) -> None:
    thread = caught.thread.name if caught.thread else "unknown"
    log.critical("the thread %s ended because of a bug", thread, exc_info=caught.exc_value)


def _log_unraisable(caught: "sys.UnraisableHookArgs") -> None:
    log.error("an exception was ignored in %r", caught.object, exc_info=caught.exc_value)
