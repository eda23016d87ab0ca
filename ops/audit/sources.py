"""The sources that an audit reads, and the ways in which they fail."""

from dataclasses import dataclass

from ops.failure import Failure


class NotAudited(Failure):
    """A source that the proof needs cannot be read, now or later; the text names it."""


class Unread(Exception):
    """A source does not answer now; the text says which. Waiting may help."""


class Changed(Exception):
    """A source lost data while it was read; all sources must be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The sources; `archive` is a URL or a path. A sink that is None is not audited."""

    bootstrap_servers: str
    archive: str
    postgres: str | None = None
    stats: str | None = None
