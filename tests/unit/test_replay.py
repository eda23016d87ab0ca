"""Which callbacks a replay selects, how they are applied, and what the command refuses."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from support.archive.archives import FIRST, FIRST_MS
from support.builders import APP, P0, a_body, a_stored_record

from consumers.runtime.batch import Partition, Position
from ops.cli import main
from ops.replay.output import print_preview_json
from ops.replay.preview import GROUPS_MAX, OTHERS, Preview
from ops.replay.replay import BYTES_MAX, Rejecting, replay
from ops.replay.selection import ReplaySelection, SourceKind
from ops.replay.source import Part
from ops.replay.target import RecordState, ReplayCounts
from ops.throttle import Throttle

HOUR = timedelta(hours=1)
MESSAGE = "C2C.CallbackAfterSendMsg"


def a_selection(**fields: Any) -> ReplaySelection:
    """Return a selection from the archive."""
    return ReplaySelection(**({"source": SourceKind.ARCHIVE} | fields))


@pytest.mark.parametrize(
    ("conditions", "is_selected"),
    [
        ({}, True),
        ({"app": APP}, True),
        ({"app": "1400000009"}, False),
        ({"users": ("jared",)}, True),
        ({"users": ("Jonh", "jared")}, True),
        ({"users": ("jared", "other")}, False),
        ({"users": ("jared",), "app": "1400000009"}, False),
        ({"group": "@TGS#1"}, False),
        ({"command": MESSAGE}, True),
        ({"command": "C2C"}, False),
        ({"command": MESSAGE, "users": ("other",)}, False),
        ({"since": FIRST}, True),
        ({"since": FIRST + timedelta(milliseconds=1)}, False),
        ({"until": FIRST}, False),
        ({"until": FIRST + timedelta(milliseconds=1)}, True),
    ],
)
def test_all_conditions_must_hold(conditions: dict[str, Any], *, is_selected: bool) -> None:
    """The time is Kafka's, to the millisecond; the end is exclusive."""
    record = a_stored_record(0)._replace(timestamp_ms=FIRST_MS)
    assert a_selection(**conditions).selects()(record) is is_selected


def test_each_selection_has_a_name_of_its_own() -> None:
    """The same in each run, so that an interrupted replay is found."""
    conditions: Sequence[Mapping[str, Any]] = (
        *({}, {"source": SourceKind.TOPIC}, {"app": "1"}, {"users": ("1",)}),
        *({"users": ("1", "2")}, {"group": "1"}, {"command": "1"}),
        *({"since": FIRST}, {"until": FIRST}, {"since": FIRST, "until": FIRST + HOUR}),
    )
    names = [a_selection(**each).digest for each in conditions]
    assert len(set(names)) == len(names)
    assert names == [a_selection(**each).digest for each in conditions]
    assert str(a_selection(command="C", since=FIRST)) == (
        "callbacks of the command C since 2023-11-14 22:00:00 UTC"
    )


def test_a_preview_counts_by_app_and_command_in_bounded_memory() -> None:
    """Records that the consumer reads itself are not in it."""
    preview = Preview()
    records = [a_stored_record(n)._replace(timestamp_ms=FIRST_MS + n) for n in range(5)]
    preview.add(records, list(RecordState))
    assert len(RecordState) == len(records)
    (group,) = preview.sorted()
    assert (group.app, group.command, group.callbacks, group.lacking) == (APP, MESSAGE, 3, 2)
    assert (group.first_ms, group.last_ms) == (FIRST_MS, FIRST_MS + 2)
    assert (preview.callbacks, preview.lacking, preview.expired, preview.pending) == (3, 2, 1, 1)
    for number in range(GROUPS_MAX + 5):
        record = a_stored_record(number, a_body(CallbackCommand=f"command {number}"))
        preview.add([record], [RecordState.DONE])
    assert len(preview.groups) == GROUPS_MAX + 1
    assert preview.groups[OTHERS, ""].callbacks == 6


