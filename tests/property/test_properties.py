"""Facts that hold for any input."""

import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.builders import P0, a_callback, a_stored_batch
from support.contract_schemas import faults, header_faults
from support.tiers import scaled

from consumers.archive import new_segment, segment
from consumers.runtime.batch import Limits, Position, Record
from consumers.runtime.batch_queue import BatchQueue
from ingress.settings import IngressSettings
from ingress.spool.row import add_checksums, check_and_decode, encode
from schemas.body import Malformed, parse
from schemas.commands import COMMANDS
from schemas.outgoing_record import (
    OutgoingRecord,
    main_topic_record,
    malformed_record,
    with_place_and_id,
)
from schemas.settings import SettingsFaults, SharedSettings, read_settings

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = [
    "CallbackCommand",
    "From_Account",
    "To_Account",
    "GroupId",
    "MsgKey",
    "MsgSeq",
    "MsgRandom",
    "Random",
    "MsgTime",
    "EventTime",
    "Report_Account",
    "Peer_Account",
    "Info",
    "Official_Account",
    "RoomId",
    "Events",
    "PairList",
    "FriendItem",
    "GiftWater",
    "ContactItem",
]
documents = st.dictionaries(st.sampled_from(FIELDS) | st.text(), json_values, max_size=12)
# Surrogates are included: senders write them, and JSON can escape them.
wild_text = st.text(st.characters(exclude_categories=()))


@given(
    st.binary() | documents.map(lambda document: json.dumps(document).encode()),
    st.sampled_from(["", *COMMANDS]),
)
@example(b'{"CallbackCommand":"\\ud800"}', "")
@example(b'{"CallbackCommand":"X","From_Account":"\\udfff","MsgKey":"\\ud800"}', "")
def test_any_bytes_are_a_callback_or_malformed(body: bytes, command: str) -> None:
    """
    No other exception is raised; in both cases the bytes are kept.

    The headers fit the contract, and of a callback the body, too.
    """
    callback = a_callback(body, command=command)
    try:
        record = main_topic_record(callback)
        assert faults("Callback", json.loads(body.decode("utf-8-sig"))) == []
    except Malformed as reason:
        record = malformed_record(callback, reason)
        assert header_faults(record.headers, "DeadLetterHeaders") == []
    assert record.value == body
    assert header_faults(with_place_and_id(record.headers, "0" * 16, 1)) == []
    if record.key is not None:
        record.key.decode()
    assert check_and_decode(add_checksums([encode(record, 7)], "0" * 16, 3)[0], "0" * 16, 3) == (
        7,
        record,
    )


@given(documents)
def test_what_json_writes_is_read_back(document: dict[str, Any]) -> None:
    """The parser loses no value that routing may need."""
    assert parse(json.dumps(document).encode()) == document


@given(st.text(), st.none() | st.binary(), st.lists(st.tuples(st.text(), st.binary())), st.binary())
def test_a_record_survives_the_spool(
    topic: str, key: bytes | None, headers: list[tuple[str, bytes]], value: bytes
) -> None:
    """Any topic, key, headers and value are read back as they were stored."""
    record = OutgoingRecord(topic, key, headers, value)
    assert check_and_decode(add_checksums([encode(record, 0)], "o", 1)[0], "o", 1) == (0, record)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "INGRESS_PORT",
                "INGRESS_SDKAPPIDS",
                "INGRESS_SPOOL_DIR",
                "INGRESS_PATH",
                "INGRESS_X",
                "INGRESS_UNREADY_S",
                "HOOKLINE_BODY_BYTES_MAX",
                "HOOKLINE_Y",
                "OTHER",
            ]
        ),
        st.text() | st.integers().map(str) | st.floats().map(str),
    )
)
def test_any_environment_is_settings_or_faults(env: dict[str, str]) -> None:
    """`read` raises nothing but SettingsFaults, each of which names its variable."""
    texts: tuple[str, ...] = ("HOOKLINE_",)
    try:
        read_settings({"HOOKLINE_": SharedSettings, "INGRESS_": IngressSettings}, env)
    except SettingsFaults as faults:
        texts = faults.args
    assert texts
    assert all("INGRESS_" in text or "HOOKLINE_" in text for text in texts)


records = st.builds(
    Record,
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 41),
    st.none() | st.binary(max_size=20),
    st.binary(max_size=60) | documents.map(lambda document: json.dumps(document).encode()),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
)


@settings(max_examples=scaled(10))
@given(st.lists(records, min_size=1, max_size=20))
def test_any_records_are_lines_of_a_segment(given_records: list[Record]) -> None:
    """Each record is one line of valid JSON, with its value byte for byte."""
    _, content = new_segment.of_batch(a_stored_batch(*given_records))
    lines = [json.loads(line) for line in segment.read_lines(content)]
    assert [line["offset"] for line in lines] == [record.offset for record in given_records]
    decoded = [msgspec.json.decode(line, type=segment.Line) for line in segment.read_lines(content)]
    assert [line.value for line in decoded] == [record.value for record in given_records]
    assert segment.read_summary(content).records == len(given_records)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=60),
    st.integers(1, 7),
    st.integers(1, 3000),
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
)
def test_queued_records_are_delivered_once_and_in_order(
    gaps: list[int], records_max: int, bytes_max: int, portions: list[int]
) -> None:
    """For any fetches and limits of a batch; each batch begins where the last one ended."""
    queue = BatchQueue(P0, Limits(records=records_max, bytes=bytes_max, age_s=5))
    queue.begin(Position(0), refetches_last=False)
    offsets = [sum(gaps[:n]) for n in range(len(gaps))]
    waiting = [Record(offset, 0, None, b"x" * (offset % 50), ()) for offset in offsets]
    left: list[int] = []
    ends_at = 0
    now = 0.0
    while waiting or not queue.is_empty or ends_at <= offsets[-1]:
        portion = portions[int(now) % len(portions)]
        fetched, waiting = waiting[:portion], waiting[portion:]
        # A marker may follow, if the next record's offset leaves room for it.
        after = fetched[-1].offset + 1 if fetched else offsets[-1] + 1
        next_fetch_offset = max(after, waiting[0].offset) if waiting else after + portion
        queue.add(fetched, next_fetch_offset=next_fetch_offset, now=now)
        now += 1
        while queue.complete_if_due(now):
            batch = queue.batch_to_deliver()
            assert batch.begins_at == ends_at
            assert len(batch.records) <= records_max
            ends_at = batch.next_offset
            left += [record.offset for record in batch.records]
            queue.remove_applied(batch, now)
    assert left == offsets
