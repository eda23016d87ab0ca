"""deploy/kafka/certificates with the openssl of this machine, in a folder of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "kafka" / "certificates"


class Certificates:
    """A folder of certificates, and the script that works in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *arguments: str, host: str = "kafka.example.com", stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the script, and check that it leaves no file of a certificate that is not used."""
        env = os.environ | {"CERTIFICATES_DIR": str(self.folder), "ADVERTISED_HOST": host}
        done = subprocess.run(
            ["/bin/sh", SCRIPT, *arguments],
            env=env,
            input=stdin,
            capture_output=True,
            check=False,
        )
        names = {f"{name}.pem{old}" for name in ("server", "ca") for old in ("", ".old")}
        assert {path.name for path in self.folder.iterdir()} <= names | {
            "hookline-ca.pem",
            "hookline-ca.key",
        }
        return done

    def succeeds(self, *arguments: str, **options: str) -> bytes:
        """Run the script, which must end with 0, and return its stdout."""
        done = self.run(*arguments, **options)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stderr
        return done.stdout

    def use(self, *parts: trustme.Blob) -> subprocess.CompletedProcess[bytes]:
        """Give these parts to `certificates use`, with the key in the form of PKCS #8."""
        return self.run("use", stdin=b"".join(as_pkcs8(part.bytes()) for part in parts))

    def content(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.folder / name).read_bytes()

    def is_signed_by_the_ca(self) -> bool:
        """Return whether the CA that the script prints has signed the broker's certificate."""
        leaf = x509.load_pem_x509_certificates(self.content("server.pem"))[0]
        try:
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(self.succeeds("ca")))
        except ValueError:
            return False
        return True


def as_pkcs8(pem: bytes) -> bytes:
    """Return a key in the form that Kafka reads, and any other text as it is."""
    if b"PRIVATE KEY" not in pem:
        return pem
    key = load_pem_private_key(pem, password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def empty(tmp_path: Path) -> Certificates:
    """Return an empty folder of certificates."""
    return Certificates(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the script has made its first certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    Certificates(folder).succeeds()
    return folder


@pytest.fixture
def certificates(made: Path, tmp_path: Path) -> Certificates:
    """Return a folder with the script's first certificate."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Certificates(tmp_path)


def test_a_certificate_is_for_the_advertised_host_and_other_names(
    empty: Certificates,
) -> None:
    """Addresses are of their own kind; brackets around those of IPv6 are removed."""
    said = empty.succeeds("kafka.internal", "10.0.0.5", host="[fd00::1]")
    assert b"docker compose up --wait && docker compose restart kafka" in said
    leaf = x509.load_pem_x509_certificates(empty.content("server.pem"))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["fd00::1", "kafka.internal", "10.0.0.5"]
    assert empty.is_signed_by_the_ca()


def test_a_renewed_certificate_has_the_same_ca_and_a_copy_of_the_one_before(
    certificates: Certificates,
) -> None:
    """So other machines need no other CA."""
    before, ca = certificates.content("server.pem"), certificates.succeeds("ca")
    certificates.succeeds()
    assert certificates.content("server.pem") != before
    assert certificates.content("server.pem.old") == before
    assert certificates.succeeds("ca") == ca


def test_the_ca_of_another_certificate_is_the_last_one_of_its_chain(
    certificates: Certificates,
) -> None:
    """The CA of the script stays for a later certificate; its own certificate is kept, too."""
    before, own_ca = certificates.content("server.pem"), certificates.succeeds("ca")
    root = trustme.CA()
    middle = root.create_child_ca()
    given = middle.issue_cert("kafka.example.com")
    done = certificates.use(
        given.private_key_pem, *given.cert_chain_pems, middle.cert_pem, root.cert_pem
    )
    assert done.returncode == 0, done.stderr
    assert certificates.succeeds("ca").split() == root.cert_pem.bytes().split()
    assert certificates.content("server.pem.old") == before
    certificates.succeeds()
    assert certificates.succeeds("ca") == own_ca
    assert certificates.is_signed_by_the_ca()


def test_the_certificate_before_can_be_used_again(certificates: Certificates) -> None:
    """The file of the script's own certificate has its CA."""
    before, ca = certificates.content("server.pem"), certificates.succeeds("ca")
    certificates.succeeds()
    done = certificates.run("use", stdin=certificates.content("server.pem.old"))
    assert done.returncode == 0, done.stderr
    assert (certificates.content("server.pem"), certificates.succeeds("ca")) == (before, ca)


def test_without_the_root_there_is_no_ca_to_print(empty: Certificates) -> None:
    """A client that trusts the broker's certificate in place of a CA fails at the next renewal."""
    given = trustme.CA().issue_cert("kafka.example.com")
    done = empty.use(given.private_key_pem, *given.cert_chain_pems)
    assert done.returncode == 0, done.stderr
    refused = empty.run("ca")
    assert refused.returncode == 1
    assert b"came without its root CA (issuer=" in refused.stderr


def test_a_certificate_that_cannot_work_is_refused(certificates: Certificates) -> None:
    """The one in use and its CA stay as they are."""
    before, own_ca = certificates.content("server.pem"), certificates.succeeds("ca")
    root, stranger = trustme.CA(), trustme.CA()
    given, other = root.issue_cert("kafka.example.com"), root.issue_cert("other.example.com")
    key, (leaf,) = given.private_key_pem, given.cert_chain_pems
    cases = (
        ((leaf, root.cert_pem), b"stdin has no key"),
        ((key,), b"stdin has no certificate"),
        ((other.private_key_pem, leaf, root.cert_pem), b"do not belong together"),
        ((key, root.cert_pem, leaf), b"do not belong together"),
        ((key, leaf, stranger.cert_pem), b"the last certificate of stdin has not signed"),
    )
    for parts, reason in cases:
        done = certificates.use(*parts)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
    assert (certificates.content("server.pem"), certificates.succeeds("ca")) == (before, own_ca)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("999.0.0.1", b"openssl cannot make the certificate for IP:999.0.0.1; the lines above"),
        ("a,DNS:b", b'"a,DNS:b" is neither a name nor an address'),
        ("", b"set KAFKA_ADVERTISED_HOST in .env"),
    ],
)
def test_a_name_that_openssl_refuses_is_named(
    certificates: Certificates, host: str, reason: bytes
) -> None:
    """The certificate in use stays as it is."""
    before = certificates.content("server.pem")
    done = certificates.run(host=host)
    assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
    assert certificates.content("server.pem") == before
