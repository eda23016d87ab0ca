"""Read the time of day, and write it."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def rfc3339(at_s: float) -> str:
    """Return a Unix time in seconds as text, like 2026-11-28T14:00:00.000Z."""
    return f"{datetime.fromtimestamp(at_s, UTC).isoformat(timespec='milliseconds')[:-6]}Z"
