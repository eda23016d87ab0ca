"""Settings of Kafka that a broker or a client does not accept, and the causes of the failures."""

from collections.abc import Mapping
from typing import NamedTuple

from support.kafka.secured import (
    EXPIRED,
    MUTUAL,
    OAUTH,
    PLAIN,
    SCRAM,
    WITHOUT_TLS,
    SecuredBroker,
    unsecured_token,
)

from ops.demo.embedded import child

WRONG = "never-show-this"
KAFKA = "HOOKLINE_KAFKA_"
SERVERS, PROTOCOL = "HOOKLINE_BOOTSTRAP_SERVERS", f"{KAFKA}SECURITY_PROTOCOL"
SCRAM_REJECTED = (
    "Authentication failed during authentication due to invalid credentials with SASL mechanism "
    "SCRAM-SHA-512"
)
CHECK_CREDENTIALS = (
    "check the user 'hookline' in HOOKLINE_KAFKA_USER_FILE and the password in "
    "HOOKLINE_KAFKA_PASSWORD_FILE"
)


class Wrong(NamedTuple):
    """A fault: the variables that it changes, "" to remove one; and the cause without it."""

    listener: str
    changes: Mapping[str, str]
    cause: str


def wrong_addresses(broker: SecuredBroker) -> dict[str, Wrong]:
    """Return settings with which no TLS connection is made."""
    other_name = broker.address_of(SCRAM, "127.0.0.1")
    return {
        "name": Wrong(
            SCRAM,
            {SERVERS: "kafka.invalid:9092"},
            "the name cannot be resolved (Name or service not known); check "
            "HOOKLINE_BOOTSTRAP_SERVERS (of a command: --kafka) and the DNS, and with "
            "Docker that the container runs",
        ),
        "port": Wrong(
            SCRAM,
            {SERVERS: f"localhost:{child.free_port()}"},
            "the connection is refused; check HOOKLINE_BOOTSTRAP_SERVERS (of a command: --kafka), "
            "and that the broker runs and no firewall refuses the port",
        ),
        "TLS to a port without TLS": Wrong(
            WITHOUT_TLS,
            {PROTOCOL: "SASL_SSL"},
            "the connection was closed in the TLS handshake; if this port uses no TLS, change "
            "HOOKLINE_KAFKA_SECURITY_PROTOCOL (it is SASL_SSL)",
        ),
        "no TLS to a port with TLS": Wrong(
            SCRAM,
            {PROTOCOL: "SASL_PLAINTEXT", f"{KAFKA}CA_FILE": ""},
            "this port uses TLS; set HOOKLINE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        ),
        "authority": Wrong(
            SCRAM,
            {f"{KAFKA}CA_FILE": str(broker.certificates.other_authority)},
            "the broker's certificate is not trusted (unable to get local issuer certificate); "
            "set HOOKLINE_KAFKA_CA_FILE to the certificates of the authority that signed it",
        ),
        "expired": Wrong(
            EXPIRED,
            {},
            "the broker's certificate, or one of the authorities that signed it, has expired; "
            "renew it at the broker, or in HOOKLINE_KAFKA_CA_FILE",
        ),
        "other name": Wrong(
            SCRAM,
            {SERVERS: other_name},
            "the broker's certificate is for another name (IP address mismatch, certificate is "
            "not valid for '127.0.0.1'.); use a name of the certificate in "
            "HOOKLINE_BOOTSTRAP_SERVERS (of a command: --kafka) and in the broker's "
            "advertised.listeners",
        ),
    }


def wrong_logins(broker: SecuredBroker) -> dict[str, Wrong]:
    """Return settings with which a broker does not accept the client."""
    password = {f"{KAFKA}PASSWORD_FILE": str(broker.secret_file("wrong", WRONG))}
    token = broker.secret_file("expired-token", unsecured_token(WRONG, valid_s=-1000))
    foreign = {f"{KAFKA}CERTIFICATE_FILE": str(broker.certificates.foreign_client)}
    sasl = [f"{KAFKA}{name}" for name in ("SASL_MECHANISM", "USER_FILE", "PASSWORD_FILE")]
    return {
        "no client certificate": Wrong(
            MUTUAL,
            {f"{KAFKA}CERTIFICATE_FILE": ""},
            "the broker demands a certificate of the client; set HOOKLINE_KAFKA_CERTIFICATE_FILE "
            "and HOOKLINE_KAFKA_KEY_FILE",
        ),
        "client certificate": Wrong(
            MUTUAL,
            foreign,
            "the broker ended the TLS handshake (SSLV3_ALERT_CERTIFICATE_UNKNOWN); check "
            "HOOKLINE_KAFKA_CERTIFICATE_FILE: it must be set, the broker must trust its authority, "
            "and it must not have expired",
        ),
        "mechanism": Wrong(
            SCRAM,
            {f"{KAFKA}SASL_MECHANISM": "PLAIN"},
            "the broker does not offer the SASL mechanism PLAIN, but SCRAM-SHA-256, "
            "SCRAM-SHA-512; change HOOKLINE_KAFKA_SASL_MECHANISM",
        ),
        "SASL to a port without it": Wrong(
            WITHOUT_TLS,
            {SERVERS: broker.address},
            "this port authenticates no client by SASL; change HOOKLINE_KAFKA_SECURITY_PROTOCOL "
            "(it is SASL_PLAINTEXT)",
        ),
        "no SASL": Wrong(
            WITHOUT_TLS,
            {PROTOCOL: "PLAINTEXT"} | dict.fromkeys(sasl, ""),
            "the connection was closed after the first request; if this port uses TLS or SASL, "
            "change HOOKLINE_KAFKA_SECURITY_PROTOCOL (it is PLAINTEXT)",
        ),
        "password": Wrong(
            SCRAM,
            password,
            f'the broker rejects the credentials ("{SCRAM_REJECTED}"); {CHECK_CREDENTIALS}',
        ),
        "password, by PLAIN": Wrong(
            PLAIN,
            password,
            'the broker rejects the credentials ("Authentication failed: Invalid username or '
            f'password"); {CHECK_CREDENTIALS}',
        ),
        "token": Wrong(
            OAUTH,
            {f"{KAFKA}TOKEN_COMMAND": f"cat {token}"},
            "the broker rejects the credentials; check the token that HOOKLINE_KAFKA_TOKEN_COMMAND "
            "prints",
        ),
        "token command": Wrong(
            OAUTH,
            {f"{KAFKA}TOKEN_COMMAND": f"false {WRONG}"},
            "the client has no token: HOOKLINE_KAFKA_TOKEN_COMMAND ended with code 1 and printed "
            "nothing; run it by hand to see why",
        ),
    }
