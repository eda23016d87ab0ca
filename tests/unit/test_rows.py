"""A batch becomes rows for PostgreSQL; values that a column cannot hold are replaced."""

import json
from hashlib import sha256
from typing import Any

import pytest
from support.builders import SAMPLES, a_body, a_stored_batch, a_stored_record

from consumers.runtime.callbacks import callbacks
from consumers.runtime.handler import Rejected
from consumers.sync.rows import EVENT_COLUMNS, MESSAGE_COLUMNS, RECEIPT_COLUMNS, Rows, rows


def made_of(*bodies: bytes) -> Rows:
    """Return the rows of a batch with these bodies."""
    records = (a_stored_record(offset, body) for offset, body in enumerate(bodies))
    return rows(callbacks(a_stored_batch(*records)))


def only_message(body: bytes) -> dict[str, Any]:
    """Return the one message row by column."""
    (row,) = made_of(body).messages
    return dict(zip(MESSAGE_COLUMNS, row, strict=True))


def test_every_sample_is_a_receipt_and_a_row_with_its_body() -> None:
    """C2C and group messages are rows of messages, callbacks of other commands rows of events."""
    for sample in SAMPLES:
        body = sample.read_bytes()
        made = made_of(body)
        assert [len(row) for row in made.receipts] == [len(RECEIPT_COLUMNS)]
        if "AfterSendMsg" in json.loads(body)["CallbackCommand"]:
            (row,) = made.messages
            named = dict(zip(MESSAGE_COLUMNS, row, strict=True))
        else:
            (row,) = made.events
            named = dict(zip(EVENT_COLUMNS, row, strict=True))
        assert named["raw"] == body if named["altered"] else named["body"].encode() == body
        assert named["body_sha256"] == sha256(body).digest()


def test_every_documented_field_has_a_column() -> None:
    """Numbers are numbers, times are times, and an absent field is None."""
    fields = {"MsgSeq": 48374, "MsgRandom": "2837546", "MsgTime": 1557481126, "SendMsgResult": 0}
    row = only_message(a_body(**fields))
    assert (row["message_seq"], row["message_random"], row["result"]) == (48374, 2837546, 0)
    assert row["sent_at"].isoformat() == "2019-05-10T09:38:46+00:00"
    assert (row["sender"], row["recipient"], row["group_id"]) == ("jared", "Jonh", None)
    bare = only_message(a_body())
    assert (bare["message_seq"], bare["sent_at"], bare["result"]) == (None, None, None)


def test_nul_and_lone_surrogates_in_accounts_are_escaped() -> None:
    """PostgreSQL's text holds neither. The accounts stay distinct; the body has U+FFFD."""
    body = a_body(From_Account="a\0b", To_Account="\ud800")
    row = only_message(body)
    assert (row["sender"], row["recipient"]) == ("a\\u0000b", "\\ud800")
    assert json.loads(row["body"])["From_Account"] == "a\ufffdb"
    assert (row["altered"], row["raw"]) == (True, body)


def test_a_byte_order_mark_is_removed_from_the_body() -> None:
    """PostgreSQL's JSON refuses it."""
    row = only_message(b"\xef\xbb\xbf" + a_body())
    assert (row["body"], row["altered"], row["raw"]) == (a_body().decode(), False, None)


def test_a_record_that_is_not_a_callback_is_rejected_by_its_offset() -> None:
    """The record lacks one of our headers, or its body cannot be read."""
    good = a_stored_record(3)
    for bad in (good._replace(offset=4, headers=()), good._replace(offset=4, value=b"{")):
        with pytest.raises(Rejected) as raised:
            rows(callbacks(a_stored_batch(good, bad)))
        assert raised.value.offset == 4
