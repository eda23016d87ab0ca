"""Tokens for OAUTHBEARER: a command prints them, and they are kept until they expire."""

import asyncio
import base64
import binascii
import json
import os
import shlex
import signal
import time
from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aiokafka.abc import AbstractTokenProvider

# The command must print its token within this time; aiokafka waits for a connection for 40 s.
COMMAND_S_MAX = 20.0
TOKEN_BYTES_MAX = 64 << 10
# A token is renewed so long before it expires.
RENEW_BEFORE_S = 30.0
# How long a token is used that does not say when it expires.
OPAQUE_TOKEN_S = 60.0


class TokenUnavailable(OSError):
    """The command gave no token; the text shows neither the command nor its output."""


def is_command(text: str | None) -> bool:
    """Return whether the text is a command with its arguments; None, no command, is allowed."""
    if text is None:
        return True
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


class TokenCommand:
    """The token that a command prints; the command runs again shortly before it expires."""

    def __init__(self, command: str) -> None:
        self._arguments = shlex.split(command)
        self._token = ""
        self._usable_until = 0.0
        self._running: asyncio.Task[str] | None = None

    async def token(self) -> str:
        """
        Return a token that has not expired.

        Raises:
            TokenUnavailable: the command failed, or did not end in time.
        """
        if time.time() < self._usable_until:
            return self._token
        # Several connections that are opened together share one run of the command.
        running = self._running
        if running is None or running.done() or running.get_loop() != asyncio.get_running_loop():
            running = self._running = asyncio.create_task(self._run())
        return await asyncio.shield(running)

    async def _run(self) -> str:
        token = await _output(self._arguments)
        now = time.time()
        expiry = _expiry(token)
        self._usable_until = now + OPAQUE_TOKEN_S if expiry is None else expiry - RENEW_BEFORE_S
        self._token = token
        return token


async def _output(arguments: list[str]) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # Each line of our own stderr is an entry of the log.
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND does not start: {error.strerror}"
        ) from None
    printed = cast("asyncio.StreamReader", process.stdout)
    output = b""
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            while len(output) <= TOKEN_BYTES_MAX and (more := await printed.read(1 << 16)):
                output += more
            if len(output) > TOKEN_BYTES_MAX:
                raise TokenUnavailable(
                    f"HOOKLINE_KAFKA_TOKEN_COMMAND printed more than {TOKEN_BYTES_MAX} bytes"
                )
            code = await process.wait()
    except TimeoutError:
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND did not end within {COMMAND_S_MAX:g} s"
        ) from None
    finally:
        if process.returncode is None:
            # The whole session: a child of the command may hold the pipe open.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    token = output.decode("ascii", "replace").strip()
    if code or not token or not token.isascii() or not token.isprintable():
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND ended with code {code} and printed "
            f"{'something that is not a token' if output.strip() else 'nothing'}; "
            "run it by hand to see why"
        )
    return token


def _expiry(token: str) -> float | None:
    """Return when a token expires, in seconds since 1970, if it is a JWT that says so."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, RecursionError):
        return None


@lru_cache
def token_provider(command: str) -> "AbstractTokenProvider":
    """Return the provider of aiokafka's clients; all clients of a process share its token."""
    # Only now: the commands import this module, and most of them use no Kafka.
    from aiokafka.abc import AbstractTokenProvider  # noqa: PLC0415

    class Provider(TokenCommand, AbstractTokenProvider):
        pass

    return Provider(command)
