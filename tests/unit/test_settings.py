"""Settings: types, ranges and relations are checked, and all faults are reported together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from consumers.archive.consumer import ArchiveSettings
from consumers.counters.consumer import CountersSettings
from consumers.runtime.process import ConsumerSettings
from consumers.stats.__main__ import StatsSettings
from consumers.sync.consumer import SyncSettings
from ingress.settings import IngressSettings
from ops.configuration import CLASSES
from schemas.setting import Range
from schemas.settings import (
    Settings,
    SettingsFaults,
    SharedSettings,
    read_fields,
    read_settings,
    settings_help,
    settings_of,
)
from schemas.url_text import public_url

VALKEY = "valkey://:hidden@127.0.0.1:6379/0"

NEEDED = {
    "INGRESS_SDKAPPIDS": "1400000001, 1400000002",
    "INGRESS_SPOOL_DIR": "/spool",
    "ARCHIVE_URL": "/archive",
    "SYNC_POSTGRES": "postgresql://hookline:hidden@127.0.0.1/db",
    "COUNTERS_VALKEY": VALKEY,
    "STATS_VALKEY": VALKEY,
    "WEBHOOK_NAME": "crm",
    "WEBHOOK_URL": "https://crm.example.com/hook",
    "WEBHOOK_SECRETS_FILE": "/secrets/webhook-crm",
}


def faults_of(env: Mapping[str, str], **classes: type[Settings]) -> str:
    """Return the faults of an environment, a line each."""
    with pytest.raises(SettingsFaults) as raised:
        read_settings(classes, env)
    return str(raised.value)


def test_settings_are_read_with_their_types() -> None:
    """Numbers, lists and paths come out as such; a setting that is not set has its default."""
    shared, own = read_settings(
        {"HOOKLINE_": SharedSettings, "INGRESS_": IngressSettings},
        NEEDED | {"INGRESS_PORT": "9", "HOOKLINE_LOG_LEVEL": "DEBUG"},
    )
    assert (own.sdkappids, own.spool_dir) == (("1400000001", "1400000002"), Path("/spool"))
    assert (own.port, shared.log_level, own.admin_port) == (9, "DEBUG", 8081)


def test_all_faults_are_reported_together() -> None:
    """Also a relation that does not hold, beside a value out of its range."""
    env = {
        "INGRESS_SDKAPPIDS": "x",
        "INGRESS_PORT": "eighty",
        "INGRESS_PROT": "80",
        "HOOKLINE_LOG_LEVEL": "LOUD",
        "HOOKLINE_BODY_BYTES_MAX": "1",
        "COUNTERS_VALKEY": VALKEY,
        "COUNTERS_REMEMBER_S": "9999999",
        "COUNTERS_PEOPLE_EXACT_MAX": "-1",
    }
    text = faults_of(
        env, HOOKLINE_=SharedSettings, INGRESS_=IngressSettings, COUNTERS_=CountersSettings
    )
    known = ", ".join(
        sorted(setting.variable for setting in settings_of(IngressSettings, "INGRESS_"))
    )
    body = "a whole number of bytes from 1024 (1 KiB) to 16777216 (16 MiB)"
    people = "a whole number of people from 0 to 100000000"
    apps = "values separated by commas, each a decimal number without leading zeros"
    assert text.splitlines() == [
        f"  - HOOKLINE_BODY_BYTES_MAX must be {body}, not '1'",
        "  - HOOKLINE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not 'LOUD'",
        f"  - unknown setting INGRESS_PROT, did you mean INGRESS_PORT? (known: {known})",
        "  - INGRESS_SPOOL_DIR is not set; it must be a path",
        f"  - INGRESS_SDKAPPIDS must be {apps}, not 'x'",
        "  - INGRESS_PORT must be a whole number from 1 to 65535, not 'eighty'",
        f"  - COUNTERS_PEOPLE_EXACT_MAX must be {people}, not '-1'",
        "  - COUNTERS_REMEMBER_S must be at most COUNTERS_KEEP_MINUTES_S",
    ]


def test_relations_are_checked_without_the_values_that_they_do_not_need() -> None:
    """A process that is started without any setting says in one message what it needs."""
    text = faults_of({}, INGRESS_=IngressSettings)
    assert text.splitlines() == [
        "  - INGRESS_SPOOL_DIR is not set; it must be a path",
        "  - INGRESS_SDKAPPIDS must name at least one app, or INGRESS_TOKENS_FILE a file",
    ]
    # With this port, the relation of the two ports is not known.
    text = faults_of(NEEDED | {"INGRESS_PORT": "x"}, INGRESS_=IngressSettings)
    assert len(text.splitlines()) == 1


@dataclass(frozen=True, kw_only=True)
class AdopterSettings(Settings):
    """A class as an adopter may write it: no slots, and an attribute that is made later."""

    file: Annotated[Path, "A file."]
    low: Annotated[int, Range(0, 9, "things"), "A bound."] = 5
    high: Annotated[int, Range(0, 9, "things"), "A bound."] = 6

    def __post_init__(self) -> None:
        """Note the middle."""
        object.__setattr__(self, "middle", (self.low + self.high) / 2)

    def faults(self) -> Iterator[str]:
        """Yield the relations that do not hold."""
        if self.low > self.high:
            yield "LOW must be at most HIGH"
        if self.middle > 7:  # type: ignore[attr-defined]
            yield "the middle must be at most 7"


@pytest.mark.parametrize(
    ("env", "faults"),
    [
        ({"X_LOW": "9"}, ["X_FILE is not set; it must be a path", "LOW must be at most HIGH"]),
        ({"X_FILE": "f", "X_LOW": "x"}, ["X_LOW must be a whole number of things from 0 to 9"]),
        ({"X_FILE": "f", "X_HIGH": "1", "X_LOW": "x"}, ["X_LOW must be a whole number of"]),
        (
            {"X_FILE": "f", "X_LOW": "9"},
            ["LOW must be at most HIGH", "the middle must be at most 7"],
        ),
    ],
)
def test_relations_of_a_class_with_attributes_that_are_made_later(
    env: dict[str, str], faults: list[str]
) -> None:
    """Without a required value, they are checked up to the first that needs such an attribute."""
    lines = faults_of(env, X_=AdopterSettings).splitlines()
    for line, fault in zip(lines, faults, strict=True):
        assert line.startswith(f"  - {fault}")


def test_a_misspelt_name_is_refused_with_the_one_that_it_is_like() -> None:
    """A name that is like none has no suggestion; the prefix makes no two names alike."""
    faults = faults_of(
        NEEDED | {"INGRESS_TOKEN_FILE": "/tokens", "INGRESS_XYZ": "1"},
        HOOKLINE_=SharedSettings,
        INGRESS_=IngressSettings,
    ).splitlines()
    assert faults[0].startswith(
        "  - unknown setting INGRESS_TOKEN_FILE, did you mean INGRESS_TOKENS_FILE? (known: "
    )
    assert faults[1].startswith("  - unknown setting INGRESS_XYZ (known: ")


def test_a_former_name_is_refused_with_the_present_one() -> None:
    """An ingress that ignored it would accept callbacks of these apps without a Sign."""
    env = NEEDED | {"INGRESS_SECRETS_FILE": "/secrets/tokens.toml"}
    with pytest.raises(SettingsFaults) as refused:
        read_settings({"INGRESS_": IngressSettings}, env)
    assert refused.value.args == (
        "INGRESS_SECRETS_FILE is called INGRESS_TOKENS_FILE now; set that",
    )


def test_a_command_reads_the_settings_that_it_needs() -> None:
    """All that is wrong in these is reported, the others may be absent or wrong."""
    names, env = ("port", "spool_bytes_max"), {"INGRESS_SDKAPPIDS": "x", "INGRESS_PORT": "80"}
    default = IngressSettings.__dataclass_fields__["spool_bytes_max"].default
    values = read_fields(IngressSettings, "INGRESS_", env, names)
    assert values == {"port": 80, "spool_bytes_max": default}
    with pytest.raises(SettingsFaults) as raised:
        read_fields(
            IngressSettings,
            "INGRESS_",
            {"INGRESS_PORT": "0", "INGRESS_SPOOL_BYTES_MAX": "x"},
            names,
        )
    (spool_fault, port_fault) = sorted(raised.value.args, reverse=True)
    assert port_fault == "INGRESS_PORT must be a whole number from 1 to 65535, not '0'"
    assert spool_fault.startswith("INGRESS_SPOOL_BYTES_MAX must be a whole number of bytes")


# The least and the largest value of every number; None: only another setting bounds it.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "HOOKLINE_BODY_BYTES_MAX": (1024, 16777216),
    "INGRESS_SIGN_WINDOW_S": (1, 86400),
    "INGRESS_PORT": (1, 65535),
    "INGRESS_ADMIN_PORT": (1, 65535),
    "INGRESS_SPOOL_BYTES_MAX": (16842752, None),
    "INGRESS_PENDING_BYTES_MAX": (16842752, None),
    "INGRESS_PENDING_ROWS_MAX": (1, 10000000),
    "INGRESS_CONNECTIONS_MAX": (10, 1000000),
    "INGRESS_KEEPALIVE_S": (1, 86400),
    "INGRESS_BODY_S": (0.1, 600),
    "INGRESS_UNREADY_S": (0, 300),
    "CONSUMER_ADMIN_PORT": (1, 65535),
    "CONSUMER_DEAD_LETTERS_MAX": (0, 1000),
    "CONSUMER_HELD_BYTES_MAX": (1 << 20, 16 << 30),
    "WEBHOOK_TIMEOUT_S": (0.1, 10),
    "WEBHOOK_REQUESTS_MAX": (2, 1000),
    "WEBHOOK_PARKED_RECORDS_MAX": (1, 1_000_000),
    "WEBHOOK_PARKED_BYTES_MAX": (1 << 20, 4 << 30),
    "ARCHIVE_SEGMENT_BYTES_MAX": (1024, 1 << 30),
    "ARCHIVE_SEGMENT_RECORDS_MAX": (1, None),
    "ARCHIVE_SEGMENT_AGE_S": (0.1, 3600),
    "COUNTERS_REMEMBER_S": (60, 315360000),
    "COUNTERS_KEEP_MINUTES_S": (60, 315360000),
    "COUNTERS_KEEP_QUARTERS_S": (3600, 315360000),
    "COUNTERS_KEEP_DAYS_S": (5356800, 315360000),
    "COUNTERS_PEOPLE_EXACT_MAX": (0, 100000000),
    "COUNTERS_CONVERSATIONS_MAX": (0, 1000000000),
    "STATS_VIEWERS_MAX": (0, 10000),
    "STATS_PORT": (1, 65535),
}
# Settings that must be raised or lowered with another one, so that the relation between them holds.
RELATED = {
    "INGRESS_PENDING_BYTES_MAX": "INGRESS_SPOOL_BYTES_MAX",
    "INGRESS_SPOOL_BYTES_MAX": "INGRESS_PENDING_BYTES_MAX",
    "COUNTERS_REMEMBER_S": "COUNTERS_KEEP_MINUTES_S",
    "COUNTERS_KEEP_MINUTES_S": "COUNTERS_REMEMBER_S",
}


def with_value(variable: str, value: float | str) -> dict[str, str]:
    """Return an environment with all that is needed, and this value."""
    related = {RELATED[variable]: str(value)} if variable in RELATED else {}
    return NEEDED | related | {variable: str(value)}


def test_every_number_has_bounds() -> None:
    """A number without a range would let a typing error through."""
    numbers = {
        setting.variable
        for prefix, settings in CLASSES.items()
        for setting in settings_of(settings, prefix)
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool)
    }
    assert numbers == set(BOUNDS), "each number needs its row in BOUNDS of this file"


@pytest.mark.parametrize("variable", BOUNDS)
def test_a_number_is_accepted_from_its_least_to_its_largest_value(variable: str) -> None:
    """One less or one more is a fault, and so is a value that is not a number."""
    low, high = BOUNDS[variable]
    for accepted in [low] if high is None else [low, high]:
        read_settings(CLASSES, with_value(variable, accepted))
    outside: list[float] = [low - 1] if high is None else [low - 1, high + 1]
    for wrong in (*map(str, outside), "nan", "inf", "-inf", "", "x"):
        fault = faults_of(with_value(variable, wrong), **CLASSES)
        assert f"  - {variable} must be a " in fault
        assert f", not '{wrong}'" in fault


@dataclass(frozen=True, kw_only=True)
class FloatSettings(Settings):
    """TRY_*: numbers with and without an upper bound."""

    free: float = 0.0
    above: Annotated[float, Range(1)] = 1.0
    within: Annotated[float, Range(-5, 5)] = 1.0


@pytest.mark.parametrize("name", ["FREE", "ABOVE", "WITHIN"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "Infinity", "-nan", "1e999"])
def test_a_number_that_is_not_finite_is_a_fault(name: str, value: str) -> None:
    """Whether the setting has a range, a part of one, or none."""
    fault = faults_of({f"TRY_{name}": value}, TRY_=FloatSettings)
    assert fault.startswith(f"  - TRY_{name} must be a number")


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("INGRESS_SDKAPPIDS", "", "INGRESS_SDKAPPIDS must name at least one app"),
        ("INGRESS_SDKAPPIDS", "14x", "each a decimal number without leading zeros, not '14x'"),
        ("INGRESS_PATH", "callback", "% or spaces, not 'callback'"),
        ("INGRESS_PENDING_BYTES_MAX", "3000000000", "must be at most INGRESS_SPOOL_BYTES_MAX"),
        ("INGRESS_PORT", "8081", "INGRESS_PORT and INGRESS_ADMIN_PORT must differ"),
        ("INGRESS_SPOOL_DIR", "", "INGRESS_SPOOL_DIR must be a path, not ''"),
        ("CONSUMER_REBUILD", "maybe", "CONSUMER_REBUILD must be true or false, not 'maybe'"),
        ("HOOKLINE_LOG_FORMAT", "xml", "HOOKLINE_LOG_FORMAT must be json or text, not 'xml'"),
        ("SYNC_POSTGRES", "nonsense", "SYNC_POSTGRES must be a connection string like postgres"),
        ("COUNTERS_VALKEY", "127.0.0.1:6379", "COUNTERS_VALKEY must be a URL like valkey://"),
        ("COUNTERS_REMEMBER_S", "9999999", "must be at most COUNTERS_KEEP_MINUTES_S"),
        ("COUNTERS_ZONE", "Mars", "COUNTERS_ZONE must name a time zone like Europe/Berlin; 'Mars'"),
        ("COUNTERS_ZONE", "../etc/passwd", "COUNTERS_ZONE must name a time zone"),
        ("COUNTERS_ZONES", "1=Asia/Tokyo,2=Mars", "COUNTERS_ZONES must name a time zone like"),
        ("COUNTERS_ZONES", "Asia/Tokyo", "each like 1400000001=Europe/Berlin, not 'Asia/Tokyo'"),
        ("STATS_VALKEY", "http://127.0.0.1", "STATS_VALKEY must be a URL like valkey://"),
        (
            "STATS_VALKEY",
            "valkey://127.0.0.1:6379/abc",
            "STATS_VALKEY must be a URL like valkey://",
        ),
    ],
)
def test_a_form_or_relation_that_does_not_hold_is_a_fault(
    variable: str, value: str, fault: str
) -> None:
    """The fault names the variable and says what it must be."""
    assert fault in faults_of(NEEDED | {variable: value}, **CLASSES)


def test_quarter_hours_are_kept_at_most_as_long_as_days() -> None:
    """Otherwise days of another zone would be there for longer than those of the app's own."""
    kept = {"COUNTERS_KEEP_DAYS_S": "6000000", "COUNTERS_KEEP_QUARTERS_S": "6000001"}
    fault = "COUNTERS_KEEP_QUARTERS_S must be at most COUNTERS_KEEP_DAYS_S"
    assert fault in faults_of(NEEDED | kept, **CLASSES)


