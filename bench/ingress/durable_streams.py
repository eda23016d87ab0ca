"""
The peer `durable_streams`: a Rust server whose answer means "on disk", built with cargo.

It is the anchor of durable HTTP ingestion: https://crates.io/crates/durable-streams (Apache-2.0).
An append is answered 204 after an fdatasync of the write-ahead log that covers it; appends that
arrive together share one. It forwards nothing.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ops.demo.embedded.child import ProgramMissing, cache_directory

VERSION = "0.1.5"
# The only stream of a run; it is created before the load begins.
TARGET = "/t/1"
BUILD_S_MAX = 900.0


def program() -> Path:
    """Return the path of the server's program, which may not be there yet."""
    return _root() / "bin" / "durable-streams-server"


def build(say: Callable[[str], None]) -> None:
    """
    Build the server if that was not done before; this takes some 3 minutes on two cores.

    Raises:
        ProgramMissing: there is no cargo, or it cannot build the server.
    """
    if program().exists():
        return
    cargo = shutil.which("cargo", path=f"{os.environ['PATH']}:{Path.home() / '.cargo' / 'bin'}")
    if cargo is None:
        raise ProgramMissing("durable_streams is left out: cargo (Rust) is not installed")
    say(f"building durable-streams {VERSION} with cargo, once, some 3 minutes")
    command = [cargo, "install", "durable-streams", "--version", VERSION, "--locked"]
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            [*command, "--root", str(_root())],
            check=True,
            capture_output=True,
            text=True,
            timeout=BUILD_S_MAX,
        )
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", None) or error)
        last_line = said.strip().rpartition("\n")[2]
        raise ProgramMissing(
            f"durable_streams is left out: cargo cannot build it: {last_line}"
        ) from error


def _root() -> Path:
    return cache_directory() / f"durable-streams-{VERSION}"
