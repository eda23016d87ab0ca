"""HOOKLINE_KAFKA_*: the options of clients, contradictions, and files that change."""

from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from support.kafka.certificates import Certificates

from schemas.kafka_access import KafkaAccess, kafka_access
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.settings import (
    SettingsFaults,
    SharedSettings,
    read_settings,
    settings_as_json,
    settings_help,
    settings_of,
)

USER, SECRET = "sender", "never-shown"
PLAINTEXT = "SECURITY_PROTOCOL PLAINTEXT"
NO_TLS = f"{PLAINTEXT} uses no TLS; set it to SSL or SASL_SSL, or leave the other one out"
SET_SASL = "set it to SASL_SSL or SASL_PLAINTEXT"
NAMES = sorted(setting.variable for setting in settings_of(KafkaSecurity, ""))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a user by SCRAM-SHA-512 over TLS."""
    certificates = Certificates(tmp_path / "certificates")
    for name, text in (("user", USER), ("password", SECRET)):
        path = tmp_path / name
        path.touch(mode=0o600)
        path.write_text(f"{text}\n")
    return {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "USER_FILE": str(tmp_path / "user"),
        "PASSWORD_FILE": str(tmp_path / "password"),
        "CA_FILE": str(certificates.authority),
        "CERTIFICATE_FILE": str(certificates.client(USER)),
    }


def access(**values: str) -> KafkaAccess:
    """Return the access that HOOKLINE_KAFKA_* give."""
    return kafka_access(
        "kafka:1", {f"{KAFKA_VARIABLES_PREFIX}{name}": text for name, text in values.items()}
    )


def faults(**values: str) -> list[str]:
    """Return the faults of HOOKLINE_KAFKA_*, without this prefix."""
    with pytest.raises(SettingsFaults) as raised:
        access(**values)
    return [fault.replace(KAFKA_VARIABLES_PREFIX, "") for fault in raised.value.args]


def test_without_settings_a_client_has_an_address_and_a_name() -> None:
    """A plaintext client gets nothing else."""
    assert access().for_service("archive").options() == {
        "bootstrap_servers": "kafka:1",
        "client_id": "hookline-archive",
    }


def test_options_are_read_again_from_the_files(files: dict[str, str]) -> None:
    """A new password counts from the next call on, and a new certificate makes a new context."""
    made = access(**files)
    before = made.options()
    assert before["sasl_plain_username"] == USER
    assert str.__str__(before["sasl_plain_password"]) == SECRET
    assert made.options()["ssl_context"] is before["ssl_context"]
    Path(files["PASSWORD_FILE"]).write_text("another\r\n")
    certificate = Path(files["CERTIFICATE_FILE"])
    certificate.write_bytes(certificate.read_bytes() + b"\n")
    after = made.options()
    assert str.__str__(after["sasl_plain_password"]) == "another"
    assert after["ssl_context"] is not before["ssl_context"]


def test_a_new_client_uses_the_last_content_while_a_file_cannot_be_used(
    files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Missing, empty, cut off, or not of one kind: it is logged once, without its content."""
    made = access(**files)
    before = made.options()
    certificate = Path(files["CERTIFICATE_FILE"]).read_bytes()
    for name, contents in (
        ("PASSWORD_FILE", (b"", b"\xff", b"two\nlines")),
        ("CERTIFICATE_FILE", (b"", certificate[:-200], certificate[:200])),
        ("CA_FILE", (b"", b"-----BEGIN CERTIFICATE-----\n")),
    ):
        file = Path(files[name])
        whole = file.read_bytes()
        caplog.clear()
        for content in contents:
            file.write_bytes(content)
            for _ in range(2):
                assert made.for_service("archive").options() == before | {
                    "client_id": "hookline-archive"
                }
        assert len(caplog.messages) == len(set(caplog.messages)) >= 1
        assert all(f"{KAFKA_VARIABLES_PREFIX}{name}" in message for message in caplog.messages)
        assert "two" not in caplog.text
        file.unlink()
        assert made.options() == before
        file.write_bytes(whole)
        assert made.options()["sasl_plain_password"] == before["sasl_plain_password"]
        before = made.options()


def test_all_files_keep_the_content_that_belongs_together(files: dict[str, str]) -> None:
    """A new password is not sent with a former certificate, while the new one is written."""
    made = access(**files)
    made.options()
    Path(files["CERTIFICATE_FILE"]).write_bytes(b"")
    Path(files["PASSWORD_FILE"]).write_text("another\n")
    assert str.__str__(made.options()["sasl_plain_password"]) == SECRET


