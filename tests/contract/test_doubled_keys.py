"""
Every reader takes the last value of a key that appears twice in one object.

To each of them, a body with doubled keys equals the body with only the last values.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.archive.archives import WrittenArchive, copied, rows
from support.builders import P0, a_body, a_callback, a_stored_batch, a_stored_record, headers_of
from support.counting import counting
from valkey import Valkey

from consumers.counters.hashes import Hashes
from consumers.runtime.batch import Position, Record
from consumers.sync.database import DatabaseHandler
from ops.archive.columns import body_fields
from schemas import outgoing_record as wire
from schemas.body_fields import MESSAGE_COMMANDS
from schemas.commands import COMMANDS
from schemas.payload import PAYLOADS, Message
from schemas.setting import Secret

SECRET = b"5" * 32

AT_S = 1_700_000_000


class Doubled(tuple[tuple[str, Any], ...]):
    """An object with doubled keys."""

    __slots__ = ()


def written(value: Any) -> str:
    """Return the JSON of a value with doubled keys."""
    if isinstance(value, Doubled):
        return "{" + ",".join(f"{json.dumps(key)}:{written(each)}" for key, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def last_alone(value: Any) -> Any:
    """Return the value with only the last entry of each key."""
    if isinstance(value, Doubled):
        return {key: last_alone(each) for key, each in value}
    if isinstance(value, list):
        return [last_alone(each) for each in value]
    return value


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
scalar = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), text)


def doubled(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Doubled]:
    """Return objects in which each of these fields appears up to three times, with any values."""
    pair = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(fields[name], scalar))
    )
    return st.lists(pair, max_size=3 * len(fields)).map(Doubled)


account = st.sampled_from(["a", "b", "administrator", "@RBT#1", "", 7])
number = st.sampled_from([0, 1, 5, AT_S, str(AT_S)])
content = doubled({"Text": text, "Data": text, "Ext": doubled({"x": scalar, "y": scalar})})
element = doubled(
    {"MsgType": st.sampled_from(["TIMTextElem", "TIMFaceElem"]), "MsgContent": content}
)
fields: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("From_Account", "To_Account", "GroupId", "Official_Account"), account),
    **dict.fromkeys(("MsgSeq", "MsgRandom", "MsgTime", "EventTime", "SendMsgResult"), number),
    **dict.fromkeys(("OnlineOnlyFlag", "UnreadMsgNum"), number),
    "MsgKey": st.sampled_from(["1_2_3", "4_5_6", ""]),
    "CloudCustomData": text,
    "MsgBody": st.lists(element, max_size=2),
    "Info": doubled({"Action": text, "To_Account": account, "Reason": text}),
}
commands = st.sampled_from([*MESSAGE_COMMANDS, *PAYLOADS, *sorted(COMMANDS)[:9], "New.Command"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a body with doubled keys, and the same body with only the last of each."""
    pairs = [*draw(doubled(fields)), ("CallbackCommand", draw(commands))]
    if draw(st.booleans()):
        pairs.insert(0, ("CallbackCommand", draw(st.one_of(commands, scalar))))
    both = Doubled(pairs)
    # With a byte order mark the standard library reads it, else orjson.
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return mark + written(both).encode(), mark + json.dumps(last_alone(both)).encode()


some_bodies = st.lists(bodies(), min_size=12, max_size=12)


class Readers:
    """All readers of bodies, and the values that they read."""

    def __init__(self, directory: Path, conninfo: str, valkey_url: str) -> None:
        self.directory = directory
        self.conninfo = conninfo
        self.valkey_url = valkey_url

    async def read(self, name: str, made: list[bytes]) -> dict[str, list[Any]]:
        """Return by reader its result for each body, or for all, without digests of the bytes."""
        # A number for an id: where the id is made of the body's bytes it differs on purpose.
        records = [with_id(a_stored_record(at, body), f"{at:032x}") for at, body in enumerate(made)]
        return {
            "headers": [headers(body) for body in made],
            "PostgreSQL": await self._postgres(records),
            "counts": await self._counts(records),
            "Parquet": await self._parquet(name, records),
        }

    async def _postgres(self, records: list[Record]) -> list[Any]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("drop schema if exists hookline cascade")
            database = DatabaseHandler(Secret(self.conninfo))
            try:
                await database.store_first_position(P0, Position(0))
                await database.handle(a_stored_batch(*records))
            finally:
                await database.close()
            return [
                connection.execute(
                    f"select to_jsonb(t) - 'body_sha256' - 'raw' from hookline.{table} t"  # noqa: S608 - two constants
                    " order by ce_id".encode()
                ).fetchall()
                for table in ("messages", "events")
            ]

    async def _counts(self, records: list[Record]) -> list[Any]:
        with Valkey.from_url(self.valkey_url) as client:
            client.flushall()
            # People are kept as hashes, which are the same under the same secret.
            client.set("hookline:1:secret", SECRET)
            counts = counting(self.valkey_url)
            try:
                await counts.store_first_position(P0, Position(0))
                await counts.handle(a_stored_batch(*records))
            finally:
                await counts.close()
            keys = sorted(client.scan_iter("hookline:1:totals:*")) + sorted(
                client.scan_iter("hookline:1:minutes:*")
            )
            people: Any = client.smembers("hookline:1:people:1400000001:0")
            return [[(key, client.hgetall(key)) for key in keys], sorted(people)]

    async def _parquet(self, name: str, records: list[Record]) -> list[Any]:
        archive = WrittenArchive(self.directory / name / "archive")
        await archive.append(*records)
        await copied(archive, self.directory / name / "copy", hours=9)
        columns = ("ce_type", *body_fields())
        return [
            {column: repr(row[column]) for column in columns}
            for row in rows(self.directory / name / "copy")
        ]


