"""What a forwarder has kept by sequence is of one origin only; tested without Kafka."""

from pathlib import Path

import pytest
from support.kafka.access import plaintext

from ingress.forward.cursor import Cursor
from ingress.forward.forwarder import Forwarder
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from ingress.spool.disk import DiskFailed
from schemas.outgoing_record import OutgoingRecord


async def test_no_dead_letter_is_kept_if_it_is_uncertain_whether_the_origin_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would replace another row, the one that has its sequence in the new origin."""
    spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=1 << 20), pending_rows_max=9, pending_bytes_max=9
    )
    start = spool.start_new_origin

    async def start_and_fail() -> None:
        await start()
        raise DiskFailed("by the test")

    monkeypatch.setattr(spool, "start_new_origin", start_and_fail)
    forwarder = Forwarder(spool, kafka=plaintext(""), body_bytes_max=1 << 10)
    kept = forwarder._next_transaction.dead_letters  # noqa: SLF001
    kept[1] = OutgoingRecord(key=None, value=b"", headers=[], topic="")
    before = spool.state.origin
    try:
        with pytest.raises(DiskFailed):
            await forwarder._start_new_origin(Cursor(7))  # noqa: SLF001
        assert (spool.state.origin != before, kept) == (True, {})
    finally:
        await spool.stop()
        spool.close()