def test_without_a_former_content_the_file_is_a_failure_of_kafka(files: dict[str, str]) -> None:
    """As in the moment between the check of the settings and the first client."""
    made = access(**files)
    Path(files["PASSWORD_FILE"]).write_bytes(b"")
    with pytest.raises(KafkaError, match=r"PASSWORD_FILE: .* is empty"):
        made.options()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"SASL_MECHANISM": "PLAIN", "CA_FILE": "/ca"},
            [
                f"SASL_MECHANISM is set, but {PLAINTEXT} uses no SASL; {SET_SASL}",
                f"CA_FILE is set, but {NO_TLS}",
            ],
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "KEY_FILE": "/key"},
            [
                "SASL_MECHANISM is not set, but SECURITY_PROTOCOL is SASL_SSL",
                "KEY_FILE is set, but not CERTIFICATE_FILE",
                "KEY_FILE=/key cannot be used for TLS: /key: No such file or directory",
            ],
        ),
        (
            {"SECURITY_PROTOCOL": "SSL", "CHECK_HOSTNAME": "false"},
            [
                (
                    "CHECK_HOSTNAME is false, but CA_FILE is not set: any holder of a certificate "
                    "that the system trusts could pose as a broker"
                )
            ],
        ),
        (
            {"CHECK_HOSTNAME": "false"},
            [f"CHECK_HOSTNAME is false, but {NO_TLS}"],
        ),
        (
            {
                "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "SASL_MECHANISM": "SCRAM-SHA-256",
                "PASSWORD_FILE": "/none",
                "TOKEN_COMMAND": "print it",
            },
            [
                "USER_FILE is not set, but SCRAM-SHA-256 needs it",
                "TOKEN_COMMAND is set, but SCRAM-SHA-256 uses none",
                "PASSWORD_FILE: /none cannot be read: No such file or directory",
            ],
        ),
        (
            {
                "SECURITY_PROTOCOL": "SASL_SSL",
                "SASL_MECHANISM": "OAUTHBEARER",
                "USER_FILE": "/dev/null",
                "TYPO": "1",
            },
            [
                f"unknown setting TYPO (known: {', '.join(NAMES)})",
                "TOKEN_COMMAND is not set, but OAUTHBEARER needs it",
                "USER_FILE is set, but OAUTHBEARER uses none",
                "USER_FILE: /dev/null is empty",
            ],
        ),
    ],
)
def test_contradictions_are_reported_together(values: dict[str, str], expected: list[str]) -> None:
    """With every file that cannot be used."""
    assert faults(**values) == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"x" * 4097, b"\xff", b"a\0b"])
def test_a_password_is_one_line(files: dict[str, str], content: bytes) -> None:
    """A file with something else is a fault that shows nothing of it."""
    Path(files["PASSWORD_FILE"]).write_bytes(content)
    (fault,) = faults(**files)
    assert fault.startswith(f"PASSWORD_FILE: {files['PASSWORD_FILE']} ")


@pytest.mark.parametrize("name", ["CA_FILE", "CERTIFICATE_FILE"])
def test_a_file_without_a_certificate_is_a_fault(files: dict[str, str], name: str) -> None:
    """The fault names the file, not its content."""
    Path(files[name]).write_text(SECRET)
    (fault,) = faults(**files)
    assert files[name] in fault
    assert SECRET not in fault


def test_a_secret_that_others_can_read_is_a_warning(files: dict[str, str]) -> None:
    """Kubernetes mounts secrets so; the service starts all the same."""
    security = access(**files).security
    # The certificate's file has the key, too.
    secrets = [Path(files["PASSWORD_FILE"]), Path(files["CERTIFICATE_FILE"])]
    for path in secrets:
        path.chmod(0o640)
    assert not list(security.warnings())
    for path in secrets:
        path.chmod(0o604)
    assert [warning.partition("run: ")[2] for warning in security.warnings()] == [
        f"chmod o= {path}" for path in secrets
    ]


def test_no_secret_is_shown(files: dict[str, str]) -> None:
    """Neither the password nor the token's command, which may have one."""
    command = {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "OAUTHBEARER",
        "TOKEN_COMMAND": f"get {SECRET}",
    }
    for values in (files, command):
        made = access(**values)
        logged = settings_as_json({KAFKA_VARIABLES_PREFIX: KafkaSecurity}, [made.security])
        assert SECRET not in f"{made} {made!r} {made.options()!r} {logged}"
    assert SECRET not in " ".join(faults(**command | {"TOKEN_COMMAND": f"'{SECRET}"}))


def test_the_prefix_of_kafka_is_not_one_of_the_shared_settings() -> None:
    """HOOKLINE_KAFKA_… is known to one class, and other unknown variables to the other."""
    classes: dict[str, Any] = {"HOOKLINE_": SharedSettings, KAFKA_VARIABLES_PREFIX: KafkaSecurity}
    env = {"HOOKLINE_KAFKA_SECURITY_PROTOCOL": "SSL", "HOOKLINE_LOG_LEVEL": "ERROR"}
    shared, security = read_settings(classes, env)
    assert (shared.log_level, security.security_protocol) == ("ERROR", "SSL")
    with pytest.raises(SettingsFaults) as raised:
        read_settings(classes, {"HOOKLINE_KAFKA_X": "", "HOOKLINE_Y": ""})
    assert [fault.partition(" (")[0] for fault in raised.value.args] == [
        "unknown setting HOOKLINE_Y",
        "unknown setting HOOKLINE_KAFKA_X",
    ]
    assert "HOOKLINE_KAFKA_TOKEN_COMMAND" in settings_help(classes)
