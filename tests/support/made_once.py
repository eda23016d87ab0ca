"""Make something that takes long once for all runs of the tests on this machine."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory


def make_once(kept: Path, make: Callable[[Path], Path]) -> None:
    """Keep what `make` makes in an empty directory as `kept`, unless an earlier run has made it."""
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Test processes that run in parallel wait for the first one.
    with Path(f"{kept}.lock").open("ab") as lock, TemporaryDirectory(dir=kept.parent) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            # By its name: a run that is killed leaves all of it or none.
            make(Path(scratch)).rename(kept)
