"""The ways to deliver the topic to a target: the webhook, and a client without its promises."""

import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

from bench.processes import start
from bench.readers import Started, Task, start_peer
from consumers.webhook.consumer import RETRY_REQUESTS_DIVISOR
from ops.demo.embedded import child

SECRET = "whsec_" + b64encode(b"the secret of the benchmark, 32 b").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What a sender is started with; at most `in_flight` first deliveries are in flight."""

    task: Task
    url: str
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One way to deliver callbacks."""

    name: str
    start: Callable[[Sending], Started]


def requests_max(in_flight: int) -> int:
    """Return the setting with which so many requests may be first deliveries."""
    requests = in_flight + 1
    while requests - max(1, requests // RETRY_REQUESTS_DIVISOR) < in_flight:
        requests += 1
    return requests


def hookline(sending: Sending) -> Started:
    """Start the webhook, under a name that no run had before."""
    directory, port = sending.task.directory, child.free_port()
    secret = directory / "secret"
    secret.write_text(SECRET)
    process = start(
        ["consumers", "webhook"],
        {
            "HOOKLINE_BOOTSTRAP_SERVERS": sending.task.kafka,
            "WEBHOOK_NAME": f"bench-{secrets.token_hex(4)}",
            "WEBHOOK_URL": sending.url,
            "WEBHOOK_SECRETS_FILE": str(secret),
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "WEBHOOK_REQUESTS_MAX": str(requests_max(sending.in_flight)),
            "CONSUMER_ADMIN_PORT": str(port),
        },
        directory / "webhook.log",
    )
    # Only the receiver knows when all is delivered.
    return Started(processes=[process], begun=lambda: child.listens(port), ended=lambda: False)


def _bare(sending: Sending, secret: str) -> Started:
    return start_peer(
        ("bench.sync.peers.posting",),
        sending.task,
        {"URL": sending.url, "IN_FLIGHT": str(sending.in_flight), "SECRET": secret},
    )


SENDERS = (
    Sender(name="webhook", start=hookline),
    Sender(name="bare_client", start=lambda sending: _bare(sending, "")),
    Sender(name="bare_signing", start=lambda sending: _bare(sending, SECRET)),
)
BY_NAME = {sender.name: sender for sender in SENDERS}
