"""Fixtures and command-line options that all tests share."""

import gc
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Any

import psycopg
import pytest
from _pytest.runner import runtestprotocol
from support import failures, tiers
from support.postgres_template import prepare_postgres
from support.schedule import Shared, in_order
from valkey import Valkey

from ingress.spool import directory, group_commit
from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey

# Tests leave little garbage in cycles: with Python's own thresholds most collections find none.
GC_THRESHOLDS = (20_000, 20, 100)
# The name of the report section that collects the lines of `say`.
_SAID = "said"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`."""
    parser.addoption(
        "--long",
        type=int,
        default=0,
        metavar="FACTOR",
        help="run the tests that are marked long, and those that repeat something, with FACTOR"
        " times as many seeds, kills and Hypothesis examples",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the factor before test modules read it."""
    tiers.use_factor(max(1, config.getoption("--long")))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shared | None:
    """Schedule by support.schedule if pytest-xdist was asked for `loadscope`."""
    return Shared(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(trylast=True)  # after Hypothesis's own, which marks its tests
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests of this run: `--long` skips each test whose amount of work does not grow."""
    factor = config.getoption("--long")
    chosen = [item for item in items if (_grows(item) if factor else not _is_long(item))]
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = in_order(chosen)
    for item in items if factor > 1 else ():
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * factor), append=False)


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None


def _grows(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return _is_long(item) or "scaled" in names or item.get_closest_marker("hypothesis") is not None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep garbage collections rare and short: none searches modules and collected tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have the collection of `caplog` search only what the fixtures of its test have made."""
    if "caplog" in getattr(item, "fixturenames", ()):
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """
    Have a process of pytest-xdist send only the report of the call of a test that passes.

    The reports of the setup and the teardown, and two events, would be a tenth of the CPU time of
    all unit tests. A list of the slowest tests needs these reports.
    """
    if not hasattr(item.config, "workerinput") or item.config.option.durations is not None:
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain the difference of long collections in place of printing both."""
    return failures.explain_comparison(op, left, right)


def _arguments(item: pytest.Item) -> dict[str, object]:
    return getattr(item, "funcargs", {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Shorten the captured output of a failed test, and add the logs of its programs."""
    report = yield
    if report.failed:
        report.sections = [
            *((title, failures.shorten(text)) for title, text in report.sections),
            *((f"Log {name}", text) for name, text in failures.logs_of(_arguments(item))),
        ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines of `say` from all processes that ran tests, then what failed."""
    reports = [
        report
        for category in terminalreporter.stats.values()
        for report in category
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for report in sorted(reports, key=lambda report: report.nodeid)
        for kind, text in report.user_properties
        if kind == _SAID
    ]
    if lines:
        terminalreporter.section("counts")
    for line in lines:
        terminalreporter.write_line(line)
    _print_messages(terminalreporter)


def _print_messages(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the message of each failure at the end, where CI keeps it."""
    for category in ("error", "failed"):
        for report in terminalreporter.stats.get(category, ()):
            terminalreporter.section(f"{category}: {report.nodeid}", sep="-")
            terminalreporter.write_line(failures.message(report))


@pytest.fixture(scope="session", autouse=True)
def _patient_spools() -> Iterator[None]:
    """
    Give spools time on a busy machine; some tests set a shorter time.

    An fsync that takes longer fails the callbacks of its commit, and a start takes a new spool if
    the verification of its file takes longer.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(group_commit, "DISK_TIMEOUT_S", 180.0)
        patched.setattr(directory, "START_VERIFY_TIMEOUT_S", 180.0)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Return a real PostgreSQL server, which all tests of this process share."""
    prepare_postgres()
    with child.running(EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """Return a real Valkey server, which all tests of this process share."""
    with child.running(EmbeddedValkey(tmp_path_factory.mktemp("valkey"))) as server:
        yield server


@pytest.fixture
def conninfo(postgres_server: EmbeddedPostgres) -> str:
    """Return the connection string of an empty database that only this test uses."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return f"postgresql://hookline@127.0.0.1:{postgres_server.port}/{name}"


@pytest.fixture
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """Return the URL of a Valkey without keys."""
    with Valkey.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """
    Return pytest's own fixture, without what objects of earlier tests log.

    asyncio logs an exception that was never retrieved when the future is collected as garbage,
    which may be during any later test.
    """
    gc.collect()
    caplog.clear()
    return caplog


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that adds a line to the summary after the run."""

    def line(text: object) -> None:
        request.node.user_properties.append((_SAID, str(text)))

    return line


@pytest.fixture(scope="session")
def scaled() -> Callable[..., int]:
    """Return how many seeds or kills this run does in place of so many; see support.tiers."""
    return tiers.scaled
