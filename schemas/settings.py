"""
Settings come from the environment, once, and every fault is reported at once.

A process knows `HOOKLINE_*` and its own prefix. A variable with one of these prefixes that no
setting has is a fault: it is a typing error more often than not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints


class Settings(Protocol):
    """
    A frozen dataclass of settings; its docstring heads them in `--help`.

    Relations between fields are reported by `faults`. A class with none may inherit this one.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together, in plain words."""
        yield from ()


class Faults(Exception):
    """Settings that cannot be used; `args` are the faults, one sentence each."""

    def __str__(self) -> str:
        return "\n".join(f"  - {fault}" for fault in self.args)


class Secret(str):
    """A setting that logs and tracebacks show as ***."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


# The largest bound that a body can be given.
BODY_BYTES_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """HOOKLINE_*: what every process must agree on."""

    bootstrap_servers: str = "127.0.0.1:9092"
    body_bytes_max: int = 1 << 20
    log_level: str = "INFO"
    log_format: str = "json"

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not 1 << 10 <= self.body_bytes_max <= BODY_BYTES_LIMIT:
            yield "HOOKLINE_BODY_BYTES_MAX must be from 1024 (1 KiB) to 16777216 (16 MiB)"
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            yield "HOOKLINE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR"
        if self.log_format not in ("json", "text"):
            yield "HOOKLINE_LOG_FORMAT must be json or text"


SHARED_PREFIX = "HOOKLINE_"
Own = TypeVar("Own", bound=Settings)


def read(own: type[Own], prefix: str, env: Mapping[str, str]) -> tuple[Shared, Own]:
    """
    Return the shared settings and a process's own ones, which begin with `prefix`.

    Raises:
        Faults: with everything that is wrong, not only the first.
    """
    faults: list[str] = []
    shared = read_one(Shared, SHARED_PREFIX, env, faults)
    mine = read_one(own, prefix, env, faults)
    if faults or shared is None or mine is None:
        raise Faults(*faults)
    return shared, mine


def listed(own: type[Settings], prefix: str) -> str:
    """Return the settings that a process knows, a line each, with their defaults."""
    return f"{listed_one(own, prefix)}\n{listed_one(Shared, SHARED_PREFIX)}"


def listed_one(settings: type[Settings], prefix: str) -> str:
    """Return the settings of one prefix, a line each, with their defaults."""
    lines = [
        f"  {prefix}{field.name.upper()}"
        + (", must be set" if field.default is MISSING else f"={_shown(field.default)}")
        for field in fields(settings)
    ]
    return "\n".join(lines)


def _shown(default: object) -> str:
    return "" if default is None or default == () else str(default)


def read_one(
    settings: type[Own], prefix: str, env: Mapping[str, str], faults: list[str]
) -> Own | None:
    """Return the settings of one prefix; None with what is wrong added to `faults`."""
    known = {prefix + field.name.upper(): field for field in fields(settings)}
    hints = get_type_hints(settings)
    faults.extend(
        f"{name} is no setting; there are {', '.join(sorted(known))}"
        for name in sorted(set(env) - set(known))
        if name.startswith(prefix)
    )
    before = len(faults)
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in env:
            try:
                values[field.name] = _convert(hints[field.name], env[name])
            except ValueError as error:
                faults.append(f"{name} {error}")
        elif field.default is MISSING:
            faults.append(f"{name} is not set")
    if len(faults) > before:
        return None
    made = settings(**values)
    faults.extend(made.faults())
    return made


def _convert(kind: Any, given: str) -> Any:
    if get_origin(kind) is tuple:
        member = get_args(kind)[0]
        return tuple(_convert(member, part.strip()) for part in given.split(",") if part.strip())
    if kind is bool:
        if given.lower() not in ("true", "false"):
            raise ValueError(f"must be true or false, not {given!r}")
        return given.lower() == "true"
    if kind in (int, float):
        words = "a whole number" if kind is int else "a number"
        try:
            return kind(given)
        except ValueError:
            raise ValueError(f"must be {words}, not {given!r}") from None
    if kind == Path | None and not given:
        return None
    if kind in (Path, Path | None):
        if not given:
            raise ValueError("must be a path, not empty")
        return Path(given)
    return kind(given)
