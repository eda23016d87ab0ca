"""The log of an ingress that stops says what it does."""

import logging
from pathlib import Path

import pytest
from support.builders import ingress_settings
from support.kafka.access import plaintext

from ingress.__main__ import Ingress
from ingress.authenticator import Authenticator
from ingress.http import server
from ingress.spool.directory import hold_any
from schemas.settings import SharedSettings


@pytest.mark.parametrize(
    ("immediately", "unready_s", "said"),
    [
        (False, 0.0, "stopping: unready for 0 s, then no new connections"),
        (True, 300.0, "stopping: no new connections"),
    ],
    ids=["after a signal", "with a corrupt spool"],
)
async def test_an_ingress_that_stops_names_a_wait_only_if_it_waits(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    immediately: bool,
    unready_s: float,
    said: str,
) -> None:
    """A process whose spool's file is corrupt can store no callback, so it does not wait."""
    monkeypatch.setattr(server, "CHECK_INTERVAL_S", 0)
    settings = ingress_settings(tmp_path, unready_s=unready_s)
    authenticator = Authenticator(settings.sdkappids, None, sign_window_s=0)
    ingress = Ingress(
        SharedSettings(),
        plaintext(""),
        settings,
        authenticator,
        hold_any(tmp_path, bytes_max=1 << 20),
    )
    caplog.clear()
    caplog.set_level(logging.INFO, "ingress")
    try:
        await ingress.stop_receiving(immediately=immediately)
        assert caplog.messages == [said]
    finally:
        await ingress.close()
