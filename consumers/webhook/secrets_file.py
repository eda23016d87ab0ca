"""
The secrets that sign a target's requests: a file, read again when it changes.

To rotate a secret, add the new one, give it to the receiver, then remove the old one: each request
has a signature by every secret in the file.
"""

import base64
import hashlib
import hmac
import logging
from pathlib import Path

from schemas.tokens_file import TokensFile, UnusableFile

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 4096
SECRETS_MAX = 2
_PREFIX = "whsec_"
# The sizes of a secret in Standard Webhooks, decoded.
_BYTES_MIN, _BYTES_MAX = 24, 64


class SecretsFile:
    """Signs with the secrets in `file`."""

    def __init__(self, file: Path) -> None:
        """
        Read the file.

        Raises:
            UnusableFile: it has no usable secret.
        """
        self._name = str(file)
        self._secrets: tuple[bytes, ...] = ()
        self.file = TokensFile(file, self._use, bytes_max=FILE_BYTES_MAX, log=log)

    def _use(self, content: bytes) -> str:
        self._secrets = parse(content, self._name)
        return f"; secrets: {len(self._secrets)}"

    def signatures(self, message_id: str, timestamp_s: int, body: bytes) -> str:
        """Return the value of `webhook-signature`: one signature by each secret."""
        # Not by the library `standardwebhooks`: it signs text, and a body may not be UTF-8.
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        return " ".join(
            "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
            for secret in self._secrets
        )


def parse(content: bytes, name: str) -> tuple[bytes, ...]:
    """
    Return the secrets in a file: `whsec_` and base64 in each line; `#` begins a comment line.

    Raises:
        UnusableFile: it has something else; no secret is shown.
    """
    secrets = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except ValueError:  # binascii.Error is one; a character that is not ASCII gives another one
            secret = b""
        if not text.startswith(_PREFIX) or not _BYTES_MIN <= len(secret) <= _BYTES_MAX:
            raise UnusableFile(
                f"{name}: line {number} is not a secret: {_PREFIX} and {_BYTES_MIN} to "
                f"{_BYTES_MAX} bytes in base64"
            )
        secrets.append(secret)
    if not 1 <= len(secrets) <= SECRETS_MAX:
        raise UnusableFile(
            f"{name} has {len(secrets)} secrets; it must have 1, or {SECRETS_MAX} while one is "
            "replaced"
        )
    return tuple(secrets)
