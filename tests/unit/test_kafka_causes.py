"""The causes of failed connections that a broker of the tests does not produce."""

import ssl

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.kafka_causes import Login, NotAccepted, cause_of

CERTIFICATE_FILE = "HOOKLINE_KAFKA_CERTIFICATE_FILE"


def login(mechanism: str) -> Login:
    """Return a login by SASL over TLS."""
    return Login(protocol="SASL_SSL", mechanism=mechanism, user="hookline")


def alert(reason: str) -> ssl.SSLError:
    """Return the error of a handshake that the server ends."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    "reason",
    ["SSLV3_ALERT_BAD_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"],
)
def test_an_alert_about_the_certificate_names_its_file(reason: str) -> None:
    """It may be missing, too: not every version of TLS has an alert of its own for that."""
    text = cause_of(alert(reason), login("PLAIN"))
    assert f"({reason}); check {CERTIFICATE_FILE}: it must be set" in text


@pytest.mark.parametrize(
    "reason",
    [
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_INTERNAL_ERROR",
    ],
)
def test_another_alert_does_not_blame_the_certificate(reason: str) -> None:
    """The broker's log has the reason."""
    text = cause_of(alert(reason), login("PLAIN"))
    assert f"({reason}); read the broker's log" in text
    assert CERTIFICATE_FILE not in text


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(9, "check the clock of this machine"), (10, "HOOKLINE_KAFKA_CA_FILE")],
)
def test_a_certificate_out_of_its_time_may_be_the_authoritys(code: int, remedy: str) -> None:
    """OpenSSL gives the same code for each certificate of the chain."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "text"
    text = cause_of(error, login("PLAIN"))
    assert "or one of the authorities that signed it" in text
    assert remedy in text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_only_a_token_is_refused_by_closing_the_connection(mechanism: str) -> None:
    """A broker that stops after the handshake has not refused a password."""
    error = NotAccepted()
    error.__cause__ = KafkaConnectionError("closed")
    text = cause_of(error, login(mechanism))
    assert ("rejects the credentials" in text) == (mechanism == "OAUTHBEARER")
