"""The password of Valkey in a file, on a real server."""

from contextlib import closing
from pathlib import Path

import pytest
from valkey import Valkey

from consumers.counters.server import answering, connect
from consumers.runtime.handler import Unavailable
from schemas.setting import Secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a file with a password."""
    path = tmp_path / "password"
    path.write_text("first\n")
    return path


@pytest.fixture
def url(valkey_url: str, file: Path) -> Secret:
    """Return the URL of a server whose user `from-file` has the password of the file."""
    set_password(valkey_url, "first")
    named = valkey_url.replace("://", "://from-file@")
    return Secret(f"{named}?password_file={file}&health_check_interval=0")


def set_password(valkey_url: str, password: str) -> None:
    """Let the user have this password only, and close its connections."""
    with closing(Valkey.from_url(valkey_url)) as valkey:
        rules = ("reset", "on", f">{password}", "~*", "+@all")
        valkey.execute_command("ACL", "SETUSER", "from-file", *rules)
        valkey.execute_command("CLIENT", "KILL", "USER", "from-file")


def write(file: Path, text: str) -> None:
    """Replace the content of the file."""
    file.write_text(text)


async def whoami(url: Secret) -> bytes:
    """Return the user of a new connection."""
    valkey = connect(url)
    try:
        async with answering():
            return bytes(await valkey.execute_command("ACL", "WHOAMI"))
    finally:
        await valkey.aclose()


async def test_the_password_is_that_of_the_file(url: Secret, file: Path, valkey_url: str) -> None:
    """The file is read for each connection, so that both can be changed while a process runs."""
    assert await whoami(url) == b"from-file"
    set_password(valkey_url, "second")
    with pytest.raises(Unavailable, match="check the user and the password"):
        await whoami(url)
    write(file, "second")
    assert await whoami(url) == b"from-file"


async def test_a_file_that_does_not_exist_is_named(url: Secret, file: Path) -> None:
    """The consumer waits for it."""
    absent = file.with_name("absent")
    with pytest.raises(Unavailable, match=str(absent)):
        await whoami(Secret(url.replace(str(file), str(absent))))


async def test_a_url_without_a_file_is_unchanged(valkey_url: str) -> None:
    """Its own user and password are used."""
    assert await whoami(Secret(valkey_url)) == b"default"
