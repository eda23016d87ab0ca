"""Keep each event in Valkey under its id, at least once: `python keyed_store.py`."""

import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hookline_runtime import (
    CALLBACKS,
    Batch,
    Consumer,
    Opened,
    Settings,
    Unavailable,
    callbacks,
    main,
    sql_sink,
)
from valkey import Valkey
from valkey.exceptions import ValkeyError


@dataclass(frozen=True, kw_only=True)
class KeyedStoreSettings(Settings):
    """KEYED_STORE_*: settings of the consumer `keyed_store`."""

    valkey: str = "valkey://127.0.0.1:6379/0"
    positions: Path = Path("positions.db")


def put(store: Valkey, _cursor: sqlite3.Cursor, batch: Batch) -> None:
    """
    Write each event under its id, unless the id is there. The position moves after this returns.

    Raises:
        Unavailable: the store may have some of the events; they will be written again.
    """
    pipeline = store.pipeline(transaction=False)
    for event, _ in callbacks(batch):
        pipeline.execute_command("HSETNX", "events", event.id, event.body)
    try:
        pipeline.execute()
    except ValkeyError as error:
        raise Unavailable(f"Valkey: {error}") from error


def sink(settings: KeyedStoreSettings) -> Opened:
    """Return a sink whose effect is in Valkey and whose positions are in a SQLite file."""
    store = Valkey.from_url(settings.valkey, socket_timeout=5)
    connect = partial(sqlite3.connect, settings.positions, timeout=15)
    return sql_sink("keyed_store", sqlite3, connect, partial(put, store))


KEYED_STORE = Consumer(name="keyed_store", topic=CALLBACKS, settings=KeyedStoreSettings, open=sink)

if __name__ == "__main__":
    main(KEYED_STORE)
