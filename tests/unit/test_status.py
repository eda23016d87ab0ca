"""The screen and the JSON of `hookline status`, without any part of the pipeline."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from support.pipeline_states import (
    BRAKED,
    DENIED,
    NOW,
    REJECTED,
    SILENT,
    WELL,
    WITHOUT_ACCESS,
    a_consumer,
    an_ingress,
    measured,
    with_dead_letters,
    with_kafka,
)
from support.reported import flat, report_of, shown

from consumers.runtime.phase import Phase
from consumers.runtime.status import Fault
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess, TokenUse
from consumers.stats.sizes import size_text
from ops.failure import ExitCode
from ops.options import ingress_option
from ops.status.command import status
from ops.status.report import Report, StoreReport
from ops.status.screen import problems
from ops.status.texts import duration, per_second


def test_the_screen_of_nothing_does_not_say_that_it_works() -> None:
    """Without any address, and without Kafka."""
    report = report_of(ProcessStatuses(now=NOW, ingress=None))
    first = flat(shown(report)[:2])
    assert "nothing is known of: Receiving, On disk, Kafka" in first
    assert "works" not in first
    hint = "No part answers. With Docker, ask from a container: docker compose run --rm ops status"
    assert hint in flat(shown(report))
    assert flat(shown(report)).endswith("`make demo DEMO=--keep` prints the one for its parts.")
    assert "STATS_INGRESS (of hookline status: --ingress)" in flat(shown(report))
    assert "STATS_CONSUMERS (of hookline status: --consumers)" in flat(shown(report))
    assert hint in flat(shown(report_of(ProcessStatuses(now=NOW, ingress=[SILENT]))))
    for answers in (measured(), with_kafka(), measured([an_ingress(), SILENT])):
        assert "No part answers" not in flat(shown(report_of(answers)))


def test_the_screen_says_why_kafka_cannot_be_used() -> None:
    """Of each process, and of this command itself; the whole cause is below the table once."""
    report = report_of(WITHOUT_ACCESS)
    text = flat(shown(report))
    assert f"The reason: {REJECTED}." in text
    assert report.topic is not None
    assert report.topic.not_known_because == DENIED
    assert "this command cannot use Kafka: Kafka does not authorize" in text
    assert problems(report)[0].what.en.startswith("Callbacks do not get to Kafka")
    waiting = a_consumer(
        kafka_fault=Fault(what=REJECTED, for_s=41.0),
        phase=Phase.WAITING_FOR_KAFKA,
        phase_because=f"The process continues when the cause is gone. For 41 s: {REJECTED}",
    )
    text = flat(shown(report_of(measured(sync=[waiting]))))
    assert re.search(r"sync:8084 waits 0.2 s -? ?For 41 s: Kafka at kafka-1", text), text


def test_a_kafka_that_only_this_command_asks_is_shown_with_the_cause() -> None:
    """Nothing else is known then, not even that nothing is lost."""
    cause = "Kafka at 127.0.0.1:1 cannot be used: the connection is refused"
    what = ProcessStatuses(now=NOW, ingress=None, kafka=SilentProcess(because=cause))
    text = flat(shown(report_of(what)))
    assert f"Kafka unknown - this command cannot use Kafka: {cause}" in text
    assert "Kafka: This process cannot use Kafka. No ingress replica answers, and no" in text
    assert text.count(f"The reason: {cause}.") == 2
    assert "Nothing" not in text
    answered = replace(what, kafka=with_kafka().kafka)
    text = flat(shown(report_of(answered)))
    assert "works" not in text
    assert "Kafka unknown - 6 partitions, kept 7 d" in text
    assert "Kafka: Kafka can be read. It is not known whether callbacks get there" in text


def test_a_pipeline_that_is_well_fits_on_one_screen() -> None:
    """It says so first, in 80 columns and 24 lines."""
    stores = [
        StoreReport(
            name="archive",
            size_bytes=3 << 30,
            disk_free_bytes=1 << 40,
            bytes_per_day=1e9,
            full_in_s=95e6,
        ),
        StoreReport(name="PostgreSQL", not_known_because="no answer within 2 s"),
    ]
    lines = shown(report_of(with_kafka(), stores))
    assert lines[0] == "2026-11-28 06:42:00 UTC  healthy"
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "Database        ok    0.2 s" in text
    assert "sync: 1 process, 6 partitions" in text
    assert "3.0 GiB" in text
    assert "no answer within 2 s" in text


def test_the_slowest_group_is_named_with_the_time_until_it_would_lose_records() -> None:
    """By the retention of the topic."""
    late = replace(
        with_kafka(retention_s=48 * 3600.0).kafka_facts,
        unread_since={},  # type: ignore[type-var]
    )
    what = replace(
        measured(
            sync=[a_consumer(oldest_waiting_s=7 * 3600.0)],
            counters=[a_consumer(oldest_waiting_s=60.0)],
        ),
        kafka=late,
    )
    report = report_of(what)
    assert report.topic is not None
    assert report.topic.slowest_group == "sync"
    assert report.topic.unread_lost_in_s == 41 * 3600
    assert "sync would lose unread records in 41 h" in flat(shown(report))


def test_a_group_whose_records_wait_only_for_its_batch_is_not_named() -> None:
    """An archive writes a file only a minute after its first record; nothing is wrong then."""
    waits = a_consumer(oldest_waiting_s=55.0, batch_age_s=60.0)
    report = report_of(replace(with_kafka(), consumers=measured(archive=[waits]).consumers))
    assert report.topic is not None
    assert report.topic.slowest_group == "archive"
    assert report.exit_code == 0
    assert "would lose" not in flat(shown(report))


@pytest.mark.parametrize(
    ("what", "code", "verdict"),
    [
        (WELL, 0, "healthy"),
        (with_dead_letters(timedelta(days=2), 0), 5, "works, but look at: Dead letters"),
        (with_dead_letters(timedelta(hours=2), 1), 5, "works, but look at: Dead letters"),
        (replace(WELL, kafka=SILENT), 5, "works, but look at: Dead letters"),
        (measured(sync=[SILENT]), 6, "a person must act: Database"),
        (measured(sync=[BRAKED], archive=[SILENT]), 6, "a person must act: Archive, Database"),
    ],
)
def test_the_exit_code_says_whether_a_person_must_act(
    what: ProcessStatuses, code: int, verdict: str
) -> None:
    """It is none of the codes of other commands, which say that callbacks are missing."""
    report = report_of(what)
    assert report.exit_code == code
    assert shown(report)[0].endswith(f"UTC  {verdict}")
    assert code == 0 or code not in {
        ExitCode.FAULT,
        ExitCode.UNREADABLE,
        ExitCode.INCOMPLETE,
        ExitCode.DEAD_LETTERED,
    }


def test_a_fault_is_described_with_the_words_of_the_statistics_page() -> None:
    """With what to do, and where to read more."""
    report = report_of(measured(sync=[a_consumer(sink_fault=Fault(what="x", for_s=60.0))]))
    (stage,) = (stage for stage in report.stages if stage.state == "wrong")
    text = flat(shown(report))
    for words in (stage.what.en, stage.what_to_do.en, stage.runbook):
        assert words in text


def test_what_is_unknown_because_of_kafka_has_no_text_of_its_own() -> None:
    """The text about Kafka says what to do for all of it."""
    away = a_consumer(
        kafka_fault=Fault(what="x", for_s=60.0), partitions=None, oldest_waiting_s=None
    )
    stuck = an_ingress(forward_fault="KafkaError: away", oldest_waiting_s=60.0)
    what = replace(measured([stuck], archive=[away], sync=[away], counters=[away]), kafka=SILENT)
    lines = shown(report_of(what))
    assert sum(line.lstrip().startswith("Do: ") for line in lines) == 1
    # What nobody can act on but by a setting has one.
    lines = shown(report_of(measured(None)))
    assert any("Set STATS_INGRESS" in line for line in lines)


def test_the_short_screen_shows_only_processes_that_are_not_well() -> None:
    """It is for terminals of few lines."""
    what = measured(
        [an_ingress(), an_ingress(unready_because="I/O error")],
        sync=[a_consumer(), SILENT],
    )
    whole = "\n".join(shown(report_of(what)))
    short = "\n".join(shown(report_of(what), is_short=True))
    assert "10.0.0.0:8081" in whole
    assert "10.0.0.0:8081" not in short
    assert "10.0.0.1:8081 unready" in short
    assert "sync:8084" not in short
    assert "sync:8085     silent" in short


def test_a_replica_reports_its_spool_its_disk_its_tokens_and_kafka() -> None:
    """On one line of its own."""
    uses = (TokenUse(last_used_ago_s=250.0), TokenUse(last_used_ago_s=41.0), TokenUse())
    replica = an_ingress(
        tokens=uses, spool_full_in_s=7200.0, spool_disk_free_bytes=5 << 30, spool_bytes=1234
    )
    report = report_of(measured([replica]))
    assert report.ingress[0].token_last_used_ago_s == 41.0
    line = next(line for line in shown(report, width=200) if "10.0.0.0:8081" in line)
    assert "3 rows, 12 %; full in 2 h; 5.0 GiB free; Kafka ok; token used 41 s ago" in line


def test_a_replica_names_the_apps_without_a_token() -> None:
    """The first three: their callbacks are accepted from anyone. Those by mistake are a warning."""
    apps = ("1", "2", "3", "4", "5")
    report = report_of(measured([an_ingress(apps_without_token=apps)]))
    assert report.ingress[0].apps_without_token == apps
    line = next(line for line in shown(report, width=200) if "10.0.0.0:8081" in line)
    assert "Kafka ok; no token: app 1, 2, 3 and 2 more" in line
    assert report.exit_code == 0
    replica = an_ingress(apps_without_token=apps, apps_not_in_tokens_file=("4", "2"))
    report = report_of(measured([replica]))
    line = next(line for line in shown(report, width=200) if "10.0.0.0:8081" in line)
    assert "Kafka ok; not in the tokens file: app 4, 2; no token: app 1, 3, 5" in line
    assert report.exit_code == 5
    assert "not name all apps of INGRESS_SDKAPPIDS (missing: 2)" in flat(shown(report))


def test_a_replica_says_why_its_tokens_file_and_kafka_cannot_be_used() -> None:
    """In the words of the process."""
    replica = an_ingress(tokens_fault="line 3 is not TOML", forward_fault="no such topic")
    line = next(
        line for line in shown(report_of(measured([replica])), width=200) if "10.0.0.0:8081" in line
    )
    assert "to Kafka: no such topic; tokens: line 3 is not TOML" in line


def test_a_reason_is_whole_or_ends_with_an_ellipsis() -> None:
    """The longest one of Kafka's causes is whole; the process writes texts of any length."""
    cause = f"Kafka at kafka:9092 cannot be used: {'x' * 200} and the DNS"
    for fault, end in ((cause, "and the DNS"), ("y" * 1000, "y…")):
        (line,) = (
            line
            for line in shown(report_of(measured([an_ingress(forward_fault=fault)])), width=900)
            if "10.0.0.0:8081" in line
        )
        assert line.endswith(end)


