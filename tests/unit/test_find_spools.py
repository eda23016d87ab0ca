"""`hookline find` in spools: what a running ingress says, and the rows that no process holds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.builders import a_body, a_callback

from ingress.spool.directory import hold_any
from ingress.spool.row import encode
from ops.find.collection import CallbackCollection
from ops.find.question import Question, question_of
from ops.find.sources import Extent, NotSearched
from ops.find.spools import SpoolSearch
from schemas.outgoing_record import main_topic_record

ORIGIN = "00ff00ff00ff00ff"
OTHER = "0123456789abcdef"
KEY = "7_8_1769850000"
Serve = Callable[[dict[str, Any]], Awaitable[str]]


def a_status(**changes: Any) -> dict[str, Any]:
    """Return the status of an ingress whose spool has sent everything."""
    spool = {"name": ORIGIN, "origin": ORIGIN, "last_sequence": 9, "rows": 2, "fault": ""}
    status = {"origin": ORIGIN, "last_sequence": 9, "forwarded_sequence": 9, "ready": True}
    spools = [spool | changes.pop("own", {}), *changes.pop("others", [])]
    return status | {"spools": spools} | changes


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Yield a function that serves a status and returns its URL."""
    runners: list[web.AppRunner] = []

    async def start(status: dict[str, Any]) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response(status)

        app = web.Application()
        app.router.add_get("/status", answer)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def search(
    *urls: str, directory: Path | None = None, question: Question | None = None
) -> tuple[Extent | str, CallbackCollection]:
    """Return the extent, or why not all was searched; and the callbacks."""
    collection = CallbackCollection(limit=20, keeps_bodies=False)
    asked = question or question_of(KEY, "message", app=None)
    try:
        return await SpoolSearch(directory, urls, asked, collection).search(), collection
    except NotSearched as reason:
        return str(reason), collection


async def test_a_spool_whose_callbacks_are_all_in_kafka_is_searched(serve: Serve) -> None:
    """Rows that were sent may stay in its file for a while."""
    extent, _ = await search(await serve(a_status()))
    assert extent == Extent("1 spools")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (a_status(forwarded_sequence=7), "has 2 callbacks not in Kafka yet"),
        (a_status(own={"quarantined": [3]}), "1 in quarantine"),
        (a_status(own={"fault": "its file was corrupt"}), "its file was corrupt"),
        (
            a_status(others=[{"name": OTHER, "origin": OTHER, "last_sequence": None}]),
            f"spool {OTHER}: no ingress",
        ),
        (
            a_status(others=[{"name": OTHER, "origin": OTHER, "last_sequence": 5, "rows": 4}]),
            f"spool {OTHER} has at most 4 callbacks",
        ),
        (
            {"status": "another server"},
            "or that ingress is of another release (Object missing required field `origin`)",
        ),
    ],
)
async def test_a_spool_that_may_have_the_callback_is_not_searched(
    serve: Serve, status: dict[str, Any], reason: str
) -> None:
    """So the answer is never "not there" for it."""
    extent, _ = await search(await serve(status))
    assert isinstance(extent, str)
    assert reason in extent


async def test_an_ingress_of_an_earlier_release_is_asked_as_well(serve: Serve) -> None:
    """During an upgrade; the sequence that it has forwarded has a new name since."""
    status = a_status(forwarded_sequence=7)
    status["forwarded"] = status.pop("forwarded_sequence")
    extent, _ = await search(await serve(status))
    assert "has 2 callbacks not in Kafka yet" in str(extent)
    assert (await search(await serve(status | {"forwarded": 9})))[0] == Extent("1 spools")


async def test_the_holder_of_a_spool_knows_more_than_another_ingress(serve: Serve) -> None:
    """Two ingresses share a directory; each knows its own spool only."""
    unknown = {"last_sequence": None, "rows": None}
    first = a_status(others=[{"name": OTHER, "origin": OTHER} | unknown])
    second = a_status(
        origin=OTHER,
        own={"name": OTHER, "origin": OTHER},
        others=[{"name": ORIGIN, "origin": ORIGIN} | unknown],
    )
    extent, _ = await search(await serve(first), await serve(second))
    assert extent == Extent("2 spools")


async def test_an_unsent_sequence_is_found_by_its_place(serve: Serve) -> None:
    """The status has no bodies, but it has the sequences."""
    url = await serve(a_status(forwarded_sequence=7, own={"quarantined": [3]}))
    for sequence, note in ((8, "not in Kafka yet"), (3, "in quarantine")):
        question = question_of(f"{ORIGIN}/{sequence}", "place", app=None)
        _, collection = await search(url, question=question)
        assert [sighting.note for each in collection.callbacks for sighting in each.sightings] == [
            note
        ]
    _, collection = await search(url, question=question_of(f"{ORIGIN}/7", "place", app=None))
    assert not collection.callbacks


async def test_every_row_of_a_spool_that_no_process_holds_is_searched(tmp_path: Path) -> None:
    """One that a process holds is not, unless its ingress is named."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    for key in ("1_2_1769850000", KEY, KEY):
        record = main_topic_record(a_callback(a_body(MsgKey=key)))
        spool.writer.commit([encode(record, 1_769_850_000_000)], 0)
    held, _ = await search(directory=tmp_path)
    assert isinstance(held, str)
    assert f"a running ingress holds spool {spool.name}" in held
    spool.close()
    extent, collection = await search(directory=tmp_path)
    assert extent == Extent("1 spools")
    assert [each.sequence for each in collection.callbacks] == [2, 3]


def test_a_corrupt_spool_is_named_and_stays_as_it_is(tmp_path: Path) -> None:
    """A command that only looks changes nothing on the disk."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    spool.close()
    (tmp_path / f"{spool.name}.lmdb").write_bytes(b"no spool" * 4096)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reason, _ = asyncio.run(search(directory=tmp_path))
    assert isinstance(reason, str)
    assert f"spool {spool.name} cannot be read: " in reason
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
