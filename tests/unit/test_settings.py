"""Settings: every fault at once, in plain words."""

from pathlib import Path

import pytest

from consumers.counters.consumer import CountersSettings
from consumers.stats.__main__ import StatsSettings
from consumers.sync.consumer import SyncSettings
from ingress.settings import IngressSettings
from schemas.settings import Faults, Settings, listed, read

VALKEY = "valkey://:hidden@127.0.0.1:6379/0"

NEEDED = {"INGRESS_SDKAPPIDS": "1400000001, 1400000002", "INGRESS_SPOOL_DIR": "/spool"}


def test_settings_are_read_with_their_types() -> None:
    """Numbers, lists and paths come out as such; the rest has its default."""
    shared, own = read(
        IngressSettings, "INGRESS_", NEEDED | {"INGRESS_PORT": "9", "HOOKLINE_LOG_LEVEL": "DEBUG"}
    )
    assert (own.sdkappids, own.spool_dir) == (("1400000001", "1400000002"), Path("/spool"))
    assert (own.port, shared.log_level, own.admin_port) == (9, "DEBUG", 8081)


def test_all_faults_are_reported_at_once() -> None:
    """A person mends everything in one go."""
    env = {
        "INGRESS_SDKAPPIDS": "x",
        "INGRESS_PORT": "eighty",
        "INGRESS_PROT": "80",
        "HOOKLINE_LOG_LEVEL": "LOUD",
        "HOOKLINE_BODY_BYTES_MAX": "1",
    }
    with pytest.raises(Faults) as raised:
        read(IngressSettings, "INGRESS_", env)
    told = str(raised.value)
    for fault in (
        "INGRESS_PORT must be a whole number, not 'eighty'",
        "INGRESS_SPOOL_DIR is not set",
        "INGRESS_PROT is no setting",
        "HOOKLINE_LOG_LEVEL must be",
        "HOOKLINE_BODY_BYTES_MAX must be",
    ):
        assert fault in told


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("INGRESS_SDKAPPIDS", "", "at least one app"),
        ("INGRESS_SDKAPPIDS", "14x", "decimal numbers"),
        ("INGRESS_PATH", "callback", "begin with /"),
        ("INGRESS_WAITING_BYTES_MAX", "1", "must hold"),
        ("INGRESS_WAITING_ROWS_MAX", "0", "from 1 to"),
        ("INGRESS_KEEPALIVE_S", "nan", "from 1 to 86400"),
        ("INGRESS_UNREADY_S", "-1", "from 0 to 300"),
        ("INGRESS_PORT", "8081", "must differ"),
        ("INGRESS_PORT", "0", "from 1 to 65535"),
        ("INGRESS_SPOOL_DIR", "", "must be a path"),
    ],
)
def test_what_does_not_fit_together_is_a_fault(variable: str, value: str, fault: str) -> None:
    """Relations between settings are reported like any other fault, not as a traceback."""
    with pytest.raises(Faults, match=fault):
        read(IngressSettings, "INGRESS_", NEEDED | {variable: value})


@pytest.mark.parametrize(
    ("own", "prefix", "variable", "value", "fault"),
    [
        (SyncSettings, "SYNC_", "POSTGRES", "nonsense", "must be like postgresql://"),
        (CountersSettings, "COUNTERS_", "VALKEY", "127.0.0.1:6379", "must be like valkey://"),
        (CountersSettings, "COUNTERS_", "REMEMBER_S", "9999999", "must hold"),
        (CountersSettings, "COUNTERS_", "PEOPLE_EXACT_MAX", "-1", "from 0 to"),
        (StatsSettings, "STATS_", "VALKEY", "http://127.0.0.1", "must be like valkey://"),
        (
            StatsSettings,
            "STATS_",
            "VALKEY",
            "valkey://127.0.0.1:6379/abc",
            "must be like valkey://",
        ),
        (StatsSettings, "STATS_", "PORT", "0", "from 1 to 65535"),
    ],
)
def test_what_a_sink_cannot_use_is_a_fault(
    own: type[Settings], prefix: str, variable: str, value: str, fault: str
) -> None:
    """Named by the variable, with what it must be."""
    needed = {"SYNC_POSTGRES": "", "COUNTERS_VALKEY": VALKEY, "STATS_VALKEY": VALKEY}
    with pytest.raises(Faults, match=f"{prefix}{variable}.*{fault}"):
        read(own, prefix, needed | {prefix + variable: value})


def test_a_password_is_never_shown() -> None:
    """Neither in the log of settings nor in what is wrong with them."""
    env = {"SYNC_POSTGRES": "postgresql://hookline:hidden@127.0.0.1/db", "STATS_VALKEY": VALKEY}
    _, sync = read(SyncSettings, "SYNC_", env)
    _, stats = read(StatsSettings, "STATS_", env)
    assert "hidden" not in repr(sync) + repr(stats)
    assert (sync.postgres, stats.valkey) == tuple(env.values())
    with pytest.raises(Faults) as raised:
        read(SyncSettings, "SYNC_", {"SYNC_POSTGRES": "hidden with spaces"})
    assert "hidden" not in str(raised.value)


def test_another_processes_settings_are_none_of_ours() -> None:
    """One environment may serve several processes."""
    read(IngressSettings, "INGRESS_", NEEDED | {"ARCHIVE_URL": "/archive"})


def test_help_lists_every_setting() -> None:
    """With its default, and which ones must be set."""
    lines = listed(IngressSettings, "INGRESS_").splitlines()
    assert "  INGRESS_SPOOL_DIR, must be set" in lines
    assert "  INGRESS_PORT=8080" in lines
    assert "  INGRESS_SDKAPPIDS=" in lines
    assert "  HOOKLINE_LOG_LEVEL=INFO" in lines