def test_foreign_text_controls_no_terminal() -> None:
    """Reasons of processes, and names in dead letters, are written by others."""
    hostile = "\x1b]0;x\x07[bold]x[/nosuch]\r\n\u202e"
    waits = a_consumer(
        sink_fault=Fault(what=hostile, for_s=1.0),
        phase=Phase.WAITING_FOR_SINK.value,
        phase_because=f"It waits. {hostile}",
    )
    stopped = a_consumer(stopped=Fault(what=hostile, for_s=1.0), partitions=None)
    replica = an_ingress(unready_because=hostile, tokens_fault=hostile, forward_fault=hostile)
    report = report_of(measured([replica, replica], sync=[waits], archive=[stopped]))
    text = "\n".join(shown(report))
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert r"\x1b]0;x\x07[bold]x[/nosuch]\r\n\u202e" in "".join(text.split())


def test_the_help_needs_no_client_library() -> None:
    """Their imports take half a second of CPU time, also on a machine that is busy already."""
    code = "import sys, ops.status.command as _; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert not {b"aiohttp", b"aiokafka", b"psycopg", b"valkey", b"msgspec"} & set(loaded.split())


def test_the_json_can_be_read_as_the_documented_type() -> None:
    """Its names are stable."""
    report = report_of(with_dead_letters(timedelta(hours=2), 1))
    encoded = msgspec.json.encode(report)
    assert msgspec.json.decode(encoded, type=Report) == report
    assert list(json.loads(encoded)) == [
        *("at", "state", "exit_code", "stages", "ingress", "topic", "consumers"),
        *("dead_letters", "stores", "tokens", "failures_by_sender"),
    ]
    assert json.loads(encoded)["at"] == NOW.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (41.2, "41 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (41.9 * 3600, "41 h"),
        (6.9 * 86400, "6 d"),
        (1e12, "> 10 y"),
    ],
)
def test_a_duration_has_at_most_three_digits(seconds: float | None, text: str) -> None:
    """A time left is never shown longer than it is."""
    assert duration(seconds) == text


