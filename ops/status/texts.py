"""Numbers as short texts for the screen."""

from consumers.stats.sizes import size_text

UNKNOWN = "-"
# A longer time is not shown in full.
LONGEST_S = 10 * 365 * 86400.0
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float | None) -> str:
    """Return an age or a time left, such as `0.4 s`, `41 s`, `12 min`, `41 h` or `6 d`."""
    if seconds is None:
        return UNKNOWN
    if seconds > LONGEST_S:
        return f"> {LONGEST_S / 86400 / 365:.0f} y"
    for unit_s, name in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{int(seconds // unit_s)} {name}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def per_second(number: float | None) -> str:
    """Return a rate, such as `0.4/s` or `132/s`."""
    if number is None:
        return UNKNOWN
    return f"{number:.1f}/s" if 0 < number < 9.95 else f"{number:.0f}/s"


def size(number: float | None) -> str:
    """Return a size in bytes, such as `1.2 GiB`."""
    return UNKNOWN if number is None else size_text(number)
