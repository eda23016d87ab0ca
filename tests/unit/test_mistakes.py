"""Mistakes on the command line, and what `hookline` says to them."""

import gc
import logging
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from support.processes.blackbox import HOOKLINE

from ops.audit.ends_reader import read_ends
from ops.audit.sources import SourceUnavailable
from ops.audit.statistics_api import StatisticsApi
from ops.cli import command, main
from ops.demo.embedded.child import free_port
from ops.nouns import counted
from ops.simulate.callbacks import requests
from ops.simulate.delivery import UrlRotation, deliver

ErrorsOf = Callable[..., str]


@pytest.fixture
def errors_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[ErrorsOf]:
    """Return a function that returns what a command prints on stderr, if it ends with `code`."""

    def errors_of(*arguments: str, code: int) -> str:
        monkeypatch.setattr("sys.argv", ["hookline", *arguments])
        with pytest.raises(SystemExit) as ended:
            command()
        output = capsys.readouterr()
        assert (ended.value.code, output.out) == (code, "")
        return output.err

    library = logging.getLogger("aiokafka")
    level = library.level
    yield errors_of
    library.setLevel(level)
    gc.enable()


@asynccontextmanager
async def a_server_without(path: str) -> AsyncIterator[str]:
    """Yield the URL of a server of HTTP that answers 404 to everything, as `path` is not there."""
    async with TestServer(web.Application()) as server:
        yield f"http://127.0.0.1:{server.port}{path}"


@pytest.mark.parametrize(
    ("given", "meant"), [(("audti",), "audit"), (("archive", "verfy"), "verify")]
)
def test_a_command_that_does_not_exist_has_a_suggestion(
    errors_of: ErrorsOf, given: tuple[str, ...], meant: str
) -> None:
    """In every group of commands, if a name is close."""
    assert errors_of(*given, code=2).count(f"Did you mean '{meant}'?") == 1
    assert "Did you mean" not in errors_of(*given[:-1], "zzzzzz", code=2)


def test_the_installed_program_runs_the_command_line(errors_of: ErrorsOf) -> None:
    """With the same exit code and the same text."""
    done = subprocess.run(
        [HOOKLINE, "audti"], capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == errors_of("audti", code=2)


def all_commands() -> Iterator[tuple[str, str]]:
    """Yield every command with its help, as a pipe gets it."""
    names: list[tuple[str, ...]] = [()]
    for name in names:
        text = CliRunner().invoke(main, [*name, "--help"]).output
        yield " ".join(name), text
        listed = text.partition("\nCommands:\n")[2]
        names += [(*name, line.split()[0]) for line in listed.splitlines()]


def test_the_help_of_each_command_is_whole_and_in_words() -> None:
    """Click cuts a summary that is too long, and shows the form of a time as strftime has it."""
    helps = dict(all_commands())
    assert {"", "replay", "dead-letters drop", "archive parquet"} <= helps.keys()
    for name, text in helps.items():
        summaries = text.partition("\nCommands:\n")[2].splitlines()
        assert not [line for line in summaries if line.endswith("...")], name
        assert all(len(line) <= 80 for line in summaries), name
        assert "%Y" not in text, name


def test_a_list_of_nothing_says_so(tmp_path: Path, errors_of: ErrorsOf) -> None:
    """Nothing is printed on stdout, for programs."""
    for option in ((), ("--json",)):
        text = errors_of("spool", "ls", "--spool", str(tmp_path), *option, code=0)
        assert f"no spools in {tmp_path}" in text
        text = errors_of("archive", "ls", "--archive", str(tmp_path), *option, code=0)
        assert f"no segments in {tmp_path}" in text


async def test_the_public_port_in_place_of_the_admin_port_is_recognized() -> None:
    """It is not the ingress that has to be started."""
    async with a_server_without("") as url:
        (doubt,) = (await read_ends([url], None)).doubts.values()
    assert "give the admin port of the ingress (INGRESS_ADMIN_PORT)" in doubt
    assert "start that ingress" not in doubt


async def test_the_admin_port_in_place_of_the_public_port_is_recognized() -> None:
    """Its answer has no reason in the vendor's form."""
    request = next(requests(("1400000001",), users=2, seed=1))
    async with a_server_without("/") as url, aiohttp.ClientSession() as session:
        result = await deliver(session, request, UrlRotation([url]))
    assert result.failed_tries == ("answered 404, not by Hookline's public port",)


def test_an_address_at_which_nothing_listens_is_named_with_its_option(errors_of: ErrorsOf) -> None:
    """And with its variable. Of the table by answer, only the number is different."""
    port = free_port()
    refused = f"http://127.0.0.1:{port}/"
    sent = CliRunner().invoke(
        main, ["simulate", "--url", refused, "--sdkappid", "1400000001", "--count", "2"]
    )
    assert sent.exit_code == 1
    wanted = f"connection refused: nothing listened at {refused}: start the ingress, or check --url"
    assert wanted in sent.stderr
    postgres = f"postgresql://hookline@127.0.0.1:{port}/postgres"
    text = errors_of("sync", "expire", "--older-than", "90d", "--postgres", postgres, code=2)
    assert "check that it runs, and SYNC_POSTGRES (of a command: --postgres). " in text
    text = errors_of("archive", "ls", "--archive", "/nowhere", code=2)
    assert "does not exist: no such directory; check ARCHIVE_URL (of a command: --arch" in text


async def test_a_statistics_api_that_does_not_answer_has_its_option_in_the_text() -> None:
    """Another server, which answers, does not need it."""
    api = StatisticsApi(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SourceUnavailable, match=r"check that it runs, and OPS_STATS \(--stats\)"):
        await api.ask("/v1/totals", dict, what="totals")
    async with a_server_without("") as url:
        with pytest.raises(SourceUnavailable, match=r"status 404$"):
            await StatisticsApi(url).ask("/v1/totals", dict, what="totals")


def test_a_number_and_its_noun_agree() -> None:
    """One has no plural, and nouns in s have one of their own."""
    texts = [counted(number, noun) for number in (0, 1, 2000) for noun in ("row", "process")]
    singular = ["1 row", "1 process"]
    assert texts == ["0 rows", "0 processes", *singular, "2,000 rows", "2,000 processes"]
