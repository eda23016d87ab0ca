"""Messages and people, counted live in Valkey."""

from consumers.counters.consumer import COUNTERS

__all__ = ["COUNTERS"]
