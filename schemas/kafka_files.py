"""The files with which clients of Kafka authenticate: user, password, certificates."""

import ssl
from functools import lru_cache
from pathlib import Path

# A user or a password; a longer file is a mistake.
CREDENTIAL_BYTES_MAX = 4096
# Contexts of TLS that are kept: those of the current files and of former ones.
CONTEXTS_MAX = 4


class UnusableAccess(Exception):
    """A file cannot be used now; the text shows nothing of its content."""


def read_credential(variable: str, file: Path) -> str:
    """
    Return the only line of `file`, which the setting `variable` names.

    Raises:
        UnusableAccess: the file cannot be read, or has something else than one line.
    """
    try:
        with file.open("rb") as opened_file:
            content = opened_file.read(CREDENTIAL_BYTES_MAX + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise UnusableAccess(f"{variable}: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without the cause, which quotes the content.
        raise UnusableAccess(f"{variable}: {file} is not UTF-8 text") from None
    if not text:
        raise UnusableAccess(f"{variable}: {file} is empty")
    if len(content) > CREDENTIAL_BYTES_MAX or not text.isprintable():
        raise UnusableAccess(
            f"{variable}: {file} must have one line of at most {CREDENTIAL_BYTES_MAX} bytes"
        )
    return text


def tls_context(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    *,
    check_hostname: bool,
) -> ssl.SSLContext:
    """
    Return the context of TLS for the current content of the files; it is made once for each.

    Raises:
        OSError: a file cannot be read or has no certificate or key (ssl.SSLError).
        ValueError: the key has a passphrase.
    """
    files = (ca_file, certificate_file, key_file)
    versions = tuple(_version(file) for file in files if file)
    return _cached_context(*files, check_hostname, versions)


def _version(file: Path) -> tuple[int, ...]:
    """Return numbers that change with the content of a file."""
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=CONTEXTS_MAX)
def _cached_context(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    check_hostname: bool,  # noqa: FBT001 - a key of the cache
    _versions: tuple[tuple[int, ...], ...],
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = check_hostname
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask for the passphrase on the terminal and wait.
    raise ValueError("the private key has a passphrase")
