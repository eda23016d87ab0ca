"""INGRESS_*: what one ingress process is told; docs/configuration.md explains each."""

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

    spool_dir: Path
    sdkappids: tuple[str, ...] = ()
    secrets_file: Path | None = None
    sign_window_s: float = 60.0
    host: str = "0.0.0.0"  # noqa: S104 - senders come from outside; the gateway stands before it
    port: int = 8080
    path: str = "/"
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081
    spool_bytes_max: int = 2 << 30
    waiting_bytes_max: int = 64 << 20
    waiting_rows_max: int = 20_000
    connections_max: int = 12_000
    keepalive_s: float = 600.0
    body_s: float = 10.0
    unready_s: float = 3.0

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not self.sdkappids and self.secrets_file is None:
            yield "INGRESS_SDKAPPIDS must name at least one app, or INGRESS_SECRETS_FILE a file"
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
        for name, low, high in (
            ("sign_window_s", 1, 86_400),
            ("waiting_rows_max", 1, 10_000_000),
            ("connections_max", 10, 1_000_000),
            ("keepalive_s", 1, 86_400),
            ("body_s", 0.1, 600),
            ("unready_s", 0, 300),
            ("port", 1, 65535),
            ("admin_port", 1, 65535),
        ):
            if not low <= getattr(self, name) <= high:
                yield f"INGRESS_{name.upper()} must be from {low} to {high}"
        if self.port == self.admin_port:
            yield "INGRESS_PORT and INGRESS_ADMIN_PORT must differ"
