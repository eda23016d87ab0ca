"""Commands end with the cause of an outage; services log it once, wait, and go on."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from support.kafka.secured import ADMIN, PASSWORD, SCRAM, SecuredBroker
from support.processes.command import run_hookline
from support.processes.consumer import Consumer
from support.processes.ingress import Connection, Ingress, post, until

from schemas.topics import CALLBACKS

WRONG = "never-show-this"
REJECTED = "the broker rejects the credentials"
PASSWORD_FILE = "HOOKLINE_KAFKA_PASSWORD_FILE"  # noqa: S105 - the name of a setting


def with_wrong_password(broker: SecuredBroker, directory: Path) -> dict[str, str]:
    """Return the variables of a process whose password file the test may write again."""
    file = directory / "password"
    file.touch(mode=0o600)
    file.write_text(WRONG)
    return broker.env(SCRAM, user=ADMIN) | {PASSWORD_FILE: str(file)}


def failed(env: Mapping[str, str], *arguments: str) -> str:
    """Return what a command that cannot use Kafka writes to stderr; its exit code must be 2."""
    done = run_hookline(*arguments, env=os.environ | env)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


def is_in(log: Path, text: str) -> bool:
    """Return whether a log has a text."""
    return text in log.read_text()


async def test_commands_end_with_the_cause_and_the_setting(
    secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """Nothing secret is printed; a right that is missing is printed with topic and principal."""
    wrong = with_wrong_password(secured_broker, tmp_path)
    for arguments in (("dead-letters", "ls"), ("topics", "apply", "--dry-run", "--wait", "0")):
        printed = failed(wrong, *arguments)
        assert f"Kafka at {secured_broker.address_of(SCRAM)} cannot be used: {REJECTED}" in printed
        assert PASSWORD_FILE in printed
        assert WRONG not in printed
    await secured_broker.set_password("stranger", PASSWORD)
    stranger = secured_broker.env(SCRAM, user="stranger")
    printed = failed(stranger, "topics", "apply")
    assert f'Kafka does not authorize "User:stranger" for the topic "{CALLBACKS.name}"' in printed
    assert "does not authorize this principal to describe it" in failed(
        stranger, "dead-letters", "ls"
    )


async def test_the_ingress_logs_the_cause_once_and_goes_on_with_the_new_password(
    secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """Callbacks are answered OK meanwhile, and are in Kafka after the password is corrected."""
    env = with_wrong_password(secured_broker, tmp_path)
    ingress = Ingress(tmp_path / "spools", env["HOOKLINE_BOOTSTRAP_SERVERS"], env=env)
    try:
        await ingress.start()
        connection = await Connection.open(ingress.port)
        connection.send(post(b'{"a": 1}'))
        assert (await connection.answer()).status == 200
        connection.close()

        async def has_cause() -> bool:
            return REJECTED in str((await ingress.status())["forward_fault"])

        await until(has_cause, "/status has the cause")
        (tmp_path / "password").write_text(PASSWORD)
        await ingress.until_forwarded()
        log = ingress.log.read_text()
        assert log.count(REJECTED) == 1, log
        assert WRONG not in log
    finally:
        ingress.kill()


async def test_a_consumer_logs_the_missing_right_once_and_goes_on_when_it_is_added(
    secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """First the right to its group is missing, then that to its topic; it ends for neither."""
    broker, user = secured_broker, "archiver"
    await broker.set_password(user, PASSWORD)
    env = broker.env(SCRAM, user=user)
    log = tmp_path / "archive.log"
    archive = Consumer("archive", env["HOOKLINE_BOOTSTRAP_SERVERS"], log, env=env, url=tmp_path)
    archive.launch()
    try:
        for resource, kind, name in (
            ('group "archive"', "Group", "archive"),
            (f'topic "{CALLBACKS.name}"', "Topic", CALLBACKS.name),
        ):
            denied = f'Kafka does not authorize "User:{user}" for the {resource}'
            await until(partial(is_in, log, denied), f"the log has: {denied}")
            await broker.allow("Read", kind, name, user=user)
        await until(partial(is_in, log, "Kafka answers again"), "the outage ends")
        lines = [line for line in log.read_text().splitlines() if "authorize" in line]
        assert len(lines) == len(set(lines)) == 2, lines
    finally:
        archive.kill()
