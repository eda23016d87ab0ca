"""`hookline counters rebuild`: its options, its preview and its output."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from consumers.archive.store import SegmentStore
from consumers.counters import layout
from consumers.counters.consumer import CountersSettings
from consumers.counters.counts import CountersHandler
from consumers.counters.server import connect
from consumers.counters.zones import parse_zones
from consumers.runtime.handler import Stopped, Unavailable
from ops.archive.options import HOUR
from ops.archive.segments import reading_archive
from ops.counters.generations import Generations
from ops.counters.lock import only_rebuild
from ops.counters.plan import Part, check_served, plan
from ops.counters.rebuild import Rebuild
from ops.failure import Failure
from ops.nouns import counted
from ops.options import archive_option, bootstrap_option, bounded
from ops.records.callbacks_topic import reading_topic
from ops.terminal import measured_progress, new_table, run, say, show
from schemas.kafka_access import KafkaAccess
from schemas.settings import SettingsFaults, read_settings

# An answer of the statistics API may still be made of the old generation.
OLD_IS_READ_S = 5.0
RECORDS_PER_S_MAX = 1e6


class ValkeyUnreadable(Failure):
    """Valkey does not answer, or the counts in it cannot be continued."""


class WrongSettings(Failure):
    """The variables COUNTERS_* cannot be used as they are."""


@click.group()
def counters() -> None:
    """Count again what the statistics show."""


@counters.command("rebuild")
@bootstrap_option
@archive_option("The archive, for records that Kafka does not have any more.")
@click.option(
    "--since",
    type=HOUR,
    help=f"Count only records from this hour or day on (UTC); totals too. TIME is {HOUR.examples}.",
)
@click.option(
    "--records-per-s",
    default=20_000.0,
    show_default=True,
    help="At first, count at most so many a second: the members count in the same Valkey "
    "meanwhile. What came during that time is then counted without a limit.",
)
@click.option(
    "--start-over",
    is_flag=True,
    help="Remove what an interrupted rebuild has counted, and begin again.",
)
@click.option("--yes", is_flag=True, help="Do it. Without it, only print what would be done.")
def counters_rebuild(
    *,
    kafka: KafkaAccess,
    archive_url: str | None,
    since: datetime | None,
    records_per_s: float,
    start_over: bool,
    yes: bool,
) -> None:
    """
    Count all callbacks again and replace the statistics in one step.

    Use it if Valkey was lost or restored from an old copy, if days are to begin in another time
    zone (COUNTERS_ZONE), or if a release counts more than the one before.

    It counts the records in Kafka, and before them those in the archive, into new keys beside the
    present ones. The statistics show the present ones meanwhile, and the consumer goes on. At the
    end, one write makes the new ones valid, the consumer continues in them, and the old ones are
    removed. An interrupted rebuild continues where it was when the command is run again. Valkey
    needs memory for both meanwhile.

    COUNTERS_VALKEY and all other COUNTERS_* variables must be set as for the consumer.
    """
    bounded("--records-per-s", records_per_s, 1, RECORDS_PER_S_MAX)
    try:
        (settings,) = read_settings({"COUNTERS_": CountersSettings}, os.environ)
    except SettingsFaults as faults:
        raise WrongSettings(
            f"the settings of the counters cannot be used: {'; '.join(faults.args)}"
        ) from None
    with (
        reading_archive(archive_url) if archive_url else contextlib.nullcontext() as store,
        _reading_valkey(),
    ):
        run(
            _rebuild(
                settings,
                kafka,
                store,
                since,
                records_per_s=records_per_s,
                start_over=start_over,
                yes=yes,
            )
        )


@contextlib.contextmanager
def _reading_valkey() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise ValkeyUnreadable(f"{error}; run the command again, it continues") from error
    except Stopped as stopped:
        raise ValkeyUnreadable(str(stopped)) from stopped


async def _rebuild(
    settings: CountersSettings,
    kafka: KafkaAccess,
    store: SegmentStore | None,
    since: datetime | None,
    *,
    records_per_s: float,
    start_over: bool,
    yes: bool,
) -> None:
    valkey = connect(settings.valkey)
    generations = Generations(valkey)
    counts = CountersHandler(
        settings.valkey,
        settings.bounds(),
        parse_zones(settings.zone, settings.zones),
        generation_key=layout.REBUILDING,
    )
    try:
        async with reading_topic(kafka) as topic:
            await check_served(generations, topic)
            if not yes:
                _preview(await plan(generations, topic, store, since), await generations.served())
                say("nothing was changed; run the command again with --yes")
                return
            async with only_rebuild(valkey):
                if start_over:
                    await generations.give_up()
                # Of a rebuild that was given up, or that was interrupted after its end.
                await generations.remove_others()
                parts = await plan(generations, topic, store, since)
                _preview(parts, await generations.served())
                generation = await generations.begin()
                remaining = sum(part.remaining for part in parts)
                with measured_progress("counting", remaining) as advance:
                    await Rebuild(
                        generation,
                        generations,
                        counts,
                        topic,
                        store,
                        records_per_s=records_per_s,
                        advance=advance,
                    ).run(parts)
                await _remove_old(generations, generation)
    finally:
        await counts.close()
        await valkey.aclose()


async def _remove_old(generations: Generations, served_generation: int) -> None:
    say(f"generation {served_generation} is served; removing the keys of others")
    await asyncio.sleep(OLD_IS_READ_S)
    say(f"{counted(await generations.remove_others(), 'key')} removed")


def _preview(parts: Sequence[Part], served_generation: int) -> None:
    table = new_table(f"Generation {served_generation} is served. To be counted into the next one:")
    for name in ("partition", "from offset", "to offset", "only in the archive"):
        table.add_column(name, justify="left" if name == "partition" else "right")
    for part in parts:
        row: tuple[Any, ...] = (
            part.partition,
            part.begins_at,
            part.kafka.end,
            part.from_archive,
        )
        table.add_row(*map(str, row))
    show(table)
    if any(part.is_continued for part in parts):
        say("a rebuild was interrupted; it continues where it was (--start-over begins again)")
