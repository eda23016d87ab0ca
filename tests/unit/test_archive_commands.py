"""The output and the exit codes of `hookline archive`."""

import asyncio
import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from support.archive.archives import FIRST_MS, HOUR_MS, WrittenArchive, numbered
from support.builders import P1

from consumers.archive import store as archive_store
from ops.cli import main
from ops.demo.embedded.child import free_port


@pytest.fixture
def written(tmp_path: Path) -> WrittenArchive:
    """Return an archive of two partitions and three hours."""
    made = WrittenArchive(tmp_path / "archive")

    async def write() -> None:
        await made.fill(3)
        await made.append(numbered(13, at_ms=FIRST_MS), partition=P1)

    asyncio.run(write())
    return made


def hookline(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run the command."""
    return CliRunner(env=env or {}).invoke(main, [str(each) for each in arguments])


def test_ls_lists_the_selected_segments(written: WrittenArchive) -> None:
    """It prints one line for each segment, in the order of their records."""
    lines = hookline("archive", "ls", "--archive", written.directory).stdout.splitlines()
    assert [line.split()[0].removeprefix("tim.callbacks.v1/") for line in lines] == [
        "0/00000000000000000000-0001-01-01T00.jsonl.zst",
        "0/00000000000000000000-2023-11-14T22.jsonl.zst",
        "0/00000000000000000005-2023-11-14T23.jsonl.zst",
        "0/00000000000000000010-2023-11-15T00.jsonl.zst",
        "1/00000000000000000000-0001-01-01T00.jsonl.zst",
        "1/00000000000000000000-2023-11-14T22.jsonl.zst",
    ]
    assert "4 records  offsets 0-3  2023-11-14T22:00:00 to 2023-11-14T22:00:00" in lines[1]
    assert "no records, next offset 0" in lines[0]
    one = hookline(
        *("archive", "ls", "--partition", 0, "--since", "2023-11-14T23", "--json"),
        *("--until", "2023-11-15"),
        env={"ARCHIVE_URL": str(written.directory)},
    )
    (segment,) = [orjson.loads(line) for line in one.stdout.splitlines()]
    assert (segment["first_offset"], segment["records"], segment["begins_at"]) == (5, 4, 5)
    assert hookline("archive", "ls", "--archive", written.directory, "--topic", "x").stdout == ""


def test_cat_prints_the_lines(written: WrittenArchive) -> None:
    """It prints the partitions one after the other, each in order."""
    done = hookline("archive", "cat", "--archive", written.directory.as_uri())
    places = [
        (line["partition"], line["offset"]) for line in map(json.loads, done.stdout.splitlines())
    ]
    assert places == [(0, n) for n in (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13)] + [(1, 0)]
    done = hookline("archive", "cat", "--archive", written.directory, "--since", "2023-11-15")
    assert len(done.stdout.splitlines()) == 4


def test_verify_has_an_exit_code_for_each_result(written: WrittenArchive) -> None:
    """Exit code 0 means sound, 3 that sequences are absent, 1 a fault."""
    command = ("archive", "verify", "--archive", written.directory)
    done = hookline(*command)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "sound")
    asyncio.run(written.append(numbered(20, at_ms=FIRST_MS + HOUR_MS), partition=P1))
    done = hookline(*command)
    assert done.exit_code == 3
    assert "6 not in the archive: 14-19" in done.stdout
    assert json.loads(hookline(*command, "--json").stdout)["absent"] == 6
    path = next(written.directory.glob("*/0/*-2023-11-14T23*"))
    path.write_bytes(path.read_bytes()[:-9])
    done = hookline(*command, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["faults"] == [
        [str(path.relative_to(written.directory)), "the segment fails its checksum"]
    ]
    done = hookline(*command)
    assert "the segment fails its checksum" in " ".join(done.stdout.split())
    done = hookline("archive", "cat", "--archive", written.directory)
    assert (done.exit_code, path.name in done.stderr) == (1, True)


def test_verify_of_a_directory_without_segments_proves_nothing(tmp_path: Path) -> None:
    """It may be the directory above the archive, or that of a disk which is not mounted."""
    done = hookline("archive", "verify", "--archive", tmp_path)
    assert done.exit_code == 3
    assert "no segment was found, so nothing was verified" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "command",
    [
        "archive ls",
        "archive cat",
        "archive verify",
        "archive expire --older-than 9d",
        "archive parquet --to copy",
        "audit --spool .",
    ],
)
def test_an_archive_that_does_not_exist_is_reported_in_one_line(
    command: str, tmp_path: Path
) -> None:
    """The exit code is 2, and no archive is created."""
    absent = tmp_path / "absent"
    done = hookline(*command.split(), "--archive", absent)
    assert done.exit_code == 2
    assert f"the archive {absent} does not exist" in " ".join(done.stderr.split())
    assert not absent.exists()
    done = hookline(*command.split(), "--archive", "what://ever")
    assert (done.exit_code, "what://ever" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_a_store_that_does_not_answer_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit code is 2, after the store's own retries."""
    monkeypatch.setattr(archive_store, "RETRY_TIMEOUT_S", 0.3)
    done = hookline(
        *("archive", "ls", "--archive", "s3://bucket/archive"),
        env={
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        },
    )
    assert done.exit_code == 2
    assert "the archive does not answer" in done.stderr


def test_expire_needs_an_age_and_kafka(written: WrittenArchive) -> None:
    """If Kafka does not answer, nothing is deleted."""
    command = ("archive", "expire", "--archive", written.directory, "--delete", "--older-than")
    done = hookline(*command, "3h")
    assert (done.exit_code, "at least 1d" in done.stderr) == (2, True)
    done = hookline(*command, "2d", "--kafka", f"127.0.0.1:{free_port()}")
    assert (done.exit_code, "Kafka at" in done.stderr) == (2, True)
    assert len(list(written.directory.rglob("*.zst"))) == 6
