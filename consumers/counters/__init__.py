"""Count messages and people in Valkey as their callbacks arrive."""

from consumers.counters.consumer import COUNTERS

__all__ = ["COUNTERS"]
