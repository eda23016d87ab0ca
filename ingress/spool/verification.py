"""
Verify a spool's file in a process of its own (ingress/spool/verifier.py) before LMDB opens it.

A new or empty file has nothing to verify.
"""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

from ingress.spool.disk import Corrupt
from ingress.spool.verifier import EXIT_DAMAGED

VERIFY_TIMEOUT_S = 600.0
VERIFY_COMMAND = (sys.executable, "-m", "ingress.spool.verifier")


class NotVerified(Exception):
    """
    It is not known whether LMDB may open this spool's file, so the file stays as it is.

    The verifier took too long, was killed or could not run.
    """


def verify_blocking(path: Path, timeout_s: float) -> None:
    """
    Return if the file is sound. This blocks: it is for processes that have no requests to answer.

    Raises:
        Corrupt: the file is damaged.
        NotVerified: it is not known whether the file may be opened.
    """
    if not _has_content(path):
        return
    try:
        verifier = subprocess.run(  # noqa: S603 - our own module, on our own file
            [*VERIFY_COMMAND, path], timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(path, timeout_s) from None
    _check(path, verifier.returncode, verifier.stderr)


async def verify(path: Path) -> None:
    """
    Return if the file is sound; if cancelled, kill the verifier.

    Raises:
        Corrupt: the file is damaged.
        NotVerified: it is not known whether the file may be opened.
    """
    if not _has_content(path):
        return
    verifier = await asyncio.create_subprocess_exec(
        *VERIFY_COMMAND, path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT_S):
            _, output = await verifier.communicate()
    except TimeoutError:
        raise _too_slow(path, VERIFY_TIMEOUT_S) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            verifier.kill()
        exit_code = await verifier.wait()
    _check(path, exit_code, output.decode(errors="replace"))


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _too_slow(path: Path, timeout_s: float) -> NotVerified:
    return NotVerified(f"{path} could not be verified in {timeout_s:g} s")


def _check(path: Path, exit_code: int, output: str) -> None:
    """
    Return if the verifier has found the file to be sound.

    Raises:
        Corrupt: it has found damage.
        NotVerified: the verifier was killed or could not run.
    """
    if exit_code == EXIT_DAMAGED:
        raise Corrupt(output.strip())
    if exit_code != 0:
        raise NotVerified(
            f"{path} could not be verified: the verifier ended with exit code {exit_code}: "
            f"{output.strip()[-200:]}"
        )
