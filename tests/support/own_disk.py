"""Mounts that one process sees: a small disk, which a test can fill, and a read-only folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def own_disk(at: Path, size: int, owner: int = 0) -> list[str]:
    """
    Return the prefix of a command that then sees a disk of its own at this path.

    The command runs as root: without root's rights, as the root of a user namespace. `owner` is
    the user there to whom the disk belongs.
    """
    return _own_mount(f'mount -t tmpfs -o size={size},uid={owner} disk "{at}"')


def read_only(at: Path) -> list[str]:
    """Return the prefix of a command that cannot write below this path; fail the test without."""
    prefix = _own_mount(f'mount --bind "{at}" "{at}" && mount -o remount,bind,ro "{at}"')
    _check(prefix, "nothing can be mounted read-only here, so commands on such a disk are")
    return prefix


def mounted_disk(directory: Path) -> Path:
    """Return a folder to mount a disk on; fail the test if the kernel refuses to mount."""
    at = directory / "disk"
    at.mkdir()
    _check(own_disk(at, 1 << 20), "no disk of its own can be mounted here, so a full one is")
    return at


def _own_mount(mount: str) -> list[str]:
    unshare = [str(shutil.which("unshare")), "--mount"]
    if os.geteuid() != 0:
        unshare.insert(1, "--map-root-user")
    return [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh"]


def _check(prefix: list[str], reason: str) -> None:
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.fail(
            f"{reason} not tested; run as root, or allow user namespaces: {probe.stderr.decode()}"
        )
