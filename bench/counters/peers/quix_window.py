"""
A count by minute with quixstreams: a tumbling window in RocksDB, with its changelog in Kafka.

A window's state belongs to a record's key. So the app is the key of every record here: there is one
state for each app, minute and partition, and a reader of the results adds up the partitions. A
`group_by` app would write every record to Kafka again. It counts no distinct people, because a
state would need all of them.

It counts at least once, in minutes of the timestamps in Kafka. A record that comes after its window
is closed is dropped, and a window is closed only by a later record.
"""

import os
import signal
from datetime import timedelta
from pathlib import Path

from quixstreams import Application
from quixstreams.models import BytesDeserializer

from bench.peers.kafka import TOPIC
from bench.peers.reading import BEGUN, ENDED


class App(BytesDeserializer):
    """The app of a record's key, APP/...; all callbacks of a conversation have such a key."""

    def __call__(self, value: bytes, ctx: object) -> bytes:  # noqa: ARG002 - the caller names it
        """Return the app; `ctx` names the topic."""
        return value.partition(b"/")[0]


def main() -> None:
    """Count RECORDS records and stay until the process is killed."""
    directory, left = Path(os.environ["DIRECTORY"]), int(os.environ["RECORDS"])

    def counted(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            application.stop()

    application = Application(
        broker_address=os.environ["KAFKA"],
        consumer_group=os.environ["GROUP"],
        auto_offset_reset="earliest",
        auto_create_topics=True,
        state_dir=directory / "state",
        on_message_processed=counted,
        loglevel="WARNING",
    )
    records = application.dataframe(
        application.topic(TOPIC, key_deserializer=App(), value_deserializer="bytes")
    )
    records.tumbling_window(timedelta(minutes=1)).count().final()
    (directory / BEGUN).touch()
    # It returns after a last commit of states and offsets.
    application.run()
    (directory / ENDED).touch()
    signal.pause()


if __name__ == "__main__":
    main()
