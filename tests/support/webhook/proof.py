"""Prove by the audit that a target has every callback of a world."""

import hashlib
import json

from support.archive.reader import archived_records
from support.kafka.access import plaintext
from support.kafka.parts import run_until
from support.webhook.receiver import Arrival
from support.webhook.world import World

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.runtime.batch import Limits
from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.audit import audit
from ops.audit.report import Report
from ops.audit.sources import Sources, WebhookSource

ARCHIVE_LIMITS = Limits(records=500, bytes=1 << 20, age_s=0.3, period_s=3600)
AUDIT_WAIT_S = 180


def log_line(arrival: Arrival) -> str:
    """Return the line of a receiver's log."""
    return json.dumps(
        {
            "id": arrival.id,
            "origin": arrival.headers["ce-origin"],
            "sequence": int(arrival.headers["ce-sequence"]),
            "sha256": hashlib.sha256(arrival.body).hexdigest(),
        }
    )


async def audited(world: World, *, wait_s: float = AUDIT_WAIT_S) -> Report:
    """Archive all callbacks of the world, and return the report of an audit with the target."""
    archive, log = world.directory / "archive", world.directory / "received"
    log.write_text("".join(f"{log_line(each)}\n" for each in world.receiver.accepted))
    await run_until(
        ArchiveHandler(open_store(str(archive), create_directory=True)),
        lambda: archived_records(archive) >= len(world.sent),
        bootstrap_servers=world.kafka,
        group=f"archive-{world.name}",
        limits=ARCHIVE_LIMITS,
    )
    return await audit(
        world.pipe.ends,
        Sources(
            kafka=plaintext(world.kafka),
            archive=str(archive),
            webhooks=(
                WebhookSource(name=world.name, callback_filter=CallbackFilter(), logs=(log,)),
            ),
        ),
        ledger=[],
        wait_s=wait_s,
        progress=lambda _: None,
    )


async def prove(world: World) -> None:
    """Assert that the audit proves that the target has every callback, with its repeats."""
    report = await audited(world)
    assert report.proven, report
    assert report.webhooks[world.name].repeats == world.receiver.repeats()
