"""The type of options that name an age, such as `--older-than 90d`."""

import re
from datetime import timedelta
from typing import Any

import click


class Age(click.ParamType[timedelta]):
    """A number of days or hours, such as 90d, and at least `days_min` for a reason."""

    name = "age"

    def __init__(self, days_min: int, reason: str) -> None:
        self._days_min = days_min
        self._reason = reason

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return `value` as a duration."""
        parts = re.fullmatch(r"(\d{1,5})([dh])", str(value))
        if not parts:
            self.fail(f"{value!r} is neither days nor hours, such as 90d or 36h", param, ctx)
        number = int(parts[1])
        age = timedelta(days=number) if parts[2] == "d" else timedelta(hours=number)
        if age < timedelta(days=self._days_min):
            self.fail(f"must be at least {self._days_min}d, {self._reason}", param, ctx)
        return age
