"""Sizes as texts that are the same in every language."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(size: float) -> str:
    """Return a size in bytes with two or three digits, such as `1.2 GiB` or `340 MiB`."""
    for unit in _UNITS:
        if size < 999.5 or unit == _UNITS[-1]:
            return f"{size:.1f} {unit}" if size < 9.95 and unit != "B" else f"{size:.0f} {unit}"
        size /= 1024
    raise AssertionError(size)
