"""HOOKLINE_KAFKA_*: TLS and SASL of the clients of Kafka, and the prefix of the names in Kafka."""

import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from schemas.kafka_files import UnusableAccess, read_credential, tls_context
from schemas.kafka_names import PREFIX_FORM, is_prefix
from schemas.setting import Format, Secret
from schemas.settings import Settings
from schemas.token_command import is_command, token_provider

# The names of the environment variables begin with it; `prefix` below is that of names in Kafka.
KAFKA_VARIABLES_PREFIX = "HOOKLINE_KAFKA_"
_USES_NO_TLS = "uses no TLS; set it to SSL or SASL_SSL, or leave the other one out"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity(Settings):
    """
    HOOKLINE_KAFKA_*: every client of Kafka, also of the commands.

    They are the prefix of the names, TLS, and authentication.
    """

    prefix: Annotated[
        str,
        Format(PREFIX_FORM, is_prefix),
        "Text that every topic, consumer group and transactional id in Kafka begins with, so that "
        "several pipelines share one cluster. Give all processes and commands of a pipeline the "
        "same. It cannot be changed later: see docs/kafka.md.",
    ] = ""
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        "How clients speak to the brokers: `SSL` is TLS, `SASL_…` authenticates the client.",
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
        "How a client authenticates itself, if the protocol is `SASL_…`.",
    ] = None
    user_file: Annotated[
        Path | None,
        "File with the user, for `PLAIN` and `SCRAM-…`. This file and the other ones here are read "
        "again when they change.",
    ] = None
    password_file: Annotated[
        Path | None,
        "File with the password, for `PLAIN` and `SCRAM-…`. A line feed at its end is ignored.",
    ] = None
    token_command: Annotated[
        Secret | None,
        Format("a command with its arguments, quoted as for a shell, or empty", is_command),
        "Command that prints a token, for `OAUTHBEARER`; it runs without a shell, and again before "
        "the token expires.",
    ] = None
    ca_file: Annotated[
        Path | None,
        "File with the certificates (PEM) of the authorities that sign those of the brokers. Empty "
        "means the authorities that the system trusts.",
    ] = None
    certificate_file: Annotated[
        Path | None, "File with the certificate (PEM) of the client, if the brokers ask for one."
    ] = None
    key_file: Annotated[
        Path | None,
        "File with the certificate's private key (PEM), without a passphrase. Empty means that "
        "the certificate's file has the key, too.",
    ] = None
    check_hostname: Annotated[
        bool,
        "Whether the brokers' certificates must be for the names under which they are reached. "
        "Set it to false only if they are for other names and you cannot change that: any holder "
        "of a certificate by these authorities could pose as a broker. So false needs the file "
        "with the authorities.",
    ] = True

    @property
    def uses_tls(self) -> bool:
        """True if the connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """True if the client authenticates itself by SASL."""
        return self.security_protocol.startswith("SASL")

    @property
    def has_files(self) -> bool:
        """True if clients use files, which may change."""
        return any(
            file is not None
            for file in (
                self.user_file,
                self.password_file,
                self.ca_file,
                self.certificate_file,
                self.key_file,
            )
        )

    def faults(self) -> Iterator[str]:
        """Yield the settings that contradict each other, and the files that cannot be used."""
        yield from self._sasl_faults()
        if not self.uses_tls:
            yield from self._superfluous(
                ("ca_file", "certificate_file", "key_file"),
                _USES_NO_TLS,
            )
            if not self.check_hostname:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}CHECK_HOSTNAME is false, but "
                    f"{KAFKA_VARIABLES_PREFIX}SECURITY_PROTOCOL {self.security_protocol} "
                    f"{_USES_NO_TLS}"
                )
        else:
            if self.key_file and not self.certificate_file:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}KEY_FILE is set, but not "
                    f"{KAFKA_VARIABLES_PREFIX}CERTIFICATE_FILE"
                )
            if not self.check_hostname and not self.ca_file:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}CHECK_HOSTNAME is false, but "
                    f"{KAFKA_VARIABLES_PREFIX}CA_FILE is not set: any holder of a "
                    "certificate that the system trusts could pose as a broker"
                )
        for read in (self._user, self._password, self._context):
            try:
                read()
            except UnusableAccess as unusable:
                yield str(unusable)

    def _sasl_faults(self) -> Iterator[str]:
        credentials = ("user_file", "password_file")
        if not self.uses_sasl:
            yield from self._superfluous(
                ("sasl_mechanism", *credentials, "token_command"),
                "uses no SASL; set it to SASL_SSL or SASL_PLAINTEXT",
            )
            return
        if self.sasl_mechanism is None:
            yield (
                f"{KAFKA_VARIABLES_PREFIX}SASL_MECHANISM is not set, but "
                f"{KAFKA_VARIABLES_PREFIX}SECURITY_PROTOCOL is {self.security_protocol}"
            )
            return
        by_token = self.sasl_mechanism == "OAUTHBEARER"
        token = ("token_command",)
        for name in token if by_token else credentials:
            if getattr(self, name) is None:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}{name.upper()} is not set, but "
                    f"{self.sasl_mechanism} needs it"
                )
        for name in credentials if by_token else token:
            if getattr(self, name) is not None:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}{name.upper()} is set, but {self.sasl_mechanism} "
                    "uses none"
                )

    def _superfluous(self, names: tuple[str, ...], why: str) -> Iterator[str]:
        for name in names:
            if getattr(self, name) is not None:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}{name.upper()} is set, but "
                    f"{KAFKA_VARIABLES_PREFIX}SECURITY_PROTOCOL {self.security_protocol} {why}"
                )

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each setting that works, but does not keep a secret well."""
        key = "key_file" if self.key_file else "certificate_file"
        for name in ("password_file", key):
            path = getattr(self, name)
            if path is not None and path.stat().st_mode & stat.S_IROTH:
                yield (
                    f"{KAFKA_VARIABLES_PREFIX}{name.upper()}: all users of this machine can "
                    f"read {path}; run: chmod o= {path}"
                )
        if self.security_protocol == "SASL_PLAINTEXT" and self.sasl_mechanism in (
            "PLAIN",
            "OAUTHBEARER",
        ):
            yield (
                f"{KAFKA_VARIABLES_PREFIX}SECURITY_PROTOCOL SASL_PLAINTEXT sends the password "
                "or token unencrypted; set it to SASL_SSL"
            )

    def options(self) -> dict[str, Any]:
        """
        Return the options of aiokafka's clients, with the current content of the files.

        Raises:
            UnusableAccess: a file cannot be used.
        """
        options: dict[str, Any] = {}
        if self.security_protocol != "PLAINTEXT":
            options["security_protocol"] = self.security_protocol
        if context := self._context():
            options["ssl_context"] = context
        if self.uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            if self.token_command is not None:
                options["sasl_oauth_token_provider"] = token_provider(self.token_command)
            else:
                options["sasl_plain_username"] = self._user()
                options["sasl_plain_password"] = self._password()
        return options

    def _user(self) -> str | None:
        if self.user_file is None:
            return None
        return read_credential(f"{KAFKA_VARIABLES_PREFIX}USER_FILE", self.user_file)

    def _password(self) -> Secret | None:
        if self.password_file is None:
            return None
        return Secret(read_credential(f"{KAFKA_VARIABLES_PREFIX}PASSWORD_FILE", self.password_file))

    def _context(self) -> ssl.SSLContext | None:
        if not self.uses_tls:
            return None
        try:
            return tls_context(
                self.ca_file,
                self.certificate_file,
                self.key_file,
                check_hostname=self.check_hostname,
            )
        except (OSError, ValueError) as error:
            files = {
                "CA_FILE": self.ca_file,
                "CERTIFICATE_FILE": self.certificate_file,
                "KEY_FILE": self.key_file,
            }
            named = ", ".join(
                f"{KAFKA_VARIABLES_PREFIX}{name}={file}" for name, file in files.items() if file
            )
            why = str(error)
            if isinstance(error, OSError):
                why = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
            raise UnusableAccess(f"{named} cannot be used for TLS: {why}") from error
