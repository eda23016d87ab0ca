"""Audit replicas of which one does not answer: its callbacks are never reported as proven."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.kafka.broker import Broker
from support.processes.command import run_hookline
from support.processes.ingress import Connection, Ingress, post, until

# A port of the system that nothing listens at.
NO_KAFKA = "127.0.0.1:1"
CALLBACKS = 300


async def hookline_audit(
    kafka: str, archive: Path, *ingresses: str, wait_s: float = 0
) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report."""
    addresses = [part for address in ingresses for part in ("--ingress", address)]
    options = ("--json", "--kafka", kafka, "--archive", str(archive), "--wait", str(wait_s))
    run = await asyncio.to_thread(run_hookline, "audit", *options, *addresses, env=os.environ)
    return run.returncode, json.loads(run.stdout)


@pytest.mark.timeout(600)
async def test_what_a_stopped_replica_holds_is_never_proven(
    broker: Broker, new_ingress: Callable[..., Ingress], tmp_path: Path
) -> None:
    """300 callbacks were answered OK and are not in Kafka; asking another replica does not help."""
    archive = tmp_path / "archive"
    archive.mkdir()
    here = new_ingress(tmp_path / "spools", broker.address)
    there = new_ingress(tmp_path / "spools", NO_KAFKA)
    await here.start()
    await there.start()
    connection = await Connection.open(there.port)
    for number in range(CALLBACKS):
        body = json.dumps({"CallbackCommand": "C2C.CallbackAfterSendMsg", "MsgKey": f"k{number}"})
        connection.send(post(body.encode()))
        assert (await connection.answer()).status == 200
    spool = (await there.status())["origin"]
    named = [f"http://127.0.0.1:{each.admin_port}" for each in (here, there)]
    code, report = await hookline_audit(broker.address, archive, *named)
    assert (code, report["missing"]) == (1, 2 * CALLBACKS)

    there.freeze()
    code, report = await hookline_audit(broker.address, archive, *named)
    assert (code, report["proven"]) == (3, False)
    assert set(report["in_doubt"]) >= {spool, named[1]}
    assert "start that ingress" in report["doubts"][named[1]]
    code, report = await hookline_audit(broker.address, archive, named[0])
    assert code == 3
    assert spool in report["in_doubt"]

    # It waits until the replica answers again, and then for what is missing.
    waiting = asyncio.create_task(hookline_audit(broker.address, archive, *named, wait_s=20))
    await asyncio.sleep(2)
    assert not waiting.done()
    there.thaw()
    code, report = await waiting
    assert (code, report["missing"], report["in_doubt"]) == (1, 2 * CALLBACKS, [])

    # When it is dead, the other one has Kafka take what it left, and knows its end.
    there.kill()

    async def adopted() -> bool:
        spools = {each["name"]: each for each in (await here.status())["spools"]}
        return bool(spools[spool]["rows"] == 0)

    await until(adopted, "the dead replica's spool is drained")
    code, report = await hookline_audit(broker.address, archive, named[0])
    kafka = {each["origin"]: each["sinks"]["kafka"]["sequences"] for each in report["origins"]}
    assert (code, kafka[spool], report["missing"], report["in_doubt"]) == (
        1,
        CALLBACKS,
        CALLBACKS,
        [],
    )
    code, report = await hookline_audit(broker.address, archive, *named)
    assert (code, report["in_doubt"]) == (1, [named[1]])
