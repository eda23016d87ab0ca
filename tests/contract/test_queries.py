"""Every query of the contract and of sync.md works on every stored body, on each PostgreSQL."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.docs_blocks import ROOT
from support.worst_bodies import bodies, exact, wanted

from consumers.runtime.batch import Position
from consumers.sync.database import DatabaseHandler
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.body import Malformed, parse
from schemas.setting import Secret

# Queries of the documented kind: all operators that read a body, on existing and missing paths.
MORE_QUERIES = (
    "body ->> 'CloudCustomData' from hookline.messages",
    "count(*) from hookline.messages where body -> 'MsgBody' -> 0 ->> 'MsgType' = 'TIMTextElem'",
    "body #>> '{MsgBody,0,MsgContent,Data}' from hookline.messages",
    "body #> '{MsgBody,0}', body ? 'MsgKey', body @> '{}' from hookline.events",
    "key, value from hookline.messages, jsonb_each_text(body)",
    "jsonb_path_exists(body, '$.** ? (@ == \"a\" || @ > 1)') from hookline.messages",
    "jsonb_pretty(body), body::text, body || '{}' from hookline.events",
    "count(distinct body), max(length(body::text)) from hookline.messages",
    "jsonb_path_query(body, '$.** ? (@.type() == \"number\")')::float8 from hookline.messages",
)


def documented() -> list[str]:
    """Return the queries of the contract's section on the database, and of its own page."""
    contract = (ROOT / "docs" / "contract.md").read_text()
    section = contract.partition("\n## The database\n")[2].partition("\n## ")[0]
    pages = section + (ROOT / "docs" / "sync.md").read_text()
    return re.findall(r"^```sql\n(.*?)^```$", pages, re.DOTALL | re.MULTILINE)


@dataclass
class Tables:
    """A server, and the bodies that have been stored in it."""

    conninfo: str
    version: int
    database: DatabaseHandler
    runner: asyncio.Runner
    counted: Counter[str] = field(default_factory=Counter)
    next_offset: int = 0

    async def stored(self, drawn: list[bytes]) -> None:
        """Store bodies in one batch."""
        records = [a_stored_record(self.next_offset + at, each) for at, each in enumerate(drawn)]
        await self.database.handle(a_stored_batch(*records))
        self.next_offset += len(records)

    def queried(self) -> list[tuple[Any, ...]]:
        """Run all queries; return the digest, body, `altered` and `raw` of every row."""
        columns = "select body_sha256, body::text, altered, raw from hookline"
        with psycopg.connect(self.conninfo) as connection:
            for query in (*documented(), *(f"select {each}" for each in MORE_QUERIES)):
                connection.execute(query.encode()).fetchall()
            rows = connection.execute(
                f"{columns}.messages union all {columns}.events".encode()
            ).fetchall()
            connection.execute("delete from hookline.messages")
            connection.execute("delete from hookline.events")
        return rows

    def check(self, drawn: list[bytes]) -> None:
        """Store bodies, run all queries, and compare the rows with the expected ones."""
        self.runner.run(self.stored(drawn))
        rows = self.queried()
        by_digest = {sha256(each).digest(): each for each in drawn}
        assert len(rows) == len(by_digest)
        for digest, text, altered, raw in rows:
            sent = by_digest[digest]
            assert exact(text) == wanted(sent), sent
            assert altered == (raw is not None)
            assert altered or exact(text) == exact(sent), sent
            assert raw in (None, sent)
            self.counted["altered"] += altered
        self.counted["bodies"] += len(drawn)


@pytest.fixture(scope="module")
def tables(postgres_version: int, server_of_version: EmbeddedPostgres) -> Iterator[Tables]:
    """Yield the tables in each version of PostgreSQL."""
    database = DatabaseHandler(Secret(server_of_version.conninfo))
    with asyncio.Runner() as runner:
        runner.run(database.store_first_position(P0, Position(0)))
        yield Tables(server_of_version.conninfo, postgres_version, database, runner)
        runner.run(database.close())


def readable(drawn: list[bytes]) -> list[bytes]:
    """Return the bodies that an ingress accepts, each once; its parser limits their depth."""
    taken = []
    for each in dict.fromkeys(drawn):
        try:
            document = parse(each)
        except Malformed:
            continue
        if isinstance(document["CallbackCommand"], str) and document["CallbackCommand"]:
            taken.append(each)
    return taken


def message(*members: str) -> bytes:
    """Return a message's body with these members, unchanged."""
    return ('{"CallbackCommand":"C2C.CallbackAfterSendMsg",' + ",".join(members) + "}").encode()


def test_every_query_works_on_bodies_from_the_field(tables: Tables) -> None:
    """They contain control characters, or have the largest accepted size or depth."""
    face = {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1, "Data": "abc\0\1"}}
    tables.check(
        [
            a_body(MsgBody=[face], CloudCustomData='{"k":1}', MsgTime=1764688415),
            message('"A":"half of \\ud83d"', '"B\\udc00":1', '"B\ufffd":2', '"B\\u0000":3'),
            message('"MsgBody":[' + ",".join(["1e308", "1e-308"] * 5_000) + "]"),
            message('"MsgBody":[' + ",".join(["1e131071", "0e-9999"] * 5_000) + "]"),
            message('"MsgBody":["' + "\\u0000" * 160_000 + '"]'),
            message('"MsgBody":[' + '"",' * 20_000 + '""]'),
            message('"A":1', '"A":1e999', '"A":2', '"A":18446744073709551616'),
            message('"A":1e999', f'"B":{"[" * 800}"\\u0000"{"]" * 800}', '"B":""'),
        ]
    )


def test_every_query_works_on_the_deepest_bodies(tables: Tables) -> None:
    """With one level more, the ingress's parser refuses them."""
    for opened, closed in ("[", "]"), ('{"a":', "}"):
        drawn = [message(f'"MsgBody":{opened * d}1{closed * d}') for d in (1, 1023)]
        with pytest.raises(Malformed):
            parse(message(f'"MsgBody":{opened * 1024}1{closed * 1024}'))
        tables.runner.run(tables.stored(drawn))
        rows = {str(text).replace(" ", "") for _, text, _, _ in tables.queried()}
        nested = {f'{{"MsgBody":{opened * d}1{closed * d},' for d in (1, 1023)}
        assert {text[: text.index('"CallbackCommand"')] for text in rows} == nested


@pytest.mark.timeout(900)
def test_every_query_works_on_the_worst_bodies(
    tables: Tables, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """They have odd escapes and numbers, doubled keys, or keys that a replacement makes equal."""
    examples = scaled(8, at_most=80)

    @settings(max_examples=examples)
    @given(st.lists(bodies, min_size=10, max_size=25))
    def check(drawn: list[bytes]) -> None:
        tables.check(readable(drawn))

    check()
    counted = tables.counted
    assert counted["bodies"] > 5 * examples
    assert counted["altered"] > counted["bodies"] / 10
    say(f"PostgreSQL {tables.version}: {counted['bodies']} bodies, {counted['altered']} altered")
