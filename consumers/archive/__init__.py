"""Every callback in exactly one line of exactly one segment, for ever."""

from consumers.archive.consumer import ARCHIVE

__all__ = ["ARCHIVE"]
