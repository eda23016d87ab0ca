"""INGRESS_*: what one ingress process is told; docs/operations.md explains each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.settings import BODY_BYTES_LIMIT
from schemas.topics import record_bytes_max

# One callback of any configurable size must fit.
WAITING_BYTES_MIN = record_bytes_max(BODY_BYTES_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressSettings:
    """Every bound has its unit in its name."""

    sdkappids: tuple[str, ...]
    spool_dir: Path
    host: str = "0.0.0.0"  # noqa: S104 - senders come from outside; the gateway stands before it
    port: int = 8080
    path: str = "/"
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081
    spool_bytes_max: int = 2 << 30
    waiting_bytes_max: int = 64 << 20
    waiting_rows_max: int = 20_000
    unready_s: float = 3.0

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not self.sdkappids:
            yield "INGRESS_SDKAPPIDS must name at least one app"
        for sdkappid in self.sdkappids:
            if not (sdkappid.isascii() and sdkappid.isdigit()):
                yield f"INGRESS_SDKAPPIDS must be decimal numbers, not {sdkappid!r}"
        if not self.path.startswith("/"):
            yield "INGRESS_PATH must begin with /"
        if not WAITING_BYTES_MIN <= self.waiting_bytes_max <= self.spool_bytes_max:
            yield (
                f"{WAITING_BYTES_MIN} <= INGRESS_WAITING_BYTES_MAX <= INGRESS_SPOOL_BYTES_MAX "
                "must hold"
            )
        if self.waiting_rows_max < 1:
            yield "INGRESS_WAITING_ROWS_MAX must be at least 1"
        if not 0 <= self.unready_s <= 300:
            yield "INGRESS_UNREADY_S must be from 0 to 300"
        if not all(1 <= port <= 65535 for port in (self.port, self.admin_port)):
            yield "INGRESS_PORT and INGRESS_ADMIN_PORT must be from 1 to 65535"
        if self.port == self.admin_port:
            yield "INGRESS_PORT and INGRESS_ADMIN_PORT must differ"
