"""Short reports of failures: CI keeps only the last lines of a run."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

# Collections that have fewer elements are printed by pytest as usual.
LONG = 30
# How many elements, and how many lines of a log or a section, are printed.
SHOWN, LINES_MAX = 5, 30
TEXT_MAX = 200


def explain_comparison(op: str, left: object, right: object) -> list[str] | None:
    """Return how long collections that are compared differ, None if pytest's text is short."""
    if op == "==":
        return _explain_difference(left, right)
    if op == "<=" and isinstance(left, AbstractSet) and isinstance(right, AbstractSet):
        return [f"{_kind(left)} <= {_kind(right)}", *_only("left", left - right)]
    return None


def _explain_difference(left: object, right: object) -> list[str] | None:
    if isinstance(left, str | bytes):
        return None
    kinds: tuple[tuple[type[Any], Callable[[Any, Any], Iterator[str]]], ...] = (
        (Mapping, _of_mappings),
        (AbstractSet, _of_sets),
        (Sequence, _of_sequences),
    )
    for kind, differences in kinds:
        if isinstance(left, kind) and isinstance(right, kind):
            if max(len(left), len(right)) < LONG:
                return _explain_part(left, right)
            return [f"{_kind(left)} == {_kind(right)}", *differences(left, right)]
    return None


def _kind(collection: Collection[Any]) -> str:
    return f"{type(collection).__name__} of {len(collection)}"


def _explain_part(left: Collection[Any], right: Collection[Any]) -> list[str] | None:
    """Explain the first difference of two short collections if it is one of two long ones."""
    pairs: Iterator[tuple[Any, Any, Any]] = iter(())
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        pairs = ((key, left[key], right[key]) for key in left if key in right)
    elif isinstance(left, Sequence) and isinstance(right, Sequence):
        pairs = ((at, *pair) for at, pair in enumerate(zip(left, right, strict=False)))
    for at, one, other in pairs:
        if one != other and (explained := _explain_difference(one, other)):
            return [f"element {at!r}: {explained[0]}", *explained[1:]]
    return None


def _of_mappings(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> Iterator[str]:
    yield from _of_sets(left.keys(), right.keys())
    differing = [key for key in left if key in right and left[key] != right[key]]
    pairs = [f"{key!r}: {left[key]!r} != {right[key]!r}" for key in differing[:SHOWN]]
    yield from _shown("with another value", len(differing), pairs)


def _of_sets(left: AbstractSet[Any], right: AbstractSet[Any]) -> Iterator[str]:
    yield from _only("left", left - right)
    yield from _only("right", right - left)


def _of_sequences(left: Sequence[Any], right: Sequence[Any]) -> Iterator[str]:
    pairs = enumerate(zip(left, right, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))
    one, other = (_text(side[at]) if at < len(side) else "nothing" for side in (left, right))
    yield f"first difference at index {at}: {one} != {other}"
    if all(isinstance(each, Hashable) for each in (*left, *right)):
        ours, theirs = Counter(left), Counter(right)
        yield from _only("left", list((ours - theirs).elements()))
        yield from _only("right", list((theirs - ours).elements()))
        doubled = {each: times for each, times in ours.items() if times > max(1, theirs[each])}
        yield from _shown("more often on the left", len(doubled), map(str, [*doubled.items()]))


def _only(side: str, elements: Collection[Any]) -> Iterator[str]:
    try:
        ordered: list[Any] = sorted(elements)
    except TypeError:
        ordered = list(elements)
    yield from _shown(f"only on the {side}", len(ordered), map(repr, ordered))


def _shown(what: str, count: int, texts: Any) -> Iterator[str]:
    if count:
        first = ", ".join(_text(text) for text, _ in zip(texts, range(SHOWN), strict=False))
        yield f"{what}: {count}: {first}{', ...' if count > SHOWN else ''}"


def _text(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}..."


def shorten(text: str, lines_max: int = LINES_MAX) -> str:
    """Return the last `lines_max` lines of a text, and how many lines were left out."""
    lines = text.splitlines()
    left_out = len(lines) - lines_max
    return text if left_out <= 0 else "\n".join([f"[{left_out} lines before]", *lines[left_out:]])


def message(report: pytest.TestReport) -> str:
    """Return the message of a failure: the first lines of what was raised, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    # The message of a group does not have those of its members.
    if crash is None or "ExceptionGroup" in crash.message:
        return shorten(report.longreprtext)
    lines = f"{crash.path}:{crash.lineno}: {crash.message}".splitlines()
    return "\n".join(lines[:LINES_MAX])


def logs_of(arguments: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """
    Yield the name and the end of each program's log, for a test with these fixtures.

    They are those below `tmp_path`, those of servers (`log`), and those of a demo (`logs`).
    """
    directory = arguments.get("tmp_path")
    found = [*_logs_below(directory)] if isinstance(directory, Path) else []
    for value in arguments.values():
        log, logs = getattr(value, "log", None), getattr(value, "logs", None)
        found += [log] if isinstance(log, Path) and log not in found else []
        found += _logs_below(logs) if isinstance(logs, Path) else ()
    for path in found:
        with contextlib.suppress(OSError):
            if text := shorten(path.read_text(errors="replace")):
                yield f"{path.parent.name}/{path.name}", text


def _logs_below(directory: Path) -> Iterator[Path]:
    # A segment of Kafka's is named by its first offset: 00000000000000000000.log.
    for path in sorted([*directory.rglob("*.log"), *directory.rglob("log")]):
        if path.is_file() and not path.stem.isdigit():
            yield path
