"""`hookline status` and the page say why a process cannot use Kafka, not only that it waits."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from support.acls.clients import listed, remove
from support.kafka.secured import ADMIN, PASSWORD, SCRAM, SecuredBroker
from support.processes.blackbox import HOOKLINE
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress, until

from consumers.stats.health_answers import Health, Stage
from consumers.stats.pipeline import watched_pipeline
from consumers.stats.processes import Watched
from ops.status.report import Report
from schemas.kafka_access import kafka_access
from schemas.topics import CALLBACKS, DEAD_LETTERS

REJECTED = "the broker rejects the credentials"
ARCHIVER, ASKER = "status-archiver", "status-asker"
ARCHIVER_RIGHTS = (("Group", "archive"), ("Topic", CALLBACKS.name))
ASKER_RIGHTS = (
    ("Describe", CALLBACKS.name),
    ("DescribeConfigs", CALLBACKS.name),
    ("Read", "tim.callbacks.dead.actions.v1"),
)


async def run(env: Mapping[str, str], *options: str) -> str:
    """Return the output of `hookline status`."""
    done = await asyncio.to_thread(
        subprocess.run,
        [HOOKLINE, "status", *options],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.stdout


async def until_shown(env: Mapping[str, str], **expected: str) -> Report:
    """Return the report once the text of each of these stages has the expected part."""
    reports: list[Report] = []

    async def as_expected() -> bool:
        reports.append(msgspec.json.decode(await run(env, "--json"), type=Report))
        texts: dict[str, str] = {stage.stage: stage.what.en for stage in reports[-1].stages}
        return all(text in texts[stage] for stage, text in expected.items())

    try:
        await until(as_expected, f"the stages say: {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {reports[-1].stages}") from None
    return reports[-1]


def of(health: Health, name: str) -> Stage:
    """Return one stage."""
    return next(stage for stage in health.stages if stage.stage == name)


@pytest.mark.timeout(600)
async def test_each_process_that_cannot_use_kafka_says_why(
    secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """A wrong password, an ACL that is removed, and a right that the command itself lacks."""
    broker = secured_broker
    for user in (ARCHIVER, ASKER):
        await broker.set_password(user, PASSWORD)
    for kind, name in ARCHIVER_RIGHTS:
        await broker.allow("Read", kind, name, user=ARCHIVER)
    for operation, name in ASKER_RIGHTS:
        await broker.allow(operation, "Topic", name, user=ASKER)
    wrong = broker.env(SCRAM, user=ADMIN) | {
        "HOOKLINE_KAFKA_PASSWORD_FILE": str(broker.secret_file("status-wrong", "never-show-this"))
    }
    address = wrong["HOOKLINE_BOOTSTRAP_SERVERS"]
    ingress = Ingress(tmp_path / "spools", address, env=wrong)
    log, env = tmp_path / "archive.log", broker.env(SCRAM, user=ARCHIVER)
    archive = Consumer("archive", address, log, env=env, url=tmp_path / "archive")
    asker = broker.env(SCRAM, user=ASKER) | {
        "STATS_INGRESS": f"http://127.0.0.1:{ingress.admin_port}",
        "STATS_CONSUMERS": f"archive=http://127.0.0.1:{archive.port}",
        "COLUMNS": "80",
    }
    try:
        await ingress.start()
        archive.launch()
        denied = f'"User:{ASKER}" for the topic "{DEAD_LETTERS.name}"'
        report = await until_shown(asker, kafka=REJECTED, archive="arrive", dead_letters=denied)
        assert f'"User:{ASKER}"' in report.topic.not_known_because if report.topic else False
        mine = {one for one in await listed(broker) if one.principal == f"User:{ARCHIVER}"}
        await remove(broker, {one for one in mine if one.name == CALLBACKS.name})
        denied = f'"User:{ARCHIVER}" for the topic "{CALLBACKS.name}"'
        await until_shown(asker, archive=denied)
        text = " ".join((await run(asker)).split())
        assert "never-show-this" not in text
        assert "waits" in text
        # With the dead letters, the statistics still lack the right to ask for the group.
        await broker.allow("Read", "Topic", DEAD_LETTERS.name, user=ASKER)
        broker.secret_file("status-wrong", PASSWORD)
        await broker.allow("Read", "Topic", CALLBACKS.name, user=ARCHIVER)
        denied = f'"User:{ASKER}" for the group "archive"'
        await until_shown(asker, kafka=denied, archive="arrive", dead_letters="No dead letters")
        await page_says(asker, denied)
    finally:
        ingress.kill()
        archive.kill()


async def page_says(env: Mapping[str, str], text: str) -> None:
    """Wait until the state that the page shows has the right that the statistics lack."""
    kafka = {name: each for name, each in env.items() if name.startswith("HOOKLINE_KAFKA_")}
    watched = Watched(
        ingress=[env["STATS_INGRESS"]],
        consumers=[("archive", env["STATS_CONSUMERS"].partition("=")[2])],
        kafka=kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], kafka),
    )
    async with watched_pipeline(watched) as pipeline:

        async def is_shown() -> bool:
            stage = of(await pipeline.current(), "kafka")
            return stage.state == "warning" and text in stage.what.en and text in stage.what.zh

        await until(is_shown, f"the page says: {text}")
