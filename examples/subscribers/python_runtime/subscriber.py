"""Keep each message in SQLite, once: `python subscriber.py`."""

import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hookline_runtime import CALLBACKS, Batch, Consumer, Opened, Settings, callbacks, main, sql_sink

MESSAGES = {"C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg"}
TABLE = "create table if not exists messages (ce_id primary key, body)"
# The key drops repeats: two requests with one event. Redelivery changes nothing even without it.
KEEP = "insert into messages values (?, ?) on conflict (ce_id) do nothing"


@dataclass(frozen=True, kw_only=True)
class MyTeamSettings(Settings):
    """MY_TEAM_*: settings of the consumer `my-team`."""

    effects: Path = Path("messages.db")


def keep(cursor: sqlite3.Cursor, batch: Batch) -> None:
    """Keep the batch's messages. The position moves in the same transaction."""
    messages = [event for event, _ in callbacks(batch) if event.command in MESSAGES]
    cursor.executemany(KEEP, [(event.id, event.body) for event in messages])


def sink(settings: MyTeamSettings) -> Opened:
    """Return a sink that connects when it is needed, and again after a failure."""
    connect = partial(sqlite3.connect, settings.effects, timeout=15)
    return sql_sink("my-team", sqlite3, connect, keep, tables=[TABLE])


MY_TEAM = Consumer(name="my-team", topic=CALLBACKS, settings=MyTeamSettings, open=sink)

if __name__ == "__main__":
    main(MY_TEAM)
