"""
Start Kafka Connect's FileStreamSink as a process: it writes values as lines of text, nothing else.

One standalone worker with one task. It commits offsets by the clock and truncates nothing after a
crash, so lines are repeated then. Headers are passed as bytes: Connect's default parses each one
for a number, a date or a list if it can, for two thirds of all CPU, and this sink drops them.
"""

import subprocess
from pathlib import Path

from ops.demo.embedded import child
from ops.demo.embedded.jars import jars
from ops.demo.embedded.kafka import java
from schemas.topics import CALLBACKS

LIST = Path(__file__).with_name("connect.jars")
VALUES = "values.txt"
# The options of Kafka's own start scripts.
_JAVA_OPTIONS = ("-server", "-Xms256M", "-Xmx2G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
_WORKER = """\
bootstrap.servers={kafka}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
header.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.storage.file.filename={directory}/offsets
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
plugin.discovery=service_load
consumer.isolation.level=read_committed
"""
_SINK = """\
name={name}
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
tasks.max=1
topics={topic}
file={directory}/{values}
"""


def start(kafka: str, name: str, directory: Path) -> subprocess.Popen[bytes]:
    """
    Start a worker that writes VALUES in `directory`; the file is there once its task runs.

    Raises:
        Missing: the jars or the Java runtime cannot be obtained.
    """
    listed = jars(LIST)
    worker, sink = directory / "worker.properties", directory / "sink.properties"
    worker.write_text(
        _WORKER.format(
            kafka=kafka,
            directory=directory,
            port=child.free_port(),
            plugins=next(jar for jar in listed if jar.name.startswith("connect-file-")),
        )
    )
    sink.write_text(
        _SINK.format(name=name, topic=CALLBACKS.name, directory=directory, values=VALUES)
    )
    return child.start(
        [
            *(java(), *_JAVA_OPTIONS, "-XX:-UsePerfData", f"-Djava.io.tmpdir={directory}"),
            *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", ":".join(map(str, listed))),
            *("org.apache.kafka.connect.cli.ConnectStandalone", worker, sink),
        ],
        log=directory / f"{name}.log",
    )