@pytest.mark.parametrize(
    ("state", "lacking", "expired"), [(RecordState.LACKING, 1, 0), (RecordState.DONE, None, None)]
)
def test_a_preview_for_programs_says_what_is_lacking_only_of_sync(
    state: RecordState, lacking: int | None, expired: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the target of a webhook lacks is not known: that is null, and not 0."""
    preview = Preview()
    preview.add([a_stored_record(1)], [state])
    print_preview_json(preview, a_selection(), is_sync=lacking is not None)
    found = json.loads(capsys.readouterr().out)
    assert (found["callbacks"], found["lacking"], found["expired"]) == (1, lacking, expired)
    assert [each["lacking"] for each in found["groups"]] == [lacking]


class FakeSource:
    """A source of one part."""

    def __init__(self, part: Part) -> None:
        self.notes: list[str] = []
        self._part = part

    async def topic_id(self, _: Partition) -> str | None:
        """Return that the id is unknown."""
        return None

    async def size(self, positions: Mapping[Partition, int]) -> int:
        """Return the size of the part."""
        return self._part.size if not positions else 0

    async def parts(self, positions: Mapping[Partition, int]) -> Any:
        """Yield the part."""
        if not positions:
            yield self._part


class FakeTarget:
    """A target that keeps the parts that it gets; it rejects all records, or has them all."""

    def __init__(self, *, rejects: bool = False, has_all: bool = False) -> None:
        self.parts: list[Part] = []
        self.is_finished = False
        self._rejects = rejects
        self._has_all = has_all

    async def positions(self) -> Mapping[Partition, Position]:
        """Return no position."""
        return {}

    async def states(self, part: Part) -> Sequence[RecordState]:
        """Return that all records lack."""
        return [RecordState.LACKING] * len(part.records)

    async def write(self, part: Part) -> ReplayCounts:
        """Keep a part."""
        self.parts.append(part)
        if self._rejects:
            return ReplayCounts(rejected=len(part.records))
        if self._has_all:
            return ReplayCounts(unchanged=len(part.records))
        return ReplayCounts(written=len(part.records))

    async def finish(self) -> None:
        """Note that the replay is finished."""
        self.is_finished = True


async def replayed(part: Part, target: FakeTarget, records_per_s: float) -> ReplayCounts:
    """Replay one part; its progress must be its size."""
    moved: list[int] = []
    counts = await replay(FakeSource(part), target, {}, Throttle(records_per_s), moved.append)
    assert sum(moved) == part.size
    return counts


async def test_a_part_is_applied_in_pieces_of_bounded_size() -> None:
    """Each piece ends where the next one begins; the last one ends the part."""
    records = [a_stored_record(2 * n) for n in range(5)]
    target = FakeTarget()
    part = Part(P0, records, 100, "id", 7)
    assert (await replayed(part, target, 20)).written == 5
    assert [len(each.records) for each in target.parts] == [2, 2, 1]
    assert [each.next_offset for each in target.parts] == [4, 8, 100]
    assert target.is_finished
    large = a_stored_record(0, a_body(Data="x" * BYTES_MAX))
    target = FakeTarget()
    await replayed(Part(P0, [large, large, records[1]], 3, None, 1), target, 1e6)
    assert [len(each.records) for each in target.parts] == [1, 1, 1]
    target = FakeTarget()
    await replayed(Part(P0, [], 3, None, 1), target, 1)
    assert target.parts == [Part(P0, [], 3, None, 1)]


async def test_only_records_that_are_written_or_rejected_count_for_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To go through millions of callbacks that are there takes no wait."""
    counted: list[int] = []
    monkeypatch.setattr(Throttle, "count", lambda _, records: counted.append(records))
    part = Part(P0, [a_stored_record(n) for n in range(4)], 4, None, 4)
    for target, per_piece in (
        (FakeTarget(has_all=True), 0),
        (FakeTarget(rejects=True), 2),
        (FakeTarget(), 2),
    ):
        counted.clear()
        await replayed(part, target, 20)
        assert counted == [per_piece, per_piece]


async def test_a_replay_of_which_all_is_rejected_stops() -> None:
    """And keeps its positions, so that it can go on after the cause is fixed."""
    target = FakeTarget(rejects=True)
    records = [a_stored_record(n) for n in range(300)]
    with pytest.raises(Rejecting, match="the first 100 callbacks were rejected"):
        await replayed(Part(P0, records, 300, None, 300), target, 1000)
    assert not target.is_finished


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("counters",), "hookline counters rebuild"),
        (("archive",), "hookline archive verify"),
        (("webhook-crm",), "set the variables WEBHOOK_* as for the process of webhook-crm"),
        (("other",), "name `sync`"),
        (("sync",), "replay sync needs --postgres"),
        (("sync", "--postgres", "host=x", "--from", "archive"), "needs --archive or ARCHIVE_URL"),
        (("sync", "--postgres", "host=x", *("--user", "a") * 3), "at most two users"),
        (
            ("sync", "--postgres", "host=x", "--since", "2026-01-02", "--until", "2026-01-02"),
            "--since must be before --until",
        ),
        (("sync", "--rate", "0"), "must be from 0.1 to 1,000,000"),
    ],
)
def test_commands_that_cannot_be_run_say_so_before_anything_is_read(
    arguments: tuple[str, ...], words: str
) -> None:
    """The text says which command to run in its place."""
    env = {"SYNC_POSTGRES": "", "ARCHIVE_URL": ""}
    result = CliRunner(env=env).invoke(main, ["replay", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())
