"""The view of events finds the message of each event, whichever of the two came first."""

import itertools
import json
from typing import Any

import psycopg
from support.builders import APP, a_stored_batch, a_stored_record
from support.docs_blocks import the_block
from support.sync_tables import select
from support.vendor_samples import AT_S, CHAT, NUMBERS, TEXT, TOPIC

from consumers.sync.database import DatabaseHandler
from consumers.sync.maintenance import maintain
from schemas.setting import Secret

KEY = NUMBERS["MsgKey"]
TO_BOB = CHAT | NUMBERS | {"MsgBody": TEXT}
IN_TOPIC = TOPIC | {"From_Account": "ann", "MsgSeq": 130, "MsgTime": AT_S, "MsgBody": TEXT}
BACK = {"From_Account": "bob", "To_Account": "ann"}
ONE_TO_ONE, GROUP = "C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg"
REPORT = {"Report_Account": "bob", "Peer_Account": "ann"}
MODERATED = {"From_Account": "ann", "CtxcbResult": 1}

Callback = tuple[str, dict[str, Any]]
# The message, the event, and the kind that the view should show; None if they are not related.
PAIRS: list[tuple[Callback, Callback, str | None]] = [
    ((ONE_TO_ONE, TO_BOB), (f"C2C.{command}", event), kind)
    for command, event, kind in (
        ("CallbackAfterMsgWithDraw", CHAT | {"MsgKey": KEY}, "recall"),
        ("CallbackAfterMsgWithDraw", CHAT | {"MsgKey": "1_2_3"}, None),
        ("CallbackAfterMsgWithDraw", {"MsgKey": KEY}, None),
        ("CallbackAfterMsgWithDraw", CHAT | {"To_Account": "cid", "MsgKey": KEY}, None),
        ("CallbackAfterModifyMsg", CHAT | NUMBERS | {"MsgBody": TEXT}, "edit"),
        ("CallbackAfterC2CMsgExtension", BACK | {"MsgKey": KEY}, "extension"),
        ("CallbackBeforeSendMsg", TO_BOB, "other"),
        ("CallbackAfterMsgReport", REPORT | {"LastReadTime": AT_S}, "read"),
        ("CallbackAfterMsgReport", REPORT | {"LastReadTime": str(AT_S + 9)}, "read"),
        ("CallbackAfterMsgReport", REPORT | {"LastReadTime": AT_S - 1}, None),
        ("CallbackAfterMsgReport", CHAT | {"LastReadTime": AT_S}, None),
    )
]
PAIRS += [
    ((GROUP, IN_TOPIC), (f"Group.{command}", TOPIC | event), kind)
    for command, event, kind in (
        ("CallbackAfterRecallMsg", {"MsgSeqList": [{"MsgSeq": 1}, {"MsgSeq": 130}]}, "recall"),
        ("CallbackAfterRecallMsg", {"MsgSeqList": [{"MsgSeq": "130"}] * 3}, "recall"),
        ("CallbackAfterRecallMsg", {"MsgSeqList": [{"MsgSeq": 131}]}, None),
        ("CallbackAfterRecallMsg", {"MsgSeqList": [{"MsgSeq": 130}], "TopicId": "other"}, None),
        ("CallbackAfterRecallMsg", {"MsgSeqList": [{"MsgSeq": 130}], "GroupId": "other"}, None),
        ("CallbackAfterModifyMsg", {"MsgSeq": 130}, "edit"),
        ("CallbackAfterReadReceipt", {"GroupMsgReceiptList": [{"MsgSeq": 130}]}, "read"),
    )
]
PAIRS += [
    (
        (ONE_TO_ONE, TO_BOB),
        (
            "ContentCallback.ResultNotify",
            MODERATED | {"ContactItem": {"To_Account": "bob"}, "MsgID": KEY},
        ),
        "moderation",
    ),
    (
        (GROUP, IN_TOPIC),
        (
            "ContentCallback.ResultNotify",
            MODERATED | {"ContactItem": {"ToGroupId": TOPIC["GroupId"]}, "MsgID": "130"},
        ),
        "moderation",
    ),
]
ODD: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**30,
    "x",
    "\0",
    "9" * 30,
    [],
    [None, 7, []],
    [{}],
    {"MsgSeq": 130},
]


def body(callback: Callback) -> bytes:
    """Return the body of a callback."""
    command, fields = callback
    return json.dumps({"CallbackCommand": command} | fields).encode()


