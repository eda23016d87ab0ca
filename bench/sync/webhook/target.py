"""The receiver's process, as the benchmark starts it and asks it."""

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.processes import start, until
from bench.sync.webhook.receiver import Report
from ops.demo.embedded import child


class Target:
    """A running receiver."""

    def __init__(self, port: int, pid: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.pid = pid
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def report(self) -> Report:
        """Return the deliveries so far."""
        return self._ask("/")

    def begin(self) -> None:
        """Have the receiver count deliveries from now on."""
        self._ask("/begin")

    def _ask(self, path: str) -> Report:
        self._connection.request("GET", path)
        return msgspec.json.decode(self._connection.getresponse().read(), type=Report)


@contextlib.contextmanager
def target(directory: Path, *, fails: bool = False) -> Iterator[Target]:
    """Yield a receiver; `fails`: callbacks of the account FAILING get 500."""
    port = child.free_port()
    command = ["bench.sync.webhook.receiver", "--port", str(port), *(["--fails"] if fails else [])]
    process = start(command, {}, directory / "receiver.log")
    try:
        until(lambda: child.listens(port), f"the receiver listens; see {directory}")
        yield Target(port, process.pid)
    finally:
        child.stop(process)
