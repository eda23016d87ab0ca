"""The options of `hookline topics plan` and `apply`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ops.options import bootstrap_option
from schemas.settings import SharedSettings
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, Topic

# Actions must be there for as long as the dead letters that they are about.
RETENTION_DAYS_LIMITS = {CALLBACKS: 36_500, DEAD_LETTERS: ACTIONS.retention_days}
PARTITIONS_LIMIT = 1_000


def _topic_options(name: str, topic: Topic) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of one topic."""
    variable = f"TOPICS_{name.upper().replace('-', '_')}"

    def add(function: Any) -> Any:
        for option in (
            click.option(
                f"--{name}-config",
                multiple=True,
                metavar="NAME=VALUE",
                help=f"Another configuration of {topic.name} alone. May be repeated.",
            ),
            click.option(
                f"--{name}-retention-days",
                type=click.IntRange(1, RETENTION_DAYS_LIMITS[topic]),
                envvar=f"{variable}_RETENTION_DAYS",
                show_envvar=True,
                help=f"Days for which {topic.name} keeps records. A new topic has"
                f" {topic.retention_days} without it.",
            ),
            click.option(
                f"--{name}-partitions",
                type=click.IntRange(1, PARTITIONS_LIMIT),
                envvar=f"{variable}_PARTITIONS",
                show_envvar=True,
                help=f"Partitions of {topic.name}. A new topic has {topic.partitions} without it.",
            ),
        ):
            function = option(function)
        return function

    return add


_OPTIONS = (
    bootstrap_option,
    click.option(
        "--body-bytes-max",
        default=SharedSettings().body_bytes_max,
        show_default=True,
        envvar="HOOKLINE_BODY_BYTES_MAX",
        show_envvar=True,
        help="The largest body that the ingress accepts; sets max.message.bytes. An"
        " existing topic's becomes smaller only if this is given.",
    ),
    click.option(
        "--replicas",
        default=1,
        show_default=True,
        envvar="TOPICS_REPLICAS",
        show_envvar=True,
        help="Replication factor of new topics.",
    ),
    _topic_options("callbacks", CALLBACKS),
    _topic_options("dead-letters", DEAD_LETTERS),
    click.option(
        "--config",
        "configs",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another configuration of all topics, by Kafka's name. May be repeated.",
    ),
    click.option(
        "--acls",
        "acls_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="TOPICS_ACLS_FILE",
        show_envvar=True,
        help="Also the ACLs that this file wants (TOML, docs/acls.md).",
    ),
    click.option(
        "--allow-delete",
        is_flag=True,
        help="Remove ACLs that an earlier apply made, and the file does not want any more.",
    ),
    click.option(
        "--allow-record-deletion",
        is_flag=True,
        help="Allow a shorter retention and another cleanup.policy: Kafka deletes records by them.",
    ),
    click.option(
        "--wait",
        "wait_s",
        default=30.0,
        show_default=True,
        help="Seconds to wait until Kafka is up.",
    ),
)


def wanted_options(function: Any) -> Any:
    """Add the options that say which topics and ACLs are wanted."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
