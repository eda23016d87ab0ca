"""The answer of `hookline find`, as people and as programs read it."""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ops.find.collection import LocatedCallback, Sighting
from ops.find.search import Answer
from ops.nouns import counted
from schemas.printable import printable

WIDTH = 80
_INDENT = " " * 15
# Of each foreign text, so many characters are shown.
TEXT_CHARACTERS_MAX = 200
_UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


def lines(answer: Answer, *, now: datetime, with_body: bool) -> Iterator[str]:
    """Yield the answer in lines for people; a body is on one line, all others have 80 columns."""
    callbacks = answer.callbacks
    for number, callback in enumerate(callbacks, 1):
        yield f"callback {number} of {len(callbacks)}"
        yield from _callback(callback, now)
        if with_body and callback.body is not None:
            yield f"  {'body':<12} {printable(callback.body)}"
        yield ""
    if answer.collection.further:
        further = counted(answer.collection.further, "more callback")
        at_least = "" if answer.collection.is_further_exact else "at least "
        yield from _wrapped(f"{at_least}{further} found: raise --limit, or narrow the question")
    yield from _searched(answer)
    yield from _wrapped(verdict(answer))


def verdict(answer: Answer) -> str:
    """Return what is known, in one sentence."""
    count = len(answer.callbacks)
    if count:
        return f"found: {counted(count, 'callback')}"
    within = f"not found between {answer.range}"
    wider = "Search a later time with --until TIME, an earlier one with --since TIME"
    if answer.exit_code == 1:
        return f"{within}. {wider}"
    return f"{within} in what was searched, and not all of it was searched. {wider}"


def as_dict(answer: Answer, *, now: datetime) -> dict[str, object]:
    """Return the answer for `--json`; docs/find.md explains the keys."""
    return {
        "question": str(answer.question),
        "found": bool(answer.callbacks),
        "since": answer.range.since,
        "until": answer.range.until,
        "callbacks": [_callback_dict(each, now) for each in answer.callbacks],
        "further": answer.collection.further,
        "further_is_exact": answer.collection.is_further_exact,
        "searched": {
            name: {
                "extent": each.extent,
                "since": each.range and each.range.since,
                "until": each.range and each.range.until,
            }
            for name, each in answer.searched.items()
        },
        "not_searched": answer.not_searched,
        "exit_code": int(answer.exit_code),
    }


def age(span: timedelta) -> str:
    """Return a duration in its two largest units, such as `2 h 5 min`; below 10 s with tenths."""
    seconds = abs(span.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if rest >= size or parts:
            parts.append(f"{rest // size} {unit}")
            rest %= size
        if len(parts) == 2:
            break
    return " ".join(parts)


def _callback(callback: LocatedCallback, now: datetime) -> Iterator[str]:
    app = f", app {_short(callback.app)}" if callback.app else ""
    yield from _field("command", f"{_short(callback.command) or 'unknown'}{app}")
    people = [_short(each) for each in (callback.sender, callback.recipient) if each]
    if callback.group:
        people.append(f"group {_short(callback.group)}")
    if people:
        yield from _field("from, to", " -> ".join(people))
    if callback.ce_id:
        yield from _field("ce_id", _short(callback.ce_id))
    if callback.sequence:
        yield from _field("place", f"{_short(callback.origin)}/{callback.sequence}")
    if callback.sent_at:
        yield from _field("sent", _when(callback.sent_at, now))
    if callback.received_at:
        yield from _field("received", _when(callback.received_at, now))
    if callback.body_bytes is not None:
        types = f": {', '.join(map(_short, callback.elements))}" if callback.elements else ""
        yield from _field(
            "content", f"{counted(callback.body_bytes, 'byte')}{types} (--body shows it)"
        )
    for sighting in callback.sightings:
        yield from _sighting(sighting, callback, now)


def _sighting(sighting: Sighting, callback: LocatedCallback, now: datetime) -> Iterator[str]:
    note = f": {_short(sighting.note)}" if sighting.note else ""
    yield from _field(sighting.store, f"{_short(sighting.where)}{note}")
    if sighting.at is not None:
        since = callback.received_at
        later = (
            f"; {age(sighting.at - since)} after receipt" if since and sighting.at > since else ""
        )
        yield from _field("", f"{_when(sighting.at, now)}{later}")


def _when(at: datetime, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {age(now - at)} {'ago' if at <= now else 'from now'}"


def _searched(answer: Answer) -> Iterator[str]:
    for name, each in answer.searched.items():
        within = f", between {each.range}" if each.range else ""
        yield from _wrapped(f"searched {name}: {each.extent}{within}")
    for name, reason in answer.not_searched.items():
        yield from _wrapped(f"not searched: {name}: {printable(reason)}")


def _field(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {name:<12} ",
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _short(text: str) -> str:
    return printable(text, TEXT_CHARACTERS_MAX)


def _callback_dict(callback: LocatedCallback, now: datetime) -> dict[str, object]:
    return {
        "origin": callback.origin,
        "sequence": callback.sequence,
        "ce_id": callback.ce_id,
        "app": callback.app,
        "command": callback.command,
        "sender": callback.sender,
        "recipient": callback.recipient,
        "group": callback.group,
        "received_at": callback.received_at,
        "sent_at": callback.sent_at,
        "age_s": callback.received_at and (now - callback.received_at).total_seconds(),
        "body_bytes": callback.body_bytes,
        "elements": callback.elements,
        "body": None if callback.body is None else callback.body.decode(errors="backslashreplace"),
        # The name of a field of --json, so it stays; a place is (origin, sequence) elsewhere.
        "places": [
            {
                "store": sighting.store,
                "where": sighting.where,
                "at": sighting.at and sighting.at.astimezone(UTC),
                "note": sighting.note,
                "partition": sighting.partition,
                "offset": sighting.offset,
            }
            for sighting in callback.sightings
        ],
    }
