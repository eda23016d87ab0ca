"""The addresses of senders of failed requests, by answer, in bounded memory."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import ManualClock

from ingress.http import answers
from ingress.http.failure_log import FailureLog
from ingress.http.failures_by_sender import SENDERS_MAX, FailuresBySender
from ingress.http.sender_address import SenderAddresses, is_network

GATEWAYS = ("10.0.0.0/8", "fd00::/8", "192.0.2.7")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "sender"),
    [
        (("10.1.1.1", 5), "203.0.113.9", "203.0.113.9"),
        (("fd00::1", 5, 0, 0), "2001:db8::1", "2001:db8::1"),
        (("::ffff:10.1.1.1", 5, 0, 0), "203.0.113.9", "203.0.113.9"),
        (("192.0.2.7", 5), " 203.0.113.9 ", "203.0.113.9"),
        # The gateway's entry is the last one; the sender may have sent those before it.
        (("10.1.1.1", 5), "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        # Not from a gateway: anybody can write this header.
        (("192.0.2.8", 5), "203.0.113.9", "192.0.2.8"),
        (("11.0.0.1", 5), "203.0.113.9", "11.0.0.1"),
        (("10.1.1.1", 5), "", "10.1.1.1"),
        (("10.1.1.1", 5), "unknown", "10.1.1.1"),
        (("10.1.1.1", 5), "203.0.113.9:80", "10.1.1.1"),
        (("fe80::1%eth0", 5, 0, 0), "203.0.113.9", "fe80::1"),
        (None, "203.0.113.9", "unknown"),
        ("", "203.0.113.9", "unknown"),
    ],
)
def test_the_header_counts_only_from_a_gateway(
    peer: object, forwarded_for: str, sender: str
) -> None:
    """Otherwise a sender could put the blame on another address."""
    assert SenderAddresses(GATEWAYS).sender(peer, forwarded_for) == sender
    assert SenderAddresses().sender(("10.1.1.1", 5), forwarded_for) == "10.1.1.1"


@given(header=st.text(max_size=80))
def test_any_header_gives_an_address(header: str) -> None:
    """Foreign text comes neither into the log nor into `/status`."""
    ipaddress.ip_address(SenderAddresses(GATEWAYS).sender(("10.0.0.1", 1), header))


def test_networks_are_checked() -> None:
    """A network with bits after its mask is more often a mistake than intended."""
    for text in (*GATEWAYS, "0.0.0.0/0"):
        assert is_network(text)
    for text in ("", "10.0.0.1/8", "gateway", "10.0.0.0/33"):
        assert not is_network(text)


def test_each_answer_keeps_the_senders_that_were_refused_last() -> None:
    """Scanners do not displace the sender whose Sign is wrong."""
    senders = FailuresBySender()
    senders.note("wrong_sign", "203.0.113.9", "Sign does not match", 1.0)
    senders.note("not_here", "198.51.100.0", "no", 2.0)
    for number in range(1, 3 * SENDERS_MAX):
        senders.note("not_here", f"198.51.100.{number}", "no", 2.0 + number)
        senders.note("not_here", "198.51.100.0", "no", 2.0 + number)
    rows = senders.table(now_s=100.0)
    assert len(rows) == SENDERS_MAX + 1
    assert {row["address"]: row["count"] for row in rows}["198.51.100.0"] == 3 * SENDERS_MAX
    assert rows[-1] == {
        "answer": "wrong_sign",
        "address": "203.0.113.9",
        "count": 1,
        "last_at": "1970-01-01T00:00:01.000Z",
        "last_ago_s": 99.0,
        "reason": "Sign does not match",
    }
    assert [row["last_ago_s"] for row in rows] == sorted(row["last_ago_s"] for row in rows)


def test_a_reason_shows_no_complete_sign_and_is_short() -> None:
    """A reason may quote the request."""
    failure_log = FailureLog(clock=ManualClock())
    for count, detail in enumerate(("b'POST /?Sign=0123456789abcdef'", "\n\x1b" + "x" * 5000), 1):
        failure_log.note(answers.NOT_HTTP, detail, ("10.0.0.1", 1))
        (row,) = failure_log.senders.table(0.0)
        assert "0123456789" not in row["reason"]
        assert row["reason"].isprintable()
        assert (len(row["reason"]) < 250, row["count"]) == (True, count)
    assert failure_log.senders.table(0.0)[0]["reason"].endswith("x…")
