"""Write every callback to a PostgreSQL database, once, for other systems to query."""

from consumers.sync.consumer import SYNC

__all__ = ["SYNC"]
