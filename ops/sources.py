"""Where an audit reads, and the ways in which a source may fail it."""

from dataclasses import dataclass


class NotAudited(Exception):
    """Something that the proof needs cannot be read, now or later; the text says what."""


class Unread(Exception):
    """A source does not answer now; the text says which. Waiting may help."""


class Changed(Exception):
    """A source lost something while it was read; all must be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is read; `archive` is a URL or a path. A sink that is None is not audited."""

    bootstrap_servers: str
    archive: str
    postgres: str | None = None
    stats: str | None = None
