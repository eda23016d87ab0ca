"""`hookline archive` and the audit's reader read an object store like a directory."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.archive.archives import FIRST_MS, HOUR_MS, WrittenArchive, numbered
from support.archive.s3_server import BUCKET, S3Server
from support.builders import P1
from support.processes.command import run_hookline

from ops.demo.embedded import child

HOOKLINE = str(Path(sys.executable).with_name("hookline"))


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Yield an S3 server whose address and keys are in the environment."""
    with child.running(S3Server(tmp_path)) as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


def hookline(*arguments: object, expect: int = 0) -> str:
    """Run the command as a process with the environment of the S3 server."""
    env = os.environ | {"ARCHIVE_URL": f"s3://{BUCKET}/some/archive"}
    done = run_hookline(*map(str, arguments), env=env)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


async def test_the_commands_read_an_object_store(s3: S3Server, tmp_path: Path) -> None:
    """They need the same as the writer: AWS_* variables and the URL."""
    written = WrittenArchive(tmp_path, f"s3://{BUCKET}/some/archive")
    await written.fill(3)
    await written.append(numbered(13, at_ms=FIRST_MS + HOUR_MS), partition=P1)

    def lines(*command: object) -> list[dict[str, Any]]:
        return [json.loads(line) for line in hookline(*command).splitlines()]

    assert [segment["records"] for segment in lines("archive", "ls", "--json")] == [
        0,
        4,
        4,
        4,
        0,
        1,
    ]
    sequences = [line["headers"]["ce_sequence"] for line in lines("archive", "cat")]
    assert sequences == [str(number) for number in range(1, 14)]
    assert "sound" in hookline("archive", "verify")
    copies = lines("archive", "parquet", "--to", tmp_path / "copy", "--json")
    assert [copy["records"] for copy in copies] == [4, 5, 4]

    # A segment of the middle is lost, and one is not what was written.
    _, first, second, _ = sorted(s3.objects("some/archive/tim.callbacks.v1/0/"))
    client = s3.client("s3")
    client.put_object(Bucket=BUCKET, Key=first, Body=s3.content(first)[:-4])
    client.delete_object(Bucket=BUCKET, Key=second)
    faults = json.loads(hookline("archive", "verify", "--json", expect=1))["faults"]
    assert [fault for _, fault in faults] == [
        "the segment fails its checksum",
        "segments before it are missing: offsets 5 to 9",
    ]