def test_rates_and_sizes_are_short() -> None:
    """Two or three digits."""
    assert [per_second(n) for n in (None, 0, 0.44, 132.4)] == ["-", "0/s", "0.4/s", "132/s"]
    assert [size_text(n) for n in (0, 999, 1000, 340 << 20, 1.2 * 2**30, 5e15)] == [
        *("0 B", "999 B", "1.0 KiB", "340 MiB", "1.2 GiB", "4547 TiB")
    ]


def ended(*arguments: str, **env: Any) -> Result:
    """Return the result of the command."""
    return CliRunner().invoke(status, arguments, env={"HOOKLINE_BOOTSTRAP_SERVERS": "x:1", **env})


@click.command()
@ingress_option
def show_ingresses(admin_urls: tuple[str, ...]) -> None:
    """Print the addresses that `audit` and `find` ask."""
    click.echo(" ".join(admin_urls))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ingress", "http://a:1,https://b:2"],
        ["--ingress", "http://a:1", "--ingress", "https://b:2"],
    ],
)
def test_several_ingresses_are_named_by_commas_or_by_several_options(arguments: list[str]) -> None:
    """Each command takes both: people copy the option of one to another."""
    assert CliRunner().invoke(show_ingresses, arguments).output == "http://a:1 https://b:2\n"
    values = status.make_context("status", list(arguments)).params["ingress"]
    assert values == ("http://a:1", "https://b:2")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("STATS_INGRESS", "ingress:8081", "ingress:8081 is not a URL like http://host:8081"),
        ("STATS_CONSUMERS", "sink=http://a:1", "sink is not a consumer"),
        ("STATS_CONSUMERS", "sync=a:1", "a:1 is not a URL"),
        ("STATS_GATEWAY", "http://a:1,http://b:1", "only one URL is allowed"),
        ("STATS_VALKEY", "localhost", "it must be a URL like valkey://"),
    ],
)
def test_a_wrong_address_is_refused_with_its_option(variable: str, value: str, text: str) -> None:
    """Before anything is asked."""
    result = ended(**{variable: value})
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("\n", " ").replace("│", " ").split())


def test_what_no_process_reports_is_not_shown_as_zero() -> None:
    """Neither the partitions of a silent consumer, nor retries that a process does not report."""
    text = flat(shown(report_of(measured(sync=[SILENT], archive=[a_consumer()] * 2))))
    assert "sync: 1 process, 1 silent" in text
    assert "0 retries" not in text
    two = measured(sync=[SILENT, a_consumer(retries=0)])
    text = flat(shown(report_of(two)))
    assert "sync: 2 processes, 6 partitions, 1 silent" in text
    assert "6 partitions, 0 retries" in text
