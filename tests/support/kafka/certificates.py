"""The certificates of a test: an authority, a broker's, an expired one, and a client's."""

import datetime as dt
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_YEAR = dt.timedelta(days=365)


class Certificates:
    """PEM files in one directory, signed by one authority, except that of `other_authority`."""

    def __init__(self, directory: Path) -> None:
        """Make the authority and one that signed none of the certificates."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = trustme.CA()
        self.authority = directory / "authority.pem"
        self.other_authority = directory / "other-authority.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        other = trustme.CA()
        other.cert_pem.write_to_path(self.other_authority)
        # The key and the certificate of a client that the broker does not trust.
        self.foreign_client = self._write("foreign-client.pem", other.issue_cert("foreign"))

    def server(self, host: str, name: str | None = None) -> Path:
        """Return a file with a server's key and certificate; `name` is the common name."""
        return self._write(f"{host}.pem", self._authority.issue_cert(host, common_name=name))

    def expired_server(self, host: str) -> Path:
        """Return a file like that of `server`, whose certificate was valid for a year."""
        leaf = self._authority.issue_cert(host, not_before=_LONG_AGO, not_after=_LONG_AGO + _YEAR)
        return self._write(f"{host}-expired.pem", leaf)

    def client(self, name: str) -> Path:
        """Return a file with the key and the certificate of a client with this common name."""
        return self._write(f"client-{name}.pem", self._authority.issue_cert(name, common_name=name))

    def _write(self, name: str, leaf: trustme.LeafCert) -> Path:
        # Kafka reads keys in PKCS#8 only, and trustme writes another form.
        key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        path = self._directory / name
        path.write_bytes(key + b"".join(part.bytes() for part in leaf.cert_chain_pems))
        path.chmod(0o600)
        return path