def test_a_password_is_never_shown() -> None:
    """Neither in the log of the settings nor in a fault."""
    sync, stats = read_settings({"SYNC_": SyncSettings, "STATS_": StatsSettings}, NEEDED)
    assert "hidden" not in repr(sync) + repr(stats)
    assert (sync.postgres, stats.valkey) == (NEEDED["SYNC_POSTGRES"], NEEDED["STATS_VALKEY"])
    assert "hidden" not in faults_of({"SYNC_POSTGRES": "hidden with spaces"}, SYNC_=SyncSettings)


def test_settings_of_other_processes_are_ignored() -> None:
    """One environment may serve several processes."""
    read_settings({"INGRESS_": IngressSettings}, NEEDED | {"CONSUMER_NONSENSE": "x"})


@pytest.mark.parametrize(
    ("settings", "prefix", "lines"),
    [
        (
            IngressSettings,
            "INGRESS_",
            [
                "  INGRESS_SPOOL_DIR (must be set)",
                "  INGRESS_SDKAPPIDS=",
                "  INGRESS_PORT=8080",
                "      Allowed: a whole number from 1 to 65535.",
            ],
        ),
        (ConsumerSettings, "CONSUMER_", ["  CONSUMER_REBUILD=false"]),
        (ArchiveSettings, "ARCHIVE_", ["  ARCHIVE_SEGMENT_AGE_S=60"]),
        (SharedSettings, "HOOKLINE_", ["  HOOKLINE_LOG_LEVEL=INFO"]),
    ],
)
def test_help_lists_every_setting(settings: Any, prefix: str, lines: list[str]) -> None:
    """With its default or that it must be set, what it does, and what is allowed."""
    text = settings_help({prefix: settings}).splitlines()
    assert set(lines) <= set(text)
    for setting in settings_of(settings, prefix):
        assert setting.description.endswith("."), setting
        assert f"      {setting.description.split(' ')[0]}" in "\n".join(text)


