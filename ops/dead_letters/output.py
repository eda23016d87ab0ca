"""Dead letters as people and programs read them."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group

from ops.dead_letters.groups import LetterGroup
from ops.dead_letters.letter import DeadLetter
from ops.terminal import PrintableTable, echo, fits, new_table, print_json, show, text_line
from schemas.dead_letter_actions import ActionResult, Actions


def print_groups(groups: Sequence[LetterGroup], *, as_json: bool) -> None:
    """Print a table with a row for each group, or lines where the table would be too wide."""
    if as_json:
        for each in groups:
            print_json(_group(each))
        return
    if not groups:
        echo("no dead letters")
        return
    table = _table(groups)
    if fits(table):
        show(table)
        return
    for each in groups:
        show(Group(*map(text_line, _lines(each))))


def _table(groups: Sequence[LetterGroup]) -> PrintableTable:
    table = new_table("Dead letters")
    for name in ("consumer", "command"):
        table.add_column(name)
    for name in ("open", "sent again", "dropped"):
        table.add_column(name, justify="right")
    for name in ("first", "last", "example", "reason"):
        table.add_column(name)
    for each in groups:
        table.add_row(
            *(each.consumer, each.command),
            *(f"{each.open}{_rejected_again(each)}", str(each.resent), str(each.dropped)),
            *(_time(each.first_ms), _time(each.last_ms), str(each.example.id), each.reason),
        )
    return table


def _lines(group: LetterGroup) -> Iterator[str]:
    """Yield a group in lines: what rejected which, how many, when, and the reason."""
    yield f"{group.consumer}: {group.command}" if group.command else group.consumer
    yield (
        f"  {group.open} open{_rejected_again(group)}, {group.resent} sent again,"
        f" {group.dropped} dropped"
    )
    first, last = _time(group.first_ms), _time(group.last_ms)
    yield f"  {first} to {last}, for example {group.example.id}"
    yield f"  {group.reason}"


def _rejected_again(group: LetterGroup) -> str:
    return f" ({group.rejected_again} rejected again)" if group.rejected_again else ""


def print_letter(letter: DeadLetter, actions: Actions, *, body: bool, as_json: bool) -> None:
    """Print a dead letter; its body, which is private, only if `body`."""
    found = _letter(letter, actions)
    digest = hashlib.sha256(letter.value).hexdigest()
    if as_json:
        shown = letter.value.decode(errors="backslashreplace") if body else None
        print_json(found | {"bytes": len(letter.value), "sha256": digest, "body": shown})
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for header, text in value.items():
                echo(f"  {header}: {text}")
        else:
            echo(f"{name}: {value}")
    echo(f"body: {len(letter.value)} bytes, sha256 {digest}" + ("" if body else "; see --body"))
    if body:
        echo(letter.value.decode(errors="backslashreplace"))


def line(letter: DeadLetter) -> str:
    """Return a dead letter as one line, without its body."""
    return (
        f"{letter.id}  {_time(letter.at_ms)}  {letter.command}  {letter.origin or '-'}"
        f"/{letter.sequence}  {len(letter.value)} bytes  {letter.reason}"
    )


def _group(group: LetterGroup) -> dict[str, Any]:
    return {
        "consumer": group.consumer,
        "reason": group.reason,
        "command": group.command,
        "open": group.open,
        "rejected_again": group.rejected_again,
        "resent": group.resent,
        "dropped": group.dropped,
        "first": _time(group.first_ms),
        "last": _time(group.last_ms),
        "example": str(group.example.id),
    }


def _letter(letter: DeadLetter, actions: Actions) -> dict[str, Any]:
    results = [each.value for each in ActionResult if actions.has(each, letter.id)]
    return {
        "id": str(letter.id),
        "time": _time(letter.at_ms),
        "state": "open" if actions.is_open(letter.id) else "",
        "actions": ", ".join(results),
        "consumer": letter.consumer,
        "stage": letter.stage,
        "reason": letter.reason,
        "record": str(letter.source or ""),
        "headers": {
            name: value.decode("utf-8", "backslashreplace") for name, value in letter.headers
        },
    }


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
