"""The bounds of what is counted."""

from dataclasses import dataclass

# The longest time for which counts can be kept: ten years of 365 days.
KEEP_S_MAX = 10 * 365 * 24 * 3600
# A month of counts of days expires as a whole: so the last 30 days are always there.
KEEP_DAYS_S_MIN = 62 * 24 * 3600
# By default, how long counts are kept. The statistics API reads it from Valkey (keep_times.py).
KEEP_MINUTES_S = 90 * 24 * 3600
KEEP_QUARTERS_S = 40 * 24 * 3600
# By default, up to how many people a number of people is exact. The API reads this there, too.
PEOPLE_EXACT_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long counts are kept, in seconds, and how much is counted exactly: see COUNTERS_*."""

    remember_s: int
    keep_minutes_s: int
    keep_quarters_s: int
    keep_days_s: int
    people_exact_max: int
    conversations_max: int
