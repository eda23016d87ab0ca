"""The preview and the result of a replay as people and programs read them."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ops.nouns import counted
from ops.replay.preview import Preview, ReplayGroup
from ops.replay.selection import ReplaySelection
from ops.replay.target import ReplayCounts
from ops.terminal import PrintableTable, new_table, print_json, say, show


def print_preview(preview: Preview, selection: ReplaySelection, *, is_sync: bool) -> None:
    """Print a line for each app and command, and the sums; what is lacking only of sync."""
    table = new_table(f"From the {selection.source}: {selection}")
    table.add_column("app and command", overflow="fold")
    for name in ("callbacks", "lacking")[: 1 + is_sync]:
        table.add_column(name, justify="right")
    for name in ("first", "last (UTC)"):
        table.add_column(name, no_wrap=True)
    for app, groups in itertools.groupby(preview.sorted(), key=lambda group: group.app):
        of_app = list(groups)
        _add_row(table, app, of_app, is_sync=is_sync)
        for each in of_app:
            _add_row(table, f"  {each.command}", [each], is_sync=is_sync)
    show(table)
    for line in _sums(preview, is_sync=is_sync):
        say(line)


def _add_row(
    table: PrintableTable, name: str, groups: Sequence[ReplayGroup], *, is_sync: bool
) -> None:
    lacking = f"{sum(each.lacking for each in groups):,}"
    table.add_row(
        name,
        f"{sum(each.callbacks for each in groups):,}",
        *([lacking] if is_sync else []),
        # Month, day and minute: the sums below have the rest.
        _time(min(each.first_ms for each in groups))[5:16],
        _time(max(each.last_ms for each in groups))[5:16],
    )


def _sums(preview: Preview, *, is_sync: bool) -> Iterator[str]:
    if preview.groups:
        first = min(each.first_ms for each in preview.groups.values())
        last = max(each.last_ms for each in preview.groups.values())
        yield f"{counted(preview.callbacks, 'callback')}, from {_time(first)} to {_time(last)} UTC"
    if preview.groups and is_sync:
        there = preview.callbacks - preview.lacking
        yield (
            f"the database lacks {preview.lacking:,} of them; {there:,} are there and stay"
            " unchanged"
        )
    elif preview.groups:
        yield (
            "the target gets all of them again, with the ids that they had; it must still know the"
            " ids of those that it has"
        )
    if preview.expired:
        yield (
            f"{preview.expired:,} of these were deleted by hookline sync expire; a replay brings"
            " them back"
        )
    if preview.pending:
        yield (
            f"{preview.pending:,} more are not counted: the consumer has not read them yet, or will"
            " try them again by itself"
        )


def print_preview_json(preview: Preview, selection: ReplaySelection, *, is_sync: bool) -> None:
    """Print the preview as one object; what a webhook's target lacks is not known, so null."""
    print_json(
        {
            "source": selection.source,
            "callbacks": preview.callbacks,
            "lacking": preview.lacking if is_sync else None,
            "expired": preview.expired if is_sync else None,
            "pending": preview.pending,
            "groups": [_group(each, is_sync=is_sync) for each in preview.sorted()],
        }
    )


def print_result(counts: ReplayCounts, *, is_sync: bool, as_json: bool) -> None:
    """Print what happened to the callbacks."""
    line = f"{counted(counts.written, 'callback')} {'written' if is_sync else 'sent again'}"
    if is_sync:
        line += f", {counts.unchanged:,} were there and are unchanged"
    if counts.rejected:
        line += f", {counts.rejected:,} rejected by the {'database' if is_sync else 'target'}"
    if counts.pending:
        line += f", {counts.pending:,} left to the consumer itself"
    say(line)
    if as_json:
        print_json(counts._asdict())


def _group(group: ReplayGroup, *, is_sync: bool) -> dict[str, Any]:
    return {
        "app": group.app,
        "command": group.command,
        "callbacks": group.callbacks,
        "lacking": group.lacking if is_sync else None,
        "first": f"{_time(group.first_ms).replace(' ', 'T')}Z",
        "last": f"{_time(group.last_ms).replace(' ', 'T')}Z",
    }


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
