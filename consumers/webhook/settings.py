"""WEBHOOK_*, see docs/configuration.md."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from yarl import URL

from schemas.setting import Format, Range, SdkAppid
from schemas.settings import Settings


def is_name(text: str) -> bool:
    """Return whether a target can have this name."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", text) is not None


def is_url(text: str) -> bool:
    """Return whether a target can have this URL."""
    try:
        url = URL(text)
    except ValueError:
        return False
    return (
        url.scheme in ("http", "https")
        and bool(url.host)
        and url.user is None
        and url.password is None
        and not url.fragment
        and text.isascii()
        and text.isprintable()
        and not set(text) & set(" \\@")
    )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings(Settings):
    """
    WEBHOOK_*: the consumer `webhook`, `python -m consumers webhook`.

    One process delivers to one target. Processes with the same name share its callbacks.
    """

    name: Annotated[
        str,
        Format("1 to 40 of a-z, 0-9 and -, such as crm", is_name),
        "Name of the target. `webhook-` and the name are the consumer group, "
        "`tim.callbacks.retry.NAME.v1` is the target's retry topic, which the process creates if "
        "it is absent. A new name begins with the oldest callback in Kafka.",
    ]
    url: Annotated[
        str,
        Format("an http or https URL without user, password and fragment", is_url),
        "URL to which every callback is sent by POST.",
    ]
    secrets_file: Annotated[
        Path,
        "File with the secret that signs the requests, `whsec_` and base64; two lines while the "
        "secret is replaced. It is read again when it changes.",
    ]
    allow_cidrs: Annotated[
        tuple[Annotated[str, Format("a network like 10.1.0.0/16", _is_network)], ...],
        "Networks that the target's address may be in although they are not public.",
    ] = ()
    sdkappids: Annotated[
        tuple[SdkAppid, ...],
        "Apps whose callbacks are delivered; empty: all apps.",
    ] = ()
    commands: Annotated[
        tuple[str, ...],
        "Commands (CallbackCommand) that are delivered; empty: all commands. A name that ends "
        "with `*` stands for all commands that begin so, such as `Group.*`.",
    ] = ()
    timeout_s: Annotated[
        float,
        Range(0.1, 10, "seconds"),
        "Longest time of one attempt: the look-up of the name, the connection, the request and the "
        "answer.",
    ] = 10.0
    requests_max: Annotated[
        int,
        Range(2, 1000, "requests"),
        "Largest number of requests in flight in this process, each of another conversation. Up "
        "to a quarter of them, and at least one, are for callbacks in the retry topic.",
    ] = 32
    parked_records_max: Annotated[
        int,
        Range(1, 1_000_000, "records"),
        "Number of callbacks of one partition (of 6) in the retry topic. From this number or from "
        "WEBHOOK_PARKED_BYTES_MAX on, the partition delivers from the retry topic only; the batch "
        "that reaches it may exceed it, by less than 100.",
    ] = 20_000
    parked_bytes_max: Annotated[
        int,
        Range(1 << 20, 4 << 30, "bytes"),
        "Size of the callbacks of one partition in the retry topic from which on it delivers from "
        "the retry topic only; the batch that reaches it may exceed it, by about 4 MiB. The "
        "process holds them in memory, too; its partitions together need up to 6 times this.",
    ] = 32 << 20
