"""A small disk of its own for a process, which a test can fill."""

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
    unshare = [str(shutil.which("unshare")), "--mount"]
    if os.geteuid() != 0:
        unshare.insert(1, "--map-root-user")
    mount = f'mount -t tmpfs -o size={size},uid={owner} disk "{at}" && exec "$@"'
    return [*unshare, "sh", "-c", mount, "sh"]


def mounted_disk(directory: Path) -> Path:
    """Return a folder to mount a disk on; fail the test if the kernel refuses to mount."""
    at = directory / "disk"
    at.mkdir()
    probe = subprocess.run([*own_disk(at, 1 << 20), "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.fail(
            "no disk of its own can be mounted here, so a full one is not tested; run as root, or "
            f"allow user namespaces: {probe.stderr.decode()}"
        )
    return at