UNUSABLE = {
    "INGRESS_PATH": (
        *(
            "",
            "callback",
            "/callback/",
            "//callback",
            "/a//b",
            "/call back",
            "/callback ",
            "/a?b=1",
        ),
        *("/a?b=1", "/a#b", "/%63allback", "/../a", "/a/.", "/SdkAppid=1"),
    ),
    "INGRESS_SDKAPPIDS": ("01400000001", "0", "+1"),
    "INGRESS_HOST": ("", "0.0.0.0:8080", "http://0.0.0.0", "0.0.0.0,::"),
    "INGRESS_ADMIN_HOST": ("", "127.0.0.1:8081"),
    "CONSUMER_ADMIN_HOST": ("", "127.0.0.1:8081"),
    "STATS_HOST": ("", "127.0.0.1:8083"),
    "HOOKLINE_BOOTSTRAP_SERVERS": (
        *("", "kafka:port", "kafka:0", "kafka:99999", "kafka:9092,", "http://kafka:9092"),
        *("::1:9092", "kafka:9092;kafka-2:9092"),
    ),
    "WEBHOOK_NAME": ("", "CRM", "a b", "-a", 41 * "a", "a.b", "a_b"),
    "WEBHOOK_URL": (
        *("", "crm.example.com", "ftp://crm.example.com/", "http://", "https:///hook"),
        *("https://user:secret@crm.example.com/", "https://crm.example.com/#hook"),
        *("https://a@crm.example.com/", "https://crm.example.com/a b"),
        *("https://①②⑦.0.0.1/", "file:///etc/passwd"),
    ),
    "WEBHOOK_ALLOW_CIDRS": ("10.0.0.1/8", "10.0.0.0/33", "all"),
    "WEBHOOK_SDKAPPIDS": ("0", "x"),
    "ARCHIVE_URL": ("", "s3:/bucket", "s3:bucket", "file://archive", "file:/archive"),
}


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in UNUSABLE.items() for value in values]
)
def test_a_text_that_could_never_work_is_refused_at_the_start(variable: str, value: str) -> None:
    """The error names the setting, the allowed form and the value."""
    fault = faults_of(with_value(variable, value), **CLASSES)
    assert f"  - {variable} must be " in fault
    assert f", not '{public_url(value)}'" in fault


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("INGRESS_PATH", path) for path in ("/", "/callback", "/a/b-c_d.e~f", "/.well-known/a")),
        *(("INGRESS_HOST", host) for host in ("0.0.0.0", "::", "localhost")),  # noqa: S104 - a value
        *(
            ("HOOKLINE_BOOTSTRAP_SERVERS", brokers)
            for brokers in ("kafka-1.example_a:9092, 10.0.0.1:1", "[::1]:9092", "kafka")
        ),
        *(("ARCHIVE_URL", url) for url in ("archive", "/a b", "file:///a", "s3://b/c", "gs://b")),
    ],
)
def test_a_text_that_can_work_is_accepted(variable: str, value: str) -> None:
    """Also forms that are seldom used."""
    read_settings(CLASSES, with_value(variable, value))
