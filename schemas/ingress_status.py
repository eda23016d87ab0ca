"""The parts of an ingress's `/status` that other processes read as well."""

import msgspec

# `unready_because` of a process that ends.
STOPPING = "stopping"
# `forward_fault` until the first attempt to connect to Kafka has ended.
NOT_CONNECTED = "not connected yet"
# The hour of `/status?since=`, in UTC.
SINCE_FORMAT = "%Y-%m-%dT%H"


class SpoolSummary(msgspec.Struct, frozen=True):
    """
    One spool of a directory, as in `spools` of `/status` and in `hookline spool ls --json`.

    `origin`, `last_sequence` and `rows` are None if the process does not know them; then `/status`
    of 0.1.x has the name as the origin. `rows` is the number of rows in the file that are not in
    quarantine: those that were forwarded stay until their block is removed. `fault`: the file is
    corrupt, so that the others will never be known; "" if it is not. `quarantined` has all
    sequences in quarantine, also those of sound rows that Kafka refused. `first_sequence_since` is
    the first one that was stored since the hour that was asked for; None if no hour was, or if it
    is not known.
    """

    name: str
    origin: str | None = None
    last_sequence: int | None = None
    fault: str = ""
    rows: int | None = None
    quarantined: tuple[int, ...] = ()
    first_sequence_since: int | None = None
