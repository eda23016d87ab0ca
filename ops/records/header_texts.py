"""A record's headers as texts."""

from collections.abc import Iterable, Mapping


def header_texts(headers: Iterable[tuple[str, bytes]]) -> Mapping[str, str]:
    """Return a record's headers as texts, as the archive has them."""
    return {
        name: value.decode("utf-8", "backslashreplace")
        for name, value in headers
        if value is not None
    }
