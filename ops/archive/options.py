"""The options with which the archive's commands select segments."""

import click

from ops.records.options import UtcTime

HOUR = UtcTime(["%Y-%m-%d", "%Y-%m-%dT%H"])
topic_option = click.option("--topic", help="Only this topic.")
partition_option = click.option("--partition", type=int, help="Only this partition.")
since_option = click.option(
    "--since",
    type=HOUR,
    help=f"First hour or day, by the records' time (UTC). TIME is written as {HOUR.examples}.",
)
until_option = click.option("--until", type=HOUR, help="Exclusive end: an hour or a day (UTC).")
