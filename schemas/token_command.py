"""Tokens for OAUTHBEARER: a command prints them, and they are kept until they expire."""

import asyncio
import base64
import contextlib
import json
import math
import os
import shlex
import signal
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiokafka.abc import AbstractTokenProvider

# The command must end within this time; aiokafka waits for a connection for 40 s.
COMMAND_S_MAX = 20.0
# Its output is complete within this time of its end, unless a process in another session writes it.
REMAINING_OUTPUT_S_MAX = 1.0
TOKEN_BYTES_MAX = 64 << 10
# A token is renewed so long before it expires.
RENEW_BEFORE_S = 30.0
# How long a token is used that does not say when it expires.
OPAQUE_TOKEN_S = 60.0
# How long a token is used at most: its issuer may revoke it, or count its lifetime in another unit.
TOKEN_S_MAX = 3600.0
# After a failure the command does not run for this time; aiokafka tries each 100 ms.
FAILURE_S = 5.0


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
        self._failure = ""
        self._failed_until = 0.0
        self._running: asyncio.Task[str] | None = None

    async def token(self) -> str:
        """
        Return a token that has not expired.

        Raises:
            TokenUnavailable: the command failed within the last FAILURE_S, or did not end in time.
        """
        if time.time() < self._usable_until:
            return self._token
        # Several connections that are opened together share one run of the command.
        running = self._running
        if running is None or running.done() or running.get_loop() != asyncio.get_running_loop():
            if time.monotonic() < self._failed_until:
                raise TokenUnavailable(self._failure)
            running = self._running = asyncio.create_task(self._run())
        return await asyncio.shield(running)

    def forget(self, token: str) -> None:
        """Run the command again for the next connection: a broker may have rejected `token`."""
        if token == self._token:
            self._usable_until = 0.0

    async def _run(self) -> str:
        try:
            token = await _output(self._arguments)
        except TokenUnavailable as unavailable:
            self._failure = str(unavailable)
            self._failed_until = time.monotonic() + FAILURE_S
            raise
        now = time.time()
        expiry = _expiry(token)
        self._usable_until = (
            now + OPAQUE_TOKEN_S
            if expiry is None
            else min(expiry - RENEW_BEFORE_S, now + TOKEN_S_MAX)
        )
        self._token = token
        return token


class _Output(asyncio.SubprocessProtocol):
    """The output of a command."""

    def __init__(self) -> None:
        self.content = bytearray()
        # The command has ended, or has printed too much; its children may still run.
        self.ended = asyncio.Event()
        self.exited = asyncio.Event()
        # No process has the output open.
        self.closed = asyncio.Event()

    @property
    def is_too_large(self) -> bool:
        """True if this cannot be a token."""
        return len(self.content) > TOKEN_BYTES_MAX

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep `data`."""
        del fd
        self.content += data
        if self.is_too_large:
            self.ended.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that the output is complete."""
        del fd, exc
        self.closed.set()

    def process_exited(self) -> None:
        """Note the end of the command."""
        self.exited.set()
        self.ended.set()


async def _output(arguments: list[str]) -> str:
    try:
        transport, output = await asyncio.get_running_loop().subprocess_exec(
            _Output,
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
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            await output.ended.wait()
        code = transport.get_returncode()
    except TimeoutError:
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND did not end within {COMMAND_S_MAX:g} s"
        ) from None
    finally:
        await _end(transport, output)
    if output.is_too_large:
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND printed more than {TOKEN_BYTES_MAX} bytes"
        )
    token = output.content.decode("ascii", "replace").strip()
    if code or not token or not token.isascii() or not token.isprintable():
        raise TokenUnavailable(
            f"HOOKLINE_KAFKA_TOKEN_COMMAND ended with code {code} and printed "
            f"{'something that is not a token' if token else 'nothing'}; "
            "run it by hand to see why"
        )
    return token


async def _end(transport: asyncio.SubprocessTransport, output: _Output) -> None:
    """Kill the command and its children, and read what they have printed."""
    try:
        # The whole session: a child in the background may hold the output open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REMAINING_OUTPUT_S_MAX):
                # The event loop reads the exit code itself only of a transport that is open.
                await output.exited.wait()
                await output.closed.wait()
    finally:
        transport.close()


def _expiry(token: str) -> float | None:
    """Return when a token expires, in seconds since 1970, if it is a JWT that says so."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    return expiry if math.isfinite(expiry) else None


@lru_cache
def token_provider(command: str) -> "AbstractTokenProvider":
    """Return the provider of aiokafka's clients; all clients of a process share its token."""
    # Only now: the commands import this module, and most of them use no Kafka.
    from aiokafka.abc import AbstractTokenProvider  # noqa: PLC0415

    class Provider(TokenCommand, AbstractTokenProvider):
        pass

    return Provider(command)
