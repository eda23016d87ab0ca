"""
The health of an ingress, for the admin port.

An ingress stays ready while Kafka is down: callbacks are safe on disk.
"""

import math
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingress.authenticator import Authenticator
from ingress.forward.adopter import Adopter
from ingress.forward.forwarder import Forwarder
from ingress.http.failures_by_sender import FailuresBySender
from ingress.http.server import PublicServer
from ingress.settings import IngressSettings
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.fullness import READY_AGAIN_BELOW
from ingress.spool.row import DamagedCallback
from schemas import telemetry
from schemas.disk_space import DiskSpace
from schemas.ingress_status import STOPPING
from schemas.rate import Rates


@dataclass(slots=True)
class IngressHealth:
    """The health of an ingress, from all of its parts."""

    spool: AsyncSpool
    forwarder: Forwarder
    adopter: Adopter
    authenticator: Authenticator
    server: PublicServer
    failures_by_sender: FailuresBySender
    settings: IngressSettings
    # Identifies this process: another one may be at the same address, or hold the same spool.
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    rates: Rates = field(default_factory=Rates)
    disk: DiskSpace = field(init=False)
    started_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Find the file system of the spools."""
        self.disk = DiskSpace(self.settings.spool_dir)

    async def watch(self) -> None:
        """Sample the size of the spool, and how many callbacks came, until cancelled."""
        await self.rates.watch(
            lambda: {
                "stored": self.spool.state.last_sequence,
                "forwarded": self.forwarder.forwarded_sequence,
                "used_bytes": self.spool.state.used_bytes,
            }
        )

    def full_in_s(self) -> float:
        """Return the seconds until the spool is full at its present growth, infinity if never."""
        growth_per_s = self.rates.per_s("used_bytes")
        if not growth_per_s:
            return math.inf
        left_bytes = self.settings.spool_bytes_max - self.spool.state.used_bytes
        return max(left_bytes, 0) / growth_per_s

    def unready_reason(self) -> str:
        """Return why no callbacks should be sent to this process now, "" if it is ready."""
        if self.server.announces_stop:
            return STOPPING
        if self.spool.fault:
            return self.spool.fault
        if self.spool.was_full:
            return (
                f"the spool was full and holds {self.spool.state.used_bytes} of "
                f"{self.settings.spool_bytes_max} bytes; it is ready below {READY_AGAIN_BELOW:.0%}"
            )
        return ""

    async def status(self, since_hour: int | None = None) -> dict[str, Any]:
        """
        Return the content of `/status`; docs/monitoring.md explains each field.

        `since_hour`: the hour since which a spool's `first_sequence_since` is asked for. The
        function is long because each field is a line.
        """
        disk_free_bytes = await self.disk.free()
        state = self.spool.state
        full_in_s = self.full_in_s()
        return {
            "instance": self.instance,
            "origin": state.origin,
            "last_sequence": state.last_sequence,
            "forwarded_sequence": self.forwarder.forwarded_sequence,
            "stored_per_s": self.rates.per_s("stored"),
            "forwarded_per_s": self.rates.per_s("forwarded"),
            "oldest_waiting_s": self._oldest_waiting_s(),
            "ready": not self.unready_reason(),
            "unready_because": self.unready_reason(),
            "forwarding": not self.forwarder.fault.text,
            "forward_fault": self.forwarder.fault.text,
            "forward_fault_for_s": self.forwarder.fault.for_s,
            "forward_failures_of_all_spools": round(
                telemetry.INGRESS_METRICS.get_sample_value("ingress_forward_failures_total") or 0
            ),
            "tokens_fault": self.authenticator.fault,
            "tokens": self.authenticator.token_uses(time.time()),
            "apps_without_token": self.authenticator.apps_without_token,
            "apps_not_in_tokens_file": self.authenticator.apps_not_in_tokens_file,
            "failures_by_sender": self.failures_by_sender.table(time.time()),
            "connections": len(self.server.open_connections.all),
            "spool_rows": state.row_count,
            "spool_bytes": state.used_bytes,
            "spool_bytes_max": self.settings.spool_bytes_max,
            "spool_disk_free_bytes": disk_free_bytes,
            "spool_full_in_s": None if math.isinf(full_in_s) else round(full_in_s, 1),
            "uptime_s": round(time.monotonic() - self.started_at, 3),
            "spools": [
                msgspec.structs.asdict(spool) for spool in self.adopter.summaries(since_hour)
            ],
        }

    async def update_metrics(self) -> None:
        """Set the metrics to their current values."""
        disk_free_bytes = await self.disk.free()
        free = math.nan if disk_free_bytes is None else disk_free_bytes
        telemetry.INGRESS_DISK_FREE_BYTES.set(free)
        state = self.spool.state
        self.server.answer_sender.count_oks()
        telemetry.INGRESS_SPOOL_ROWS.set(state.row_count)
        telemetry.INGRESS_SPOOL_BYTES.set(state.used_bytes)
        telemetry.INGRESS_SPOOL_BYTES_MAX.set(self.settings.spool_bytes_max)
        telemetry.INGRESS_FULL_IN_S.set(self.full_in_s())
        oldest_s = self._oldest_waiting_s()
        # None: rows wait for an unknown time, so an alert must fire.
        telemetry.INGRESS_OLDEST_WAITING_S.set(math.inf if oldest_s is None else oldest_s)
        telemetry.INGRESS_READY.set(not self.unready_reason())
        telemetry.INGRESS_FORWARDING.set(not self.forwarder.fault.text)
        telemetry.INGRESS_CONNECTIONS.set(len(self.server.open_connections.all))

    def _oldest_waiting_s(self) -> float | None:
        """
        Return the time since the receipt of the oldest row that is not in Kafka.

        Return None if the row cannot be read. While this process did not run, it aged, too.
        """
        try:
            oldest = self.spool.rows_after(
                self.forwarder.forwarded_sequence, rows_max=1, bytes_max=1
            )
        except (DamagedCallback, Corrupt, DiskFailed, LimitReached):
            return None  # the forwarder logs it
        # At least 0, also after the clock was set back.
        return max(time.time() - oldest[0].received_at_ms / 1000, 0.0) if oldest else 0.0