async def test_each_event_finds_its_message_in_both_orders(
    database: DatabaseHandler, conninfo: str
) -> None:
    """An app of its own for each pair keeps them apart; another app's event is never found."""
    offset = itertools.count()
    for number, (message, event, _) in enumerate(PAIRS):
        pair = [(message, number), (event, number)]
        if number % 2:
            pair.reverse()
        pair.append((event, 1000 + number))
        for callback, app in pair:
            record = a_stored_record(next(offset), body(callback), sdkappid=str(app))
            await database.handle(a_stored_batch(record))
    event_rows = select(
        conninfo,
        "select sdkappid::integer, kind, m.ce_id <> event, v.command"
        " from hookline.message_events v join hookline.messages m on m.ce_id = message order by 1",
    )
    assert event_rows == [
        (number, kind, True, event[0]) for number, (_, event, kind) in enumerate(PAIRS) if kind
    ]


async def test_the_first_report_after_a_message_reads_it(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Later reports are about later messages."""
    times = [AT_S - 5, AT_S + 1, AT_S + 3]
    callbacks: list[Callback] = [
        (ONE_TO_ONE, TO_BOB),
        *(("C2C.CallbackAfterMsgReport", REPORT | {"LastReadTime": at}) for at in times),
    ]
    records = [a_stored_record(at, body(each)) for at, each in enumerate(callbacks)]
    await database.handle(a_stored_batch(*records))
    assert select(
        conninfo, "select kind, (body -> 'LastReadTime')::bigint from hookline.message_events"
    ) == [("read", AT_S + 1)]


async def test_events_with_odd_fields_fail_no_query(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Each field that the view reads has each odd value; the indexes hold them, too."""
    await maintain(Secret(conninfo))
    fields = ("MsgKey", "MsgID", "MsgSeq", "MsgSeqList", "GroupMsgReceiptList", "LastReadTime")
    recall: Callback = ("C2C.CallbackAfterMsgWithDraw", CHAT | {"MsgKey": KEY})
    events: list[Callback] = [
        recall,
        *(
            (command, {**TOPIC, **CHAT, **REPORT, field: value})
            for command in {event[0] for _, event, _ in PAIRS}
            for field in (*fields, "TopicId")
            for value in (*ODD, "紅" * 9000)
        ),
    ]
    events.append(
        ("Group.CallbackAfterRecallMsg", TOPIC | {"MsgSeqList": [{"MsgSeq": 1}] * 50_000})
    )
    made: list[Callback] = [(ONE_TO_ONE, TO_BOB), (GROUP, IN_TOPIC), *events]
    records = [a_stored_record(at, body(each)) for at, each in enumerate(made)]
    await database.handle(a_stored_batch(*records))
    assert select(conninfo, "select count(*) from hookline.receipts") == [(len(made),)]
    assert select(conninfo, "select kind from hookline.message_events") == [("recall",)]


async def test_the_events_of_one_message_are_found_by_indexes(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Among 50,000 events of each kind; the documented query reads no table from end to end."""
    await maintain(Secret(conninfo))
    record = a_stored_record(0, body((ONE_TO_ONE, TO_BOB)))
    await database.handle(a_stored_batch(record))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for command in ("C2C.CallbackAfterMsgReport", "Group.CallbackAfterRecallMsg", "other"):
            connection.execute(
                "insert into hookline.events (ce_id, sdkappid, command, sender, recipient,"
                " group_id, received_at, body, altered, body_sha256)"
                " select %s || n, %s, %s, 'user' || n, 'user' || n + 1, 'group' || n, now(),"
                " jsonb_build_object('MsgKey', n::text, 'LastReadTime', n), false, ''"
                " from generate_series(1, 50000) as n",
                (command, APP, command),
            )
        connection.execute("vacuum analyze hookline.events")
        connection.execute("vacuum analyze hookline.messages")
        (ce_id,) = connection.execute("select ce_id from hookline.messages").fetchone() or ("",)
        query = the_block("from hookline.message_events\nwhere message", "sql")
        asked = query.replace("f68a2c0b6c4a4a0f8c7a8f7c0a4d3b21", ce_id).rstrip().rstrip(";")
        lines = connection.execute(f"explain {asked}".encode()).fetchall()
    plan = "\n".join(line for (line,) in lines)
    assert "Seq Scan on events" not in plan, plan
    assert {"events_message_key", "events_group", "events_read"} <= set(
        plan.replace("\n", " ").split()
    ), plan
