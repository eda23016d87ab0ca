"""Download jars by their Maven coordinates, check their SHA-256, and keep them in a cache."""

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.demo.embedded.child import ProgramMissing, cache_directory

KAFKA = Path(__file__).with_name("kafka.jars")
DOWNLOADS_AT_ONCE = 8


def jars(list_file: Path) -> list[Path]:
    """
    Return the jars of a list; download those that are not in the cache (Kafka's: 45 MB, 10 s).

    Raises:
        ProgramMissing: jgo is not installed, or a jar cannot be downloaded or has another SHA-256.
    """
    entries = [line.split() for line in list_file.read_text().splitlines() if line.strip()]
    directory = cache_directory() / "jars"
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        absent = [
            (coordinate, sha256)
            for coordinate, sha256 in entries
            if not _path(directory, coordinate, sha256).exists()
        ]
        if absent:
            _download(absent, directory)
    return [_path(directory, coordinate, sha256) for coordinate, sha256 in entries]


def _path(directory: Path, coordinate: str, sha256: str) -> Path:
    _, artifact, version = coordinate.split(":")
    return directory / f"{artifact}-{version}-{sha256[:12]}.jar"


def _download(absent: list[tuple[str, str]], directory: Path) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - of the `embedded` extra
    except ImportError as error:
        raise ProgramMissing("jgo is not installed: pip install 'hookline[embedded]'") from error

    with TemporaryDirectory(dir=directory) as scratch:
        maven = MavenContext(repo_cache=Path(scratch).resolve())

        def fetch(coordinate: str, sha256: str) -> None:
            group, artifact, version = coordinate.split(":")
            try:
                jar = maven.project(group, artifact).at_version(version).artifact().resolve()
            except Exception as error:
                raise ProgramMissing(f"{coordinate} cannot be downloaded: {error}") from error
            jar_sha256 = hashlib.sha256(jar.read_bytes()).hexdigest()
            if jar_sha256 != sha256:
                raise ProgramMissing(
                    f"{coordinate} was downloaded with SHA-256 {jar_sha256}, not {sha256}"
                )
            # A rename: a run that is killed leaves whole jars or none.
            shutil.move(jar, _path(directory, coordinate, sha256))

        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            list(pool.map(lambda wanted: fetch(*wanted), absent))


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
