"""The command that prints tokens for OAUTHBEARER: when it runs, and what ends it."""

import asyncio
import base64
import contextlib
import json
import secrets
import shlex
import sys
import time
from pathlib import Path

import pytest

from schemas import token_command
from schemas.token_command import TokenCommand, TokenUnavailable


def a_token(valid_s: float) -> str:
    """Return a JWT that expires in so many seconds."""
    return a_token_with(time.time() + valid_s)


def a_token_with(exp: float) -> str:
    """Return a JWT with a claim "exp"."""
    claims = json.dumps({"exp": exp}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def printing(directory: Path, *tokens: str) -> TokenCommand:
    """Return a command that prints the first token, then the second one, and so on."""
    for number, token in enumerate(tokens):
        (directory / str(number)).write_text(token)
    script = (
        "import sys; runs = open(sys.argv[1] + '/runs', 'a+'); number = runs.tell();"
        "runs.write('x');"
        "print(open(f'{sys.argv[1]}/{number}').read())"
    )
    # Without `site`, Python starts in a third of the time.
    return TokenCommand(shlex.join([sys.executable, "-IS", "-c", script, str(directory)]))


async def test_a_token_is_kept_until_shortly_before_it_expires(tmp_path: Path) -> None:
    """The command runs again for a token that is about to expire, and not for one that is not."""
    soon, late = a_token(token_command.RENEW_BEFORE_S), a_token(3600)
    command = printing(tmp_path, soon, late)
    assert [await command.token() for _ in range(3)] == [soon, late, late]


@pytest.mark.parametrize(
    "token",
    [
        *("opaque", "a.b.c", "e30.e30.", "e30.W10.", "..", "a.!.c"),
        *(a_token_with(10**400), a_token_with(float("nan"))),
    ],
)
async def test_a_token_that_does_not_say_when_it_expires_is_kept_for_a_while(
    tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for each form of the output."""
    command = printing(tmp_path, token, "second")
    assert [await command.token() for _ in range(2)] == [token, token]
    at = time.time() + token_command.OPAQUE_TOKEN_S
    monkeypatch.setattr(time, "time", lambda: at)
    assert await command.token() == "second"


async def test_a_token_is_kept_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time may be in milliseconds, or its issuer may revoke it."""
    long = a_token_with(time.time() * 1000)
    command = printing(tmp_path, long, "second")
    assert [await command.token() for _ in range(2)] == [long, long]
    at = time.time() + token_command.TOKEN_S_MAX
    monkeypatch.setattr(time, "time", lambda: at)
    assert await command.token() == "second"


async def test_a_token_that_may_be_rejected_is_forgotten(tmp_path: Path) -> None:
    """An older token that was rejected does not end the use of the current one."""
    first, second = a_token(3600), a_token(3601)
    command = printing(tmp_path, first, second)
    command.forget(await command.token())
    assert await command.token() == second
    command.forget(first)
    assert await command.token() == second


async def test_a_command_that_fails_does_not_run_again_immediately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last failure is raised again for a while."""
    runs = tmp_path / "runs"
    command = TokenCommand(shlex.join(["sh", "-c", 'echo >> "$0"; false', str(runs)]))
    for _ in range(5):
        with pytest.raises(TokenUnavailable, match="ended with code 1 and printed nothing"):
            await command.token()
    assert runs.read_text() == "\n"
    at = time.monotonic() + token_command.FAILURE_S
    monkeypatch.setattr(time, "monotonic", lambda: at)
    with pytest.raises(TokenUnavailable):
        await command.token()
    assert runs.read_text() == "\n\n"


async def test_connections_that_open_together_share_one_run(tmp_path: Path) -> None:
    """The command would fail a second time: it has one token."""
    command = printing(tmp_path, a_token(3600))
    tokens = await asyncio.gather(*(command.token() for _ in range(5)))
    assert len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/nowhere/token", "does not start: No such file or directory"),
        ("false", "ended with code 1 and printed nothing"),
        ("sh -c 'echo hidden; exit 3'", "ended with code 3"),
        ("true", "ended with code 0 and printed nothing"),
        ("printf 'hidden\\nhidden'", "printed something that is not a token"),
        ("printf '\\303\\244'", "printed something that is not a token"),
        ("yes hidden", "printed more than 65536 bytes"),
    ],
)
async def test_a_command_that_fails_is_named_without_its_output(command: str, why: str) -> None:
    """The failure is an OSError, which aiokafka takes as one of the connection."""
    with pytest.raises(TokenUnavailable) as raised:
        await TokenCommand(command).token()
    assert why in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert "/nowhere" not in str(raised.value)


def running(argument: str) -> list[Path]:
    """Return the processes that have an argument."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        # A process may end meanwhile.
        with contextlib.suppress(OSError):
            if argument.encode() in cmdline.read_bytes().split(b"\0"):
                found.append(cmdline)
    return found


async def test_a_command_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its children, which hold its output open."""
    monkeypatch.setattr(token_command, "COMMAND_S_MAX", 0.5)
    argument = f"1000.{secrets.randbelow(10**12)}"
    with pytest.raises(TokenUnavailable, match="did not end within"):
        await TokenCommand(f"sh -c 'sleep {argument} & wait'").token()
    assert not running(argument)


async def test_a_child_in_the_background_does_not_delay_the_token() -> None:
    """It keeps the output open; it is killed, and no file stays open."""
    argument = f"1000.{secrets.randbelow(10**12)}"
    command = TokenCommand(f"sh -c 'sleep {argument} & echo token'")
    # The event loop opens files of its own for the first process.
    await TokenCommand("echo token").token()
    files = open_files()
    assert await command.token() == "token"
    assert not running(argument)
    assert open_files() == files


async def test_a_child_in_a_session_of_its_own_does_not_delay_the_token() -> None:
    """It cannot be found, so it runs on, without a file of ours."""
    argument = f"3.{secrets.randbelow(10**12)}"
    files = open_files()
    assert (
        await TokenCommand(f"sh -c 'setsid sleep {argument} & sleep 0.5; echo token'").token()
        == "token"
    )
    assert open_files() == files


def open_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
