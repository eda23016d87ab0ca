"""Why an address of Kafka cannot be used, as a text that says which setting to change."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
)

from schemas.printable import printable
from schemas.token_command import TokenUnavailable

MESSAGE_CHARACTERS_MAX = 200
_SERVERS = "HOOKLINE_BOOTSTRAP_SERVERS (of a command: --kafka)"
_VARIABLES_PREFIX = "HOOKLINE_KAFKA_"
_PROTOCOL = f"{_VARIABLES_PREFIX}SECURITY_PROTOCOL"
# OpenSSL's results of verification, X509_V_ERR_HOSTNAME_MISMATCH and its like.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAMES = 9, 10, {62, 64}
# The parts of alerts of TLS that are about the client's certificate.
_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
# The first four bytes of answers of other protocols, where Kafka sends the length, as numbers.
_TLS_ALERT, _HTTP = b"\x15\x03", b"HTTP"


class MechanismNotOffered(Exception):
    """The broker does not offer the client's SASL mechanism; the text lists what it offers."""


class NotAccepted(Exception):
    """The broker has accepted the connection, but not the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a client speaks to Kafka, and under which name."""

    protocol: str
    mechanism: str
    user: str | None

    @property
    def uses_tls(self) -> bool:
        """True if the connections are encrypted."""
        return self.protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """True if the client authenticates itself by SASL."""
        return self.protocol.startswith("SASL")

    @property
    def principal(self) -> str:
        """The client's name to the brokers, or where its name comes from."""
        if self.uses_sasl and self.mechanism == "OAUTHBEARER":
            return "the principal of the token"
        if self.uses_sasl:
            return f'"User:{self.user}"'
        return "the principal of the client's certificate" if self.uses_tls else '"User:ANONYMOUS"'


def cause_of(error: BaseException, login: Login) -> str:
    """Return why a connection failed with `error`, and what to do."""
    # The innermost error first: the others only say that the connection is closed.
    for inner in reversed([*_chain(error)]):
        if text := _of_network(inner) or _of_tls(inner, login) or _of_sasl(inner, login):
            return text
    if isinstance(error, ConnectionError) and login.uses_tls:
        return (
            "the connection was closed in the TLS handshake; if this port uses no TLS, change "
            f"{_PROTOCOL} (it is {login.protocol})"
        )
    if isinstance(error, NotAccepted | KafkaConnectionError):
        return (
            "the connection was closed after the first request; if this port uses TLS or SASL, "
            f"change {_PROTOCOL} (it is {login.protocol})"
        )
    return printable(f"the connection failed: {error!r}", MESSAGE_CHARACTERS_MAX)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_network(error: BaseException) -> str:
    match error:
        case TokenUnavailable():
            return f"the client has no token: {error}"
        case socket.gaierror():
            return (
                f"the name cannot be resolved ({error.strerror}); check {_SERVERS} and the DNS, "
                "and with Docker that the container runs"
            )
        case ConnectionRefusedError():
            return (
                f"the connection is refused; check {_SERVERS}, and that the broker runs and no "
                "firewall refuses the port"
            )
        case OSError() if _is_unreachable(error):
            return f"the network has no route to it ({error.strerror}); check {_SERVERS}"
        case asyncio.IncompleteReadError(expected=int(expected)) if expected > 0:
            return _of_other_protocol(expected.to_bytes(4, "big", signed=False))
    return ""


def _is_unreachable(error: OSError) -> bool:
    return error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}


def _of_other_protocol(beginning: bytes) -> str:
    if beginning.startswith(_TLS_ALERT):
        return f"this port uses TLS; set {_PROTOCOL} to SSL or SASL_SSL"
    if beginning == _HTTP:
        return f"an HTTP server answers at this port; check {_SERVERS}"
    return ""


def _of_tls(error: BaseException, login: Login) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_verification(error)
    if not isinstance(error, ssl.SSLError):
        return ""
    reason = error.reason or "no reason"
    if "CERTIFICATE_REQUIRED" in reason:
        return (
            "the broker demands a certificate of the client; set "
            f"{_VARIABLES_PREFIX}CERTIFICATE_FILE and {_VARIABLES_PREFIX}KEY_FILE"
        )
    if "ALERT" in reason and any(part in reason for part in _ABOUT_CERTIFICATES):
        return (
            f"the broker ended the TLS handshake ({reason}); check "
            f"{_VARIABLES_PREFIX}CERTIFICATE_FILE: it must be set, the broker must trust "
            "its authority, and it must not have expired"
        )
    if "ALERT" in reason:
        return (
            f"the broker ended the TLS handshake ({reason}); read the broker's log, and compare "
            "the versions of TLS and the ciphers (ssl.enabled.protocols, ssl.cipher.suites)"
        )
    return f"the TLS handshake failed ({reason}); check {_PROTOCOL} (it is {login.protocol})"


def _of_verification(error: ssl.SSLCertVerificationError) -> str:
    reason = printable(error.verify_message, MESSAGE_CHARACTERS_MAX)
    if error.verify_code == _EXPIRED:
        return (
            "the broker's certificate, or one of the authorities that signed it, has expired; "
            f"renew it at the broker, or in {_VARIABLES_PREFIX}CA_FILE"
        )
    if error.verify_code == _NOT_YET_VALID:
        return (
            "the broker's certificate, or one of the authorities that signed it, is not valid yet; "
            "check the clock of this machine"
        )
    if error.verify_code in _OTHER_NAMES:
        return (
            f"the broker's certificate is for another name ({reason}); use a name of the "
            f"certificate in {_SERVERS} and in the broker's advertised.listeners"
        )
    return (
        f"the broker's certificate is not trusted ({reason}); set {_VARIABLES_PREFIX}CA_FILE to "
        "the certificates of the authority that signed it"
    )


def _of_sasl(error: BaseException, login: Login) -> str:
    match error:
        case MechanismNotOffered():
            return (
                f"the broker does not offer the SASL mechanism {login.mechanism}, but {error}; "
                f"change {_VARIABLES_PREFIX}SASL_MECHANISM"
            )
        case IllegalSaslStateError():
            return (
                f"this port authenticates no client by SASL; change {_PROTOCOL} (it is "
                f"{login.protocol})"
            )
        case SaslAuthenticationFailed():
            message = printable(str(error.args[0] if error.args else ""), MESSAGE_CHARACTERS_MAX)
            return f'the broker rejects the credentials ("{message}"); {_credentials(login)}'
        # Other mechanisms are refused earlier, by an error.
        case NotAccepted() if login.uses_sasl and login.mechanism == "OAUTHBEARER":
            return f"the broker rejects the credentials; {_credentials(login)}"
    return ""


def _credentials(login: Login) -> str:
    if login.mechanism == "OAUTHBEARER":
        return f"check the token that {_VARIABLES_PREFIX}TOKEN_COMMAND prints"
    return (
        f"check the user {login.user!r} in {_VARIABLES_PREFIX}USER_FILE and the password in "
        f"{_VARIABLES_PREFIX}PASSWORD_FILE"
    )
