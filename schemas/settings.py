"""
Read the settings of a process from the environment, once, and report all faults together.

A process knows `HOOKLINE_*` and prefixes of its own. An unknown variable with one of these prefixes
is a fault, because it is usually a typing error.
"""

import difflib
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, dataclass, fields
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, get_type_hints

from schemas.printable import printable
from schemas.setting import SECRET_SHOWN, Format, Range, Secret, Setting
from schemas.url_text import public_url


class Settings(Protocol):
    """
    A frozen dataclass of settings; its docstring introduces them in `--help`.

    Its `faults` report relations between fields. A class without relations may inherit this one.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each relation between fields that does not hold."""
        yield from ()


class SettingsFaults(Exception):
    """Settings that cannot be used; `args` are the faults, one sentence each."""

    def __str__(self) -> str:
        return "\n".join(f"  - {printable(fault)}" for fault in self.args)


_BROKER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


def _are_brokers(text: str) -> bool:
    brokers = [_BROKER.fullmatch(part.strip()) for part in text.split(",")]
    return all(broker and 0 < int(broker[2] or 9092) < 1 << 16 for broker in brokers)


# The largest value of HOOKLINE_BODY_BYTES_MAX.
BODY_BYTES_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSettings(Settings):
    """HOOKLINE_*: every process. Give all processes the same values."""

    bootstrap_servers: Annotated[
        str,
        Format("addresses like kafka-1:9092,kafka-2:9092", _are_brokers),
        "Addresses of Kafka's brokers. The `hookline` commands read this variable, too.",
    ] = "127.0.0.1:9092"
    body_bytes_max: Annotated[
        int,
        Range(1 << 10, BODY_BYTES_LIMIT, "bytes"),
        "Largest body that the ingress accepts, after decompression; a larger one is answered 413 "
        "and not stored. Topics and producers allow 65536 bytes more, for the key and the headers. "
        "`hookline topics apply` reads this variable, too: run it before you raise the value for "
        "the ingress.",
    ] = 1 << 20
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        "Least severe level that is logged. Logs go to stderr.",
    ] = "INFO"
    log_format: Annotated[
        Literal["json", "text"],
        "`json`: one object per line with `time`, `level`, `logger`, `message` and, after an "
        "exception, `traceback`. `text`: a line for people, in which `\\n` stands for a line feed.",
    ] = "json"


SHARED_VARIABLES_PREFIX = "HOOKLINE_"
# Variables by their former names. A process that ignored one could accept unsigned callbacks.
RENAMED = {"INGRESS_SECRETS_FILE": "INGRESS_TOKENS_FILE"}


def settings_of(settings: type[Settings], prefix: str) -> list[Setting]:
    """Return the settings that a class declares."""
    annotations = get_type_hints(settings, include_extras=True)
    return [
        Setting(prefix + field.name.upper(), field.name, field.default, annotations[field.name])
        for field in fields(settings)
    ]


def read_settings(classes: Mapping[str, type[Settings]], env: Mapping[str, str]) -> list[Any]:
    """
    Return an object of each class, in order; the keys of `classes` are the variables' prefixes.

    Raises:
        SettingsFaults: with everything that is wrong, not only the first.
    """
    faults: list[str] = []
    instances = [
        _read_class(settings, prefix, _own_variables(prefix, classes, env), faults)
        for prefix, settings in classes.items()
    ]
    if faults:
        raise SettingsFaults(*faults)
    return instances


