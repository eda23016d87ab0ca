"""The admin port: health in three honest levels, never on the public port.

Kafka being down never makes an ingress unready: callbacks are safe on disk without it.
"""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from ingress.forwarder import Forwarder
from ingress.intake import Intake
from ingress.row import Damaged
from ingress.settings import IngressSettings
from ingress.spool import Spool
from ingress.spools import summaries
from schemas.telemetry import INGRESS


@dataclass(slots=True)
class Health:
    """What the admin port reports on; `draining` is set when the process begins to stop."""

    spool: Spool
    intake: Intake
    forwarder: Forwarder
    settings: IngressSettings
    draining: bool = False
    started_at: float = field(default_factory=time.time)

    def unready(self) -> str:
        """Return why no callback can be accepted now, "" if they can."""
        if self.draining:
            return "stopping"
        if self.intake.fault:
            return self.intake.fault
        if self.spool.bytes >= self.settings.spool_bytes_max:
            return "the spool is full"
        return ""

    def status(self) -> dict[str, Any]:
        """Return what `/status` shows; docs/operations.md explains each field."""
        return {
            "origin": self.spool.origin,
            "last_sequence": self.spool.last_sequence,
            "forwarded": self.forwarder.forwarded,
            "oldest_waiting_s": self._oldest_waiting_s(),
            "ready": not self.unready(),
            "unready_because": self.unready(),
            "kafka_connected": not self.forwarder.fault,
            "kafka_fault": self.forwarder.fault,
            "spool_rows": self.spool.rows,
            "spool_bytes": self.spool.bytes,
            "spool_bytes_max": self.settings.spool_bytes_max,
            "uptime_s": round(time.time() - self.started_at, 3),
            "spools": self._spools(self.settings.spool_dir),
        }

    def _oldest_waiting_s(self) -> float | None:
        try:
            oldest = self.spool.since(self.forwarder.forwarded, rows_max=1, bytes_max=1)
        except Damaged:
            return None  # kafka_fault names it: the forwarder has met it first
        return round(time.time() - oldest[0].received_at_ms / 1000, 3) if oldest else 0.0

    def _spools(self, directory: Path) -> list[dict[str, Any]]:
        mine = {"origin": self.spool.origin, "last_sequence": self.spool.last_sequence}
        return [
            asdict(spool) | (mine if spool.name == self.spool.name else {})
            for spool in summaries(directory)
        ]


def application(health: Health) -> web.Application:
    """Return the admin port's application."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="the loop turns\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = health.unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(
            body=orjson.dumps(
                health.status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            )
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", make_aiohttp_handler(INGRESS)),
        ]
    )
    return app
