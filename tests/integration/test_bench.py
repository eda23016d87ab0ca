"""
The benchmarks run and count correctly, in short runs; speed is not checked here.

The quick commands that take more than 7 s of CPU time run only with --long.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# A part of each quick command, which a test runs; all other commands of the page are make targets.
QUICK = (
    "bench.ingress --only",
    "bench.archive --only",
    "bench.archive.listing --names",
    "bench.scale --processes",
    "bench.latency --rates",
    "bench.counters --only hookline",
    "bench.counters --only questions",
    "bench.sync --records",
    "bench.disk --count",
    "bench.audit --records",
)
ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```sh\n(.*?)^```$", (ROOT / "bench" / "README.md").read_text(), re.DOTALL | re.MULTILINE
)


# The first run on a machine compiles the peer that is written in Rust.
BUILD_S_MAX = 900


def the_block(part: str) -> str:
    """Return the only block of the page that contains `part`."""
    matching: list[str] = [block for block in BLOCKS if part in block]
    assert len(matching) == 1, part
    return matching[0]


def shell(block: str, *, timeout_s: float = 500) -> str:
    """Run a block of the page in the repository's directory, and return its output."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", block],  # noqa: S607 - the reader's shell
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_short_benchmark_prints_results_and_every_ok_is_in_kafka() -> None:
    """The test runs the quick command of the page."""
    output = shell(the_block(QUICK[0]))
    rows = {
        cells[0].strip("`"): cells
        for line in output.splitlines()
        if line.startswith("| `")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert list(rows) == ["hookline", "hello"]
    ours = rows["hookline"]
    assert all(
        re.fullmatch(r"[\d,.]+( \([\d,.]+ to .+\))?", cell) for cell in (*ours[1:6], *ours[8:])
    )
    # On a busy machine some callbacks are in Kafka without an OK, "3,341, 1,040 without an OK".
    in_kafka, _, without_ok = ours[7].partition(", ")
    unanswered = without_ok.removesuffix(" without an OK") or "0"
    assert number(in_kafka) - number(unanswered) == number(ours[6]) > 0
    assert rows["hello"][7] == "none"
    assert re.search(
        r"^\| CPU per callback / `hello` \| ≤ 0.85 \| \d\.\d\d \(.+\) \| \d of 2 \|",
        output,
        re.MULTILINE,
    )
    assert "cores" in output.partition("###")[0]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_rust_peer_and_requests_with_ids_are_measured_too() -> None:
    """The peer is built if cargo is there; otherwise the output says that it is left out."""
    asked = "--only hookline,hookline_ids,durable_streams --connections 64 --rounds 1 --seconds 1"
    output = shell(f"python -m bench.ingress {asked}", timeout_s=BUILD_S_MAX + 500)
    rows = readers(output)
    assert {"hookline", "hookline_ids"} <= set(rows)
    assert "durable_streams" in rows or "**durable_streams is left out: cargo" in output


@pytest.mark.timeout(600)
def test_the_short_benchmark_of_the_archive_prints_results_and_every_record_is_archived() -> None:
    """The test runs the quick command of the page."""
    rows = readers(shell(the_block(QUICK[1])))
    assert set(rows) == {"hookline", "counting_tamed", "plain_loop"}
    for cells in rows.values():
        assert all(re.fullmatch(r"[\d,.]+", cell) for cell in (*cells[1:4], *cells[5:]))
    assert rows["hookline"][4] == "5,000"
    assert rows["plain_loop"][4] == "none"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_kafka_connect_and_topics_of_several_sizes_are_measured_too() -> None:
    """The remaining parts of the benchmark of the archive, with small topics."""
    asked = "--only counting,file_stream_sink,sizes --records 2000 --sizes 1000,3000 --rounds 1"
    output = shell(f"python -m bench.archive {asked}")
    assert set(readers(output)) == {"counting", "file_stream_sink"}
    sizes = re.findall(r"^\| ([\d,]+) \| 1 \|.*\| ([\d,]+) \|$", output, re.MULTILINE)
    assert sizes == [("1,000", "1,000"), ("3,000", "3,000")]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_the_latency_measures_every_place_at_every_rate() -> None:
    """It fails if a callback is not exactly once in Kafka, PostgreSQL and the counts."""
    output = shell(the_block(QUICK[4]))
    # On a busy machine a rate may be "500 (not carried)".
    rows = re.findall(
        r"^\| ([\d,]+)(?: \(not carried\))? \| ([a-zA-Z: ]+) \| [\d,]+ \| [\d,]+ \| [\d,]+ \|$",
        output,
        re.MULTILINE,
    )
    places = ("the sender: OK", "Kafka", "PostgreSQL", "counts")
    assert rows == [(rate, place) for rate in ("10", "500") for place in places]
    assert "not measured" in output  # the goals are for another rate


def test_the_short_benchmark_of_listing_prints_seconds_of_both_ways() -> None:
    """The test runs the quick command of the page."""
    output = shell(the_block(QUICK[2]))
    assert len(re.findall(r"\d\.\d", output)) >= 4, output


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_scale_finds_every_ok_and_every_record_once() -> None:
    """The test runs the quick command of the page; it says on which cores each row ran."""
    output = shell(the_block(QUICK[3]))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in output.splitlines()
        if re.match(r"\| \d+ \|", line)
    ]
    assert [cells[0] for cells in rows] == ["1", "2", "1", "2"]
    for cells in rows[:2]:
        # More records than OKs: the answer of a busy machine was late.
        assert number(cells[7]) >= number(cells[5]) > 0
    for cells in rows[2:]:
        assert cells[4] == "5,000"
    for needed, cells in zip((3, 4, 2, 3), rows, strict=True):
        assert (cells[-2] == "shared") == (len(os.sched_getaffinity(0)) < needed)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_the_counters_counts_every_record_once() -> None:
    """The test runs the quick command of the page."""
    output = shell(the_block(QUICK[5]))
    rows = readers(output)
    assert list(rows) == ["hookline", "incr_pfadd"]
    for cells in rows.values():
        assert all(re.fullmatch(r"[\d,.]+", cell) for cell in (*cells[1:5], *cells[6:]))
    assert rows["hookline"][5] == "5,000"
    assert rows["incr_pfadd"][5] == "not checked"
    by_people = re.findall(r"^\| ([\d,]+) \|.*\| ([\d,]+) \| \d+ \|$", output, re.MULTILINE)
    assert by_people == [("2", "5,000"), ("20,000", "5,000")]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_statistics_api_is_measured_while_a_member_counts() -> None:
    """The test runs the quick command of the page; calls of the script have a time, too."""
    output = shell(the_block(QUICK[6]))
    times = re.findall(r"^\| (\S.*?) \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", output, re.MULTILINE)
    assert times == [
        "`/v1/series?step=day`",
        "`/v1/summary`",
        "a script call of the counters in Valkey",
    ]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_other_counters_and_several_members_are_measured_too() -> None:
    """Without quixstreams, which the tests do not install, the output says that it is left out."""
    asked = "--only hookline,counting_tamed,quix_window,members --members 1,2 --records 5000"
    output = shell(f"python -m bench.counters {asked} --rounds 1")
    rows = readers(output)
    assert {"hookline", "counting_tamed"} <= set(rows)
    assert "quix_window" in rows or "**quix_window is left out: quixstreams" in output
    members = re.findall(r"^\| (\d) \|.*\| ([\d,]+) \| [^|]+ \| \d+ \|$", output, re.MULTILINE)
    assert members == [("1", "5,000"), ("2", "5,000")]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_sync_writes_and_delivers_every_callback() -> None:
    """The test runs the quick command of the page; version 1 needs the history of the clone."""
    output = shell(the_block(QUICK[7]))
    rows = readers(output)
    expected = {"hookline", "version_1", "executemany", "row_by_row"}
    if "**version_1 is left out: " in output:
        expected.remove("version_1")
    assert set(rows) == expected
    for name, cells in rows.items():
        assert all(re.fullmatch(r"[\d,.]+", cell) for cell in (*cells[1:5], *cells[6:]))
        if name != "row_by_row":
            assert cells[5] == "3,000"
    sent = re.findall(r"^\| 2 \| `(\w+)` \| [\d,]+ \| \d+ \| \d+ \| 0 \| ", output, re.MULTILINE)
    assert sent == ["webhook", "bare_client", "bare_signing"]
    waits = re.findall(
        r"^\| ([01]) \| \d+ \| \d+ \| \d+ \| (\d+) \| (\d+) \| \d+ \|", output, re.MULTILINE
    )
    assert [(failing, delivered) for failing, delivered, _ in waits] == [("0", "198"), ("1", "198")]
    (_, _, healthy), (_, _, failed) = waits
    assert int(healthy) == 0
    assert int(failed) >= 1
    assert "| deliveries/s / `bare_client`, 2 in flight | ≥ 0.7 |" in output


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_disk_measures_every_store() -> None:
    """It fails if a callback is not exactly once in every sink."""
    output = shell(the_block(QUICK[8]))
    rows = re.findall(r"^\| ([A-Za-z ,()]+) \| (\d+) \| (\d+) MB \|$", output, re.MULTILINE)
    stores = ["spool", "Kafka", "archive", "PostgreSQL", "of that, indexes", "Valkey (memory)"]
    assert [store for store, _, _ in rows] == stores
    assert all(int(size) > 0 for _, size, _ in rows)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_short_benchmark_of_the_audit_measures_every_reader() -> None:
    """It fails if a record is not read once, or the report has a fault."""
    rows = readers(shell(the_block(QUICK[9])))
    assert set(rows) == {"counting", "audit", "audit_with_counts"}
    assert all(re.fullmatch(r"[\d,.]+", cell) for cells in rows.values() for cell in cells[1:])


def test_make_runs_the_complete_benchmarks() -> None:
    """They take too long to run here, so this is a dry run of make."""
    complete = [block for block in BLOCKS if not any(part in block for part in QUICK)]
    modules = {}
    for block in complete:
        target = re.fullmatch(r"make bench-([a-z]+)\n", block)
        assert target is not None
        name = target[1]
        modules[name] = shell(f"make --dry-run --assume-old=setup bench-{name}")
        assert f"python -m bench.{name}" in modules[name]
    assert {"ingress", "archive", "counters", "scale", "latency", "sync", "disk", "audit"} <= set(
        modules
    )


def readers(output: str) -> dict[str, list[str]]:
    """Return the cells of the archive's table, by reader."""
    return {
        cells[0].strip("`"): cells
        for line in output.splitlines()
        if line.startswith("| `")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }


def number(cell: str) -> int:
    """Return a count of the table."""
    return int(cell.replace(",", ""))
