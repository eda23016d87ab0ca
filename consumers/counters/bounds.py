"""The bounds of what is counted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long counts are kept, in seconds, and how much is counted exactly: see COUNTERS_*."""

    remember_s: int
    keep_minutes_s: int
    keep_quarters_s: int
    keep_days_s: int
    people_exact_max: int
    conversations_max: int
