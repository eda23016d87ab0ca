"""Kafka Connect with Debezium's JDBC sink, configured by the blocks of docs/stores.md."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from support.docs_blocks import the_block

from ops.demo.embedded import child
from ops.demo.embedded.jars import jars
from ops.demo.embedded.kafka import java

_LISTS = Path(__file__).parent
_PLUGINS = "/opt/connect-plugins"
_WORKER = the_block(f"plugin.path={_PLUGINS}", "properties")
_CONNECTOR = the_block("JdbcSinkConnector", "properties")
# For a quick start, not for load.
_JAVA_OPTIONS = (
    *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class ConnectWorker:
    """A standalone worker of Kafka Connect, which may be killed and started again."""

    def __init__(self, directory: Path, *, bootstrap_servers: str, postgres_port: int) -> None:
        """Prepare the worker; only the addresses and folders differ from those in the docs."""
        self.log = directory / "connect.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._port = child.free_port()
        plugin = directory / "plugins" / "debezium-connector-jdbc"
        plugin.mkdir(parents=True)
        for jar in jars(_LISTS / "debezium-jdbc.jars"):
            (plugin / jar.name).symlink_to(jar)
        worker, connector = directory / "worker.properties", directory / "callbacks.properties"
        worker.write_text(
            _WORKER.replace("127.0.0.1:9092", bootstrap_servers)
            .replace("127.0.0.1:8086", f"127.0.0.1:{self._port}")
            .replace(_PLUGINS, str(plugin.parent))
            .replace("connect.offsets", str(directory / "connect.offsets"))
        )
        connector.write_text(_CONNECTOR.replace("127.0.0.1:5432", f"127.0.0.1:{postgres_port}"))
        self._command: list[str | Path] = [
            *(java(), *_JAVA_OPTIONS),
            *("-cp", ":".join(map(str, jars(_LISTS / "connect.jars")))),
            *("org.apache.kafka.connect.cli.ConnectStandalone", worker, connector),
        ]

    def start(self) -> None:
        """Start the worker's process; its tasks run some seconds later."""
        self.process = child.start(self._command, log=self.log)

    def kill(self) -> None:
        """Kill the worker (SIGKILL)."""
        if self.process is not None:
            child.kill(self.process)

    def states(self) -> list[str]:
        """Return the state of each task, such as RUNNING or FAILED; none if there is no answer."""
        try:
            status = self._ask("GET", "status")
        except OSError:
            return []
        return [task["state"] for task in status["tasks"]]

    def restart_failed_tasks(self) -> None:
        """Restart each task that has failed, as the docs say."""
        self._ask("POST", "restart?includeTasks=true&onlyFailed=true")

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._port}/connectors/callbacks/{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=180) as response:  # noqa: S310 - our own URL
            answer: dict[str, Any] = json.load(response)
        return answer
