"""Make counters with short bounds, for tests."""

from typing import Any

from consumers.counters.bounds import Bounds
from consumers.counters.counts import CountersHandler
from consumers.counters.zones import Zones
from schemas.setting import Secret

SHORT: dict[str, Any] = {
    "remember_s": 3600,
    "keep_minutes_s": 7200,
    "keep_quarters_s": 7200,
    "keep_days_s": 86400,
    "people_exact_max": 1000,
    "conversations_max": 1000,
}
# So long that nothing of a test expires.
LONG: dict[str, Any] = {
    "keep_minutes_s": 1 << 30,
    "keep_quarters_s": 1 << 30,
    "keep_days_s": 1 << 30,
}


def counting(url: str, *, zones: Zones | None = None, **bounds: int) -> CountersHandler:
    """Return counters in the Valkey at `url`, by default with days of Shanghai."""
    return CountersHandler(Secret(url), Bounds(**(SHORT | bounds)), zones or Zones("Asia/Shanghai"))
