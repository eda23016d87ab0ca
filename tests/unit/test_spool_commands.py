"""`hookline spool` says why a spool cannot be shown."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingress.spool import verification
from ingress.spool.directory import hold_any
from ops.spool import SpoolNotShown, spool_show


def test_a_spool_that_cannot_be_verified_is_not_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its owner would look for an ingress that does not run."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    arguments = ["--spool", str(tmp_path), spool.name]
    held = CliRunner().invoke(spool_show, arguments).exception
    assert isinstance(held, SpoolNotShown)
    assert f"another process holds spool {spool.name}" in str(held)
    spool.close()
    monkeypatch.setattr(
        verification, "VERIFY_COMMAND", (sys.executable, "-c", "raise SystemExit(9)")
    )
    unverified = CliRunner().invoke(spool_show, arguments).exception
    assert isinstance(unverified, SpoolNotShown)
    assert "could not be verified: the verifier ended with exit code 9" in str(unverified)
