"""Store every callback as one line of one segment, permanently."""

from consumers.archive.consumer import ARCHIVE

__all__ = ["ARCHIVE"]