def with_id(record: Record, identity: str) -> Record:
    """Return a record with this id."""
    return record._replace(
        headers=[
            (name, identity.encode() if name == "ce_id" else each) for name, each in record.headers
        ]
    )


def headers(body: bytes) -> Any:
    """Return the ingress's headers and key, and whether there is an id: bytes may be part of it."""
    made = wire.main_topic_record(a_callback(body))
    named = headers_of(made)
    return bool(named.pop("ce_id", "")), named, made.key


@settings(
    max_examples=4,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=some_bodies)
async def test_all_readers_take_the_last_value_of_a_doubled_key(
    made: list[tuple[bytes, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    conninfo: str,
    valkey_url: str,
) -> None:
    """At the top level and below; with any types, in any place, with both JSON parsers."""
    readers = Readers(tmp_path_factory.mktemp("doubled"), conninfo, valkey_url)
    doubled_keys = await readers.read("doubled", [body for body, _ in made])
    alone = await readers.read("alone", [body for _, body in made])
    for reader, read_alone in alone.items():
        assert doubled_keys[reader] == read_alone, reader


def test_the_typed_views_take_the_last_value_of_a_doubled_key() -> None:
    """They refuse a body in which either value has another type."""
    body = b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"a","To_Account":"b",%s}'
    view = msgspec.json.decode(body % b'"MsgBody":[],"MsgSeq":1,"MsgSeq":2', type=Message)
    assert view.sequence == 2
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body % b'"MsgBody":[],"MsgSeq":"x","MsgSeq":2', type=Message)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_one_doubled_key_in_every_reader(
    tmp_path: Path, conninfo: str, valkey_url: str, mark: bytes, say: Callable[[str], None]
) -> None:
    """The last value is in the record's key, the columns, the counts and the Parquet copy."""
    body = mark + (
        b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"x","From_Account":"a",'
        b'"To_Account":"b","OnlineOnlyFlag":1,"OnlineOnlyFlag":0,"MsgSeq":"x","MsgSeq":2,"MsgBody":'
        b'[{"MsgType":"T","MsgContent":{"Text":"first","Text":"last"},"MsgType":"TIMTextElem"}]}'
    )
    by_reader = await Readers(tmp_path, conninfo, valkey_url).read("one", [body])
    ((row,),) = by_reader["PostgreSQL"][0]
    counts, people = by_reader["counts"]
    assert by_reader["headers"][0][-1] == b"1400000001/pair/1/a/b"
    assert (row["sender"], row["message_seq"]) == ("a", 2)
    assert row["body"]["MsgBody"][0] == {"MsgType": "TIMTextElem", "MsgContent": {"Text": "last"}}
    assert counts[0][1][b"one_to_one_messages"] == b"1"
    hashes = Hashes(SECRET)
    assert people == sorted(hashes.of_account(account).encode() for account in "ab")
    copy = by_reader["Parquet"][0]
    assert (copy["From_Account"], copy["MsgSeq"]) == ("'a'", "2")
    assert "last" in copy["MsgBody"]
    assert "first" not in copy["MsgBody"]
    say(f"{len(by_reader)} readers: {', '.join(by_reader)}")


def test_a_message_has_the_id_of_its_last_values() -> None:
    """The id is the same as without the earlier values."""
    alone = a_body(MsgKey="1_2_3")
    doubled_keys = alone.replace(b"{", b'{"MsgKey":"4_5_6","From_Account":[],', 1)
    made, expected = (
        headers_of(wire.main_topic_record(a_callback(body))) for body in (doubled_keys, alone)
    )
    assert made == expected
