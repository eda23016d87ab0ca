"""
Read the parameters of a request.

An unknown or repeated parameter is refused, because it is usually a typing error.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from consumers.stats.problems import RequestRefused, refused_parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """
    One parameter. `bound` is what it must be, in words, and `schema` the same as JSON Schema.

    `parse` raises ValueError for a text that is not allowed.
    """

    name: str
    description: str
    bound: str
    schema: Mapping[str, Any]
    example: str
    parse: Callable[[str], Any]


def read(query: MultiMapping[str], parameters: Iterable[Parameter], path: str) -> dict[str, Any]:
    """
    Return the value of each parameter in the query; those that are absent are absent.

    Raises:
        RequestRefused: a parameter is unknown, comes twice, or is not allowed.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name not in known:
            raise _unknown(name, known, path)
        if name in values:
            raise RequestRefused(
                400, f"{name} is given twice; give it once", parameter=name, bound="given once"
            )
        try:
            values[name] = known[name].parse(text)
        except (ValueError, OverflowError):
            raise refused_parameter(name, text, known[name].bound) from None
    return values


def _unknown(name: str, known: Iterable[str], path: str) -> RequestRefused:
    names = ", ".join(sorted(known)) or "none"
    shown = name if len(name) <= 40 else name[:40] + "…"
    return RequestRefused(
        400,
        f"{path} has no parameter {shown!r}; it has: {names}",
        parameter=shown,
        bound=f"one of: {names}",
    )