def _own_variables(
    prefix: str, prefixes: Iterable[str], env: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the variables with `prefix`, except those of a longer one: HOOKLINE_KAFKA_."""
    longer = tuple(each for each in prefixes if each != prefix and each.startswith(prefix))
    return {
        name: value
        for name, value in env.items()
        if name.startswith(prefix) and not name.startswith(longer)
    }


def _read_class(
    settings: type[Settings], prefix: str, env: Mapping[str, str], faults: list[str]
) -> Settings | None:
    """Return the settings of one prefix, or None if one has no value; add to `faults`."""
    declared = settings_of(settings, prefix)
    known = sorted(setting.variable for setting in declared)
    faults.extend(
        f"{name} is called {RENAMED[name]} now; set that"
        if name in RENAMED
        else f"unknown setting {name}{_suggestion(name, known, prefix)} (known: {', '.join(known)})"
        for name in sorted(set(env) - set(known))
    )
    values = _read_values(declared, env, faults)
    if len(values) < len(declared):
        faults.extend(_relation_faults(settings, declared, values))
        return None
    # Also if a value is out of its range: the relations are reported together with that.
    loaded = settings(**values)
    faults.extend(loaded.faults())
    return loaded


def _relation_faults(
    settings: type[Settings], declared: Iterable[Setting], values: Mapping[str, Any]
) -> Iterator[str]:
    """
    Yield the faults of the relations while required fields are not set.

    It ends at the first relation that reads such a field, or an attribute of `__post_init__`, and
    yields none if another field cannot be parsed: its default would count.
    """
    if not all(each.required for each in declared if each.field not in values):
        return
    incomplete = object.__new__(settings)
    for field, value in values.items():
        object.__setattr__(incomplete, field, value)
    with suppress(AttributeError):
        yield from incomplete.faults()


def _suggestion(name: str, known: Iterable[str], prefix: str) -> str:
    """Return a question that names the setting that `name` is most like, "" if it is like none."""
    # Without the prefix, which all of them have and which makes all of them alike.
    endings = [variable.removeprefix(prefix) for variable in known]
    close = difflib.get_close_matches(name.removeprefix(prefix), endings, n=1, cutoff=0.7)
    return f", did you mean {prefix}{close[0]}?" if close else ""


def _read_values(
    declared: Iterable[Setting], env: Mapping[str, str], faults: list[str]
) -> dict[str, Any]:
    """Return the values by field, except those that cannot be parsed or are not set."""
    values: dict[str, Any] = {}
    for setting in declared:
        if setting.variable in env:
            text = env[setting.variable]
            try:
                value = setting.parse(text)
            except ValueError:
                faults.append(setting.fault(text))
                continue
            values[setting.field] = value
            if not setting.allows(value):
                faults.append(setting.fault(text))
        elif setting.required:
            faults.append(f"{setting.variable} is not set; it must be {setting.allowed}")
        else:
            values[setting.field] = setting.default
    return values


def read_fields(
    settings: type[Settings], prefix: str, env: Mapping[str, str], names: Collection[str]
) -> dict[str, Any]:
    """
    Return the values of the fields `names`, for a command that does not need the others.

    Raises:
        SettingsFaults: with everything that is wrong, not only the first.
    """
    faults: list[str] = []
    declared = (each for each in settings_of(settings, prefix) if each.field in names)
    values = _read_values(declared, env, faults)
    if faults:
        raise SettingsFaults(*faults)
    return values


def settings_as_json(
    classes: Mapping[str, type[Settings]], values: Sequence[Settings]
) -> dict[str, Any]:
    """Return the values of `read_settings` by variable, for a log in JSON, without secrets."""
    return {
        setting.variable: _shown(getattr(value, setting.field))
        for (prefix, settings), value in zip(classes.items(), values, strict=True)
        for setting in settings_of(settings, prefix)
    }


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shown(each) for each in value]
    if isinstance(value, Secret):
        return SECRET_SHOWN
    if isinstance(value, str):
        return public_url(value)
    return str(value) if isinstance(value, Path) else value


def settings_help(classes: Mapping[str, type[Settings]]) -> str:
    """Return the part of `--help` that lists all settings of a process."""
    return "\n\n".join(
        "\n\n".join((cleandoc(settings.__doc__ or ""), *map(_entry, settings_of(settings, prefix))))
        for prefix, settings in classes.items()
    )


def _entry(setting: Setting) -> str:
    default_text = " (must be set)" if setting.required else f"={setting.default_text}"
    lines = textwrap.wrap(setting.description, 86, break_on_hyphens=False)
    if setting.allowed != "text":
        lines.append(f"Allowed: {setting.allowed}.")
    return "\n      ".join((f"  {setting.variable}{default_text}", *lines))
