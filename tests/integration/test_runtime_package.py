"""The wheel of hookline-runtime in an environment of its own, beside a team's own packages."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from support.kafka.parts import Pipe, many
from support.processes.consumer import Consumer
from support.processes.ingress import until

from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import CALLBACKS

ROOT = Path(__file__).parents[2]
OURS = ("schemas", "ops", "consumers", "ingress")
# The content of each of the team's packages, by which its program knows whose package it got.
THE_TEAMS = 'OWNER: str = "the team"\n'
CHECK_OWNERS = "".join(
    f"import {name}\nassert {name}.OWNER == 'the team'\n{name}_owner: str = {name}.OWNER\n"
    for name in OURS
)
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
import hookline_runtime
for module in pkgutil.walk_packages(hookline_runtime.__path__, "hookline_runtime."):
    importlib.import_module(module.name)
print(sorted({name.split(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""
COUNTS = "select * from days order by day, app, command"
LAST_RECORDS = """select partition_number, last_offset, last_origin, last_sequence
    from hookline_positions where last_offset is not null order by partition_number"""
RECORDS = 600


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command to its end and return its output; it must succeed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it and its dependencies, and return the new environment's Python."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, ROOT / "deploy" / "runtime")
    (wheel,) = folder.glob("hookline_runtime-*.whl")
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    install = (uv, "pip", "install", "--quiet", "--python", python, wheel)
    constraints = ("--constraint", ROOT / "requirements" / "run.txt")
    try:
        # `make setup` has left the packages in uv's cache.
        run(*install, *constraints, "--offline")
    except AssertionError:
        run(*install, *constraints)
    return python


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """Return a team's folder: our example, and packages of the team's with the names of ours."""
    folder = tmp_path / "team"
    shutil.copytree(ROOT / "examples" / "subscriber", folder)
    for name in OURS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(THE_TEAMS)
    return folder


def test_a_subscriber_passes_mypy_strict_beside_packages_of_the_same_names(
    installed: Path, team: Path
) -> None:
    """Each program on the runtime has no error; a wrong use of the runtime is one."""
    (team / "owners.py").write_text(CHECK_OWNERS)
    shutil.copy(ROOT / "examples" / "keyed-store" / "keyed_store.py", team)
    shutil.copy(ROOT / "examples/subscribers/python_runtime/subscriber.py", team / "messages.py")
    wrong = (team / "subscriber.py").read_text().replace("e.received_at:%F", "e.received_at.year()")
    (team / "wrong.py").write_text(wrong)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--no-incremental")
    programs = ("subscriber.py", "keyed_store.py", "messages.py", "owners.py", "wrong.py")
    # Neither pytest nor Valkey's client is in this environment; the runtime must be.
    silent = team / "mypy.ini"
    silent.write_text("[mypy]\n[mypy-pytest,valkey.*]\nignore_missing_imports = True\n")
    ran = subprocess.run(
        (*mypy, "--config-file", silent, "--python-executable", installed, *programs),
        cwd=team,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = ran.stdout.splitlines()
    assert len(found) == 2, ran.stdout + ran.stderr
    assert found[0].startswith("wrong.py:")
    assert '"int" not callable' in found[0]


def test_the_wheel_imports_none_of_a_teams_packages(installed: Path, team: Path) -> None:
    """Every module can be imported in the team's folder, and the team's packages stay its own."""
    assert run(installed, "-c", IMPORT_EVERYTHING, *OURS, cwd=team) == "[]\n"
    run(installed, "-c", CHECK_OWNERS, cwd=team)


@contextlib.contextmanager
def subscriber(kafka: str, file: Path, *command: str | Path, **env: str) -> Iterator[Consumer]:
    """Run a member of the group `subscriber` for the time of the block."""
    env |= {"PYTHONPATH": "", "SUBSCRIBER_FILE": str(file)}
    member = Consumer("subscriber", kafka, file.with_suffix(".log"), env=env)
    member.command = [str(part) for part in command]
    member.launch()
    try:
        yield member
        member.stop()
        assert member.process.wait(180) == 0, member.log.read_text()
    finally:
        member.kill()


def rows(file: Path) -> list[list[tuple[Any, ...]]]:
    """Return the counts in a subscriber's file, and the last record of each partition."""
    with closing(sqlite3.connect(file, timeout=180)) as database:
        return [database.execute(query).fetchall() for query in (COUNTS, LAST_RECORDS)]


async def until_counted(member: Consumer, file: Path) -> list[list[tuple[Any, ...]]]:
    """Return the rows once the file has every committed record."""

    def complete() -> bool:
        assert member.runs, member.log.read_text()
        with contextlib.suppress(sqlite3.OperationalError):  # no table yet
            return sum(int(row[-1]) for row in rows(file)[0]) >= RECORDS
        return False

    await until(complete, "the subscriber has counted every record")
    return rows(file)


async def test_the_wheel_reads_the_same_records_as_the_source_tree(
    installed: Path, team: Path, empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Both count the committed records alone, and end at the same records."""
    with closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(RECORDS // 2))
        await pipe.forward()
        await abort_a_record(empty_kafka.address)
        await pipe.store(many(RECORDS // 2))
        await pipe.forward()
    example = team / "subscriber.py"
    with subscriber(empty_kafka.address, tmp_path / "wheel.db", installed, example) as member:
        by_wheel = await until_counted(member, tmp_path / "wheel.db")
    of_the_tree = tmp_path / "of_the_tree.py"
    of_the_tree.write_text(example.read_text().replace("hookline_runtime", "consumers.runtime"))
    tree = (sys.executable, of_the_tree)
    rebuilt = {"CONSUMER_REBUILD": "true"}
    with subscriber(empty_kafka.address, tmp_path / "tree.db", *tree, **rebuilt) as member:
        by_tree = await until_counted(member, tmp_path / "tree.db")
    assert by_wheel == by_tree
    assert sum(callbacks for *_, callbacks in by_wheel[0]) == RECORDS


async def abort_a_record(bootstrap_servers: str) -> None:
    """Leave a record of an aborted transaction between those that are committed."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id="aborted"
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(CALLBACKS.name, b"{}", partition=0)
        await producer.abort_transaction()
