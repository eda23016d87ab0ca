"""Prepare formatted storage and a cache of Java classes, so that brokers start fast in tests."""

import fcntl
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.demo.embedded.kafka import CLASSES, STORAGE, EmbeddedKafka, kept_directory


def prepare() -> None:
    """Make both in the user's cache directory, once for each version of Java and Kafka."""
    kept = kept_directory()
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Test processes that run in parallel wait for the first one.
    with Path(f"{kept}.lock").open("ab") as lock, TemporaryDirectory(dir=kept.parent) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _make(Path(scratch) / "broker", Path(scratch) / "made")
            # Rename the complete folder, so that a killed run leaves both parts or none.
            (Path(scratch) / "made").rename(kept)


def _make(directory: Path, made: Path) -> None:
    made.mkdir()
    broker = EmbeddedKafka(directory, class_cache_output=made / CLASSES)
    broker.format()
    shutil.copytree(broker.data, made / STORAGE)
    broker.start()
    assert broker.process is not None
    # The JVM writes the cache when the broker shuts down.
    broker.process.terminate()
    broker.process.wait(120)
    assert (made / CLASSES).exists(), broker.log.read_text()[-2000:]
