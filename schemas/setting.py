"""
One setting: a field of a settings class.

The field's annotation has the type, the allowed values (a `Range`, a `Format` or a Literal's
values) and the description:

    port: Annotated[int, Range(1, 65535), "TCP port of the API."] = 8083
"""

import math
import socket
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from schemas.url_text import public_url

# What is shown in place of a secret.
SECRET_SHOWN = "***"  # noqa: S105 - the opposite of one


class Secret(str):
    """A value that logs, errors and tracebacks show as ***."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(SECRET_SHOWN)


@dataclass(frozen=True, slots=True)
class Range:
    """The bounds of a number, both included, and its unit. `high` None: there is no upper bound."""

    low: float
    high: float | None = None
    unit: str = ""

    def allows(self, value: float) -> bool:
        """Return whether `value` is inside the bounds."""
        return self.low <= value and (self.high is None or value <= self.high)

    def words(self, number: str) -> str:
        """Return the words that follow "must be"; `number` is the type in words."""
        number += f" of {self.unit}" if self.unit else ""
        low = sized(self.low, self.unit)
        if self.high is None:
            return f"{number}, at least {low}"
        return f"{number} from {low} to {sized(self.high, self.unit)}"


@dataclass(frozen=True, slots=True)
class Format:
    """The form of a text: in words that follow "must be", and as a check."""

    form: str
    allows: Callable[[str], object]

    def words(self, _: str) -> str:
        """Return the words that follow "must be"."""
        return self.form


def _can_listen(host: str) -> bool:
    """Return whether `host` is an address or a name that has one; the empty text is neither."""
    try:
        return bool(host and socket.getaddrinfo(host, 0, flags=socket.AI_PASSIVE))
    except (OSError, UnicodeError):
        return False


def is_sdkappid(text: str) -> bool:
    """Return whether the text can be that of a callback's SdkAppid, which is compared as text."""
    return text.isascii() and text.isdigit() and not text.startswith("0")


Port = Annotated[int, Range(1, 65535)]
# The address on which a port listens.
Host = Annotated[
    str, Format("an IP address or a host name that has one, without a port", _can_listen)
]
SdkAppid = Annotated[str, Format("a decimal number without leading zeros", is_sdkappid)]


@dataclass(frozen=True, slots=True)
class Setting:
    """The name of the variable, and the name, default and annotation of its field."""

    variable: str
    field: str
    default: Any
    annotation: Any

    @property
    def required(self) -> bool:
        """True if the variable must be set."""
        return self.default is MISSING

    @property
    def default_text(self) -> str:
        """The default as one would write it into the environment."""
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return "" if self.default is None else str(self.default)

    @property
    def unit(self) -> str:
        """The unit of a number, "" if it has none."""
        return next((m.unit for m in get_args(self.annotation) if isinstance(m, Range)), "")

    @property
    def allowed(self) -> str:
        """The allowed values, in words that follow "must be"."""
        return _words(self.annotation)

    @property
    def description(self) -> str:
        """The description, "" if the annotation has none."""
        return next((m for m in get_args(self.annotation)[1:] if isinstance(m, str)), "")

    def parse(self, text: str) -> Any:
        """
        Return the value that `text` means. It may still be outside the allowed range.

        Raises:
            ValueError: the setting's type has no such value.
        """
        return _parse(self.annotation, text)

    def allows(self, value: Any) -> bool:
        """Return whether `value` is in the allowed range or form."""
        return _allows(self.annotation, value)

    def fault(self, text: str) -> str:
        """Return the error for a value that is not allowed; it does not show a secret."""
        shown = "" if _is_secret(self.annotation) else f", not {public_url(text)!r:.100}"
        return f"{self.variable} must be {self.allowed}{shown}"


def sized(number: float, unit: str) -> str:
    """Return a number as text; a number of bytes also in KiB, MiB or GiB if it is a whole one."""
    if isinstance(number, int) and number and unit.startswith("bytes"):
        for name, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
            if number % (1 << shift) == 0:
                return f"{number} ({number >> shift} {name})"
    return str(number)


def _parse(kind: Any, text: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _parse(arguments[0], text)
    if origin is tuple:
        parts = (part.strip() for part in text.split(","))
        return tuple(_parse(arguments[0], part) for part in parts if part)
    if NoneType in arguments:
        return _parse(arguments[0], text) if text else None
    if origin is Literal:
        possible = text in arguments
        value: Any = text
    elif kind is bool:
        possible = text.lower() in ("true", "false")
        value = text.lower() == "true"
    else:
        value = kind(text)
        # Refuse nan and inf: a range check would not. No comparison with nan is true, and a range
        # may have no upper bound.
        possible = math.isfinite(value) if kind is float else kind is not Path or text != ""
    if not possible:
        raise ValueError(text)
    return value


def _allows(kind: Any, value: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return all(_allows(arguments[0], member) for member in value)
    if origin is not Annotated:
        return True
    limits = (mark for mark in arguments[1:] if isinstance(mark, Range | Format))
    return _allows(arguments[0], value) and all(limit.allows(value) for limit in limits)


WORDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = (mark for mark in arguments[1:] if isinstance(mark, Range | Format))
        words = _words(arguments[0])
        return next((limit.words(words) for limit in limits), words)
    if origin is tuple:
        return f"values separated by commas, each {_words(arguments[0])}"
    if origin is Literal:
        *others, last = arguments
        return f"{', '.join(others)} or {last}"
    if NoneType in arguments:
        return f"{_words(arguments[0])}, or empty"
    return WORDS.get(kind, "text")


def _is_secret(kind: Any) -> bool:
    return kind is Secret or any(_is_secret(argument) for argument in get_args(kind))
