"""The settings of one ingress process."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ingress.http.sender_address import is_network
from schemas.setting import Format, Host, Port, Range, SdkAppid
from schemas.settings import BODY_BYTES_LIMIT
from schemas.topics import record_bytes_max

# One callback of any configurable size must fit.
PENDING_BYTES_MIN = record_bytes_max(BODY_BYTES_LIMIT)


# Request paths are decoded and contain no parameters, so a setting with other characters could
# never match. Clients remove the segments `.` and `..`.
_PATH = re.compile(r"/|(/(?!\.{1,2}(/|$)|SdkAppid=)[^/?#%\s\x00-\x20\x7f]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressSettings:
    """INGRESS_*: one ingress process, `python -m ingress`."""

    spool_dir: Annotated[
        Path,
        "Directory of the spools; created if it is absent. It must be on a local disk: network "
        "file systems do not keep the promises of `flock` and fsync.",
    ]
    sdkappids: Annotated[
        tuple[SdkAppid, ...],
        "SdkAppids of the apps whose callbacks are accepted, in addition to those in the tokens "
        "file; any other SdkAppid is answered 403. Callbacks of an app that the tokens file does "
        "not name are accepted from anyone, and a warning says so. May be empty if there is a "
        "tokens file.",
    ] = ()
    tokens_file: Annotated[
        Path | None,
        "The tokens file, with the tokens of the apps: at most 1 MiB, at most 4 tokens an app. A "
        "change is applied within 2 s. With an unusable file the process exits with code 1 at the "
        "start; later, the former content stays valid and `tokens_fault` in `/status` says why.",
    ] = None
    sign_window_s: Annotated[
        float,
        Range(1, 86_400, "seconds"),
        "Largest difference between RequestTime and this machine's clock, in either direction; a "
        "callback with a larger one is answered 403 `stale`.",
    ] = 60.0
    host: Annotated[Host, "Address on which the public port listens."] = "0.0.0.0"  # noqa: S104 - HTTP clients are on other machines; the gateway is in front of it
    port: Annotated[
        Port,
        "TCP port for callbacks, the public port. If another process uses it, this one exits with "
        "code 1.",
    ] = 8080
    path: Annotated[
        str,
        Format(
            "/, or a path like /callback without a / at its end, ?, #, % or spaces", _PATH.fullmatch
        ),
        "The only URL path that accepts callbacks, as it is when decoded; other paths are answered "
        "404.",
    ] = "/"
    gateway_networks: Annotated[
        tuple[
            Annotated[str, Format("an IP address or a network like 10.0.0.0/8", is_network)], ...
        ],
        "Addresses and networks of the gateways. On connections from them, the last address in "
        "X-Forwarded-For is that of the sender, in the log of failed requests and in "
        "`failures_by_sender` of `/status`; on all others the header is ignored. Name only "
        "gateways that set the header themselves, as deploy/haproxy/haproxy.cfg does.",
    ] = ()
    admin_host: Annotated[
        Host, "Address on which the admin port listens. Keep it unreachable for the public."
    ] = "127.0.0.1"
    admin_port: Annotated[
        Port,
        "TCP port for health, status and metrics; not the same as INGRESS_PORT. If another process "
        "uses it, this one exits with code 1.",
    ] = 8081
    spool_bytes_max: Annotated[
        int,
        Range(PENDING_BYTES_MIN, unit="bytes"),
        "Largest size of this process's spool, in bytes of LMDB pages in use; at least "
        "INGRESS_PENDING_BYTES_MAX. The file may be larger by 64 MiB or a ninth of this value, "
        "whichever is more. At this size, callbacks are answered 503 and the process is unready; "
        "below 95 % of it, the process is ready again.",
    ] = 2 << 30
    pending_bytes_max: Annotated[
        int,
        Range(PENDING_BYTES_MIN, unit="bytes"),
        "Largest size of the rows that wait in memory for the next commit; the commit in progress "
        "may hold as many bytes again. At this size, callbacks are answered 503 immediately. The "
        "least value has room for the largest body that can be configured, and 64 KiB.",
    ] = 64 << 20
    pending_rows_max: Annotated[
        int,
        Range(1, 10_000_000, "callbacks"),
        "Largest number of callbacks that wait in memory for the next commit; the commit in "
        "progress may hold as many again. At this number, callbacks are answered 503 immediately.",
    ] = 20_000
    connections_max: Annotated[
        int,
        Range(10, 1_000_000, "connections"),
        "Largest number of open connections to the public port. If one more opens, the process "
        "closes one: first the one whose input has been discarded longest, else the one that has "
        "waited longest for a request. If all others have a request under way, that is the new "
        "one. Each connection may "
        "hold one body and 64 KiB of requests that were sent ahead. "
        "The process needs 200 open files more than this; if the hard limit (`ulimit -Hn`) is too "
        "low, it lowers the value and logs a warning.",
    ] = 12_000
    keepalive_s: Annotated[
        float,
        Range(1, 86_400, "seconds"),
        "Time that a connection may take from its opening or its last answer until the head of "
        "the next request is complete; then it is closed. Keep this above the idle timeouts of the "
        "HTTP client and the gateway.",
    ] = 600.0
    body_s: Annotated[
        float,
        Range(0.1, 600, "seconds"),
        "Time that a body may take after the head of its request; then the answer is 408 `slow`. "
        "After the last answer on a connection, the process discards input for up to this time "
        "again, so that the client can read the answer, then closes it.",
    ] = 10.0
    unready_s: Annotated[
        float,
        Range(0, 300, "seconds"),
        "Time after SIGTERM in which the process reports that it is unready, but still accepts "
        "callbacks, so that a load balancer notices first.",
    ] = 3.0

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each relation between fields that does not hold."""
        if not self.sdkappids and self.tokens_file is None:
            yield "INGRESS_SDKAPPIDS must name at least one app, or INGRESS_TOKENS_FILE a file"
        if self.pending_bytes_max > self.spool_bytes_max:
            yield "INGRESS_PENDING_BYTES_MAX must be at most INGRESS_SPOOL_BYTES_MAX"
        if self.port == self.admin_port:
            yield "INGRESS_PORT and INGRESS_ADMIN_PORT must differ"
