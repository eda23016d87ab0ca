"""A number with its noun, for people."""


def counted(number: float, noun: str) -> str:
    """Return a number with its noun, such as `1 process`, `2 processes` or `12,000 callbacks`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,.0f} {noun}{'es' if noun.endswith('s') else 's'}"
