"""The queries of the archive in docs/contract.md return the results that Python computes."""

import asyncio
import json
import random
import shutil
import subprocess
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
import zstandard
from support.archive.archives import FIRST_MS, HOUR_MS, WrittenArchive, numbered
from support.builders import P0, P1, SAMPLES, a_body
from support.docs_blocks import the_block

from ops.archive.parquet import copy
from ops.archive.segments import ALL

APPS = ("1400000001", "1400000002")
Day = tuple[date, int, int]


def bodies(dice: random.Random) -> list[bytes]:
    """Return bodies of all kinds, some of them the same."""
    people = [f"user{number}" for number in range(9)]
    made = [sample.read_bytes() for sample in SAMPLES]
    for number in range(60):
        sender, recipient = dice.choice(people), dice.choice(people)
        body = a_body(MsgKey=f"key-{number % 40}", From_Account=sender, To_Account=recipient)
        group = a_body(
            CallbackCommand="Group.CallbackAfterSendMsg", From_Account=sender, To_Account=None
        )
        made += [body, group, a_body(From_Account=number % 7, MsgSeq=number, To_Account="")]
        made += [
            a_body(MsgKey=f"hint-{number}", From_Account="typist", OnlineOnlyFlag=1),
            a_body(MsgKey=f"robot-{number}", From_Account="@RBT#1", To_Account="administrator"),
            a_body(MsgKey=f"admin-{number}", From_Account="administrator", To_Account="@RBT#1"),
            a_body(
                CallbackCommand="Group.CallbackAfterSendMsg",
                MsgKey=f"news-{number}",
                From_Account="news",
                To_Account=None,
                Operator_Account="administrator",
            ),
            a_body(
                MsgKey=f"rest-{number}",
                From_Account="notified",
                To_Account=recipient,
                OnlineOnlyFlag="0",
            ),
            a_body(MsgKey=f"doubled-{number}", From_Account=f"last-{number}").replace(
                b"{", b'{"From_Account":"first","OnlineOnlyFlag":1,"OnlineOnlyFlag":0,', 1
            ),
        ]
        made.append(b"\xef\xbb\xbf" + body.replace(b"{", b"{\r\n", 1))
        made.append(a_body(CallbackCommand="C2C.CallbackAfterMsgReport", From_Account="reader"))
    return made


@pytest.fixture(scope="module")
def written_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Day]]:
    """Write an archive and its copy once for all tests; return their folder and content."""
    directory = tmp_path_factory.mktemp("queries")
    return directory, asyncio.run(_written(directory))


@pytest.fixture
def days(written_days: tuple[Path, list[Day]], monkeypatch: pytest.MonkeyPatch) -> list[Day]:
    """Go to the folder where the archive and its copy have the paths of the docs."""
    directory, content = written_days
    monkeypatch.chdir(directory)
    return content


async def _written(directory: Path) -> list[Day]:
    written, dice = WrittenArchive(directory / "archive"), random.Random(7)  # noqa: S311
    messages: defaultdict[date, set[bytes]] = defaultdict(set)
    people: defaultdict[date, set[tuple[str, str]]] = defaultdict(set)
    records = []
    for at, body in enumerate(bodies(dice)):
        at_ms = FIRST_MS + at * HOUR_MS // 16
        app = dice.choice(APPS)
        platform = "RESTAPI" if b'"notified"' in body else "iOS"
        records.append(numbered(at + 1, body, at_ms=at_ms, sdkappid=app, opt_platform=platform))
        document = json.loads(body.decode("utf-8-sig"))
        if (
            document["CallbackCommand"].endswith("CallbackAfterSendMsg")
            and document.get("OnlineOnlyFlag") != 1
        ):
            day = datetime.fromtimestamp(at_ms / 1000, UTC).date()
            messages[day].add(dict(records[-1].headers)["ce_id"])
            parties = (document.get("From_Account"), document.get("To_Account"))
            nobody = (None, "", "notified", "news", "administrator", "@RBT#1", "@RBT#001")
            people[day] |= {(app, str(who)) for who in parties if who not in nobody}
    for first in range(0, len(records), 10):
        part = records[first : first + 10]
        await written.append(*part, partition=P1 if first % 3 else P0)
    await written.append(markers=3)
    later = datetime.fromtimestamp(FIRST_MS / 1000 + 1e6, UTC)
    assert [each async for each in copy(written.store, directory / "copy", only=ALL, now=later)]
    return [(day, len(messages[day]), len(people[day])) for day in sorted(messages)]


def test_messages_and_people_of_each_day(days: list[Day]) -> None:
    """The queries read the archive and its Parquet copy."""
    assert len(days) > 1
    database = duckdb.connect()
    database.execute(the_block("create view archived", "sql"))
    assert database.execute(the_block("from archived", "sql")).fetchall() == days
    database.execute("set timezone = 'Asia/Shanghai'")
    assert database.execute(the_block("from archived", "sql")).fetchall() == days
    assert database.execute(the_block(".parquet'", "sql")).fetchall() == days


@pytest.mark.usefixtures("days")
def test_the_shell_counts_commands() -> None:
    """With zstdcat and jq, or with substitutes in Python if they are not installed."""
    expected = Counter[str]()
    for path in Path("archive").rglob("*.jsonl.zst"):
        reader = zstandard.ZstdDecompressor().stream_reader(
            path.read_bytes(), read_across_frames=True
        )
        for line in reader.read().splitlines():
            expected[json.loads(line)["headers"]["ce_type"]] += 1
    assert expected.total() == 11 * 60 + len(SAMPLES)
    if all(map(shutil.which, ("zstdcat", "jq"))):
        output = subprocess.run(
            ["bash", "-euc", the_block("zstdcat")],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        lines = (line.split() for line in output.splitlines())
        assert {command: int(count) for count, command in lines} == expected
