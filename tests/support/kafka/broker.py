"""A broker that tests may freeze, kill, shut down and start again."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.kafka.access import plaintext
from support.processes.ingress import until

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics

# A killed broker can rejoin once its old session has expired. With the product's session of 3 s,
# twenty kills take a minute longer.
SESSION_MS = 1000
# The session of a broker that no test kills. With a short one, the controller fences a broker that
# the machine stalls for a second, and transactions that end then may be left half-ended.
LONG_SESSION_MS = 60_000
# Heartbeats, and threads that look for work several times a second, take most of an idle broker's
# CPU time: 15 ms per second with short intervals and Kafka's numbers of threads, 7 ms with these.
HEARTBEAT_MS, LONG_HEARTBEAT_MS = 200, 5000
FEW_THREADS = "num.network.threads=1\nnum.io.threads=2\n"


def session(session_ms: int = LONG_SESSION_MS) -> str:
    """Return the properties of a broker that the controller fences after so long a silence."""
    heartbeat_ms = LONG_HEARTBEAT_MS if session_ms >= LONG_SESSION_MS else HEARTBEAT_MS
    return f"broker.session.timeout.ms={session_ms}\nbroker.heartbeat.interval.ms={heartbeat_ms}\n"


class Broker:
    """An embedded Kafka broker in a process of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        session_ms: int = SESSION_MS,
        properties: str = "",
        more_listeners: Sequence[str] = (),
        format_options: Sequence[str] = (),
    ) -> None:
        """Prepare one; see `EmbeddedKafka` for the parameters."""
        self._kafka = EmbeddedKafka(
            directory,
            properties=session(session_ms) + FEW_THREADS + properties,
            more_listeners=more_listeners,
            format_options=format_options,
        )
        self.log = self._kafka.log
        self.address = self._kafka.address

    def start(self) -> None:
        """Start the broker and return when it listens."""
        self._kafka.start()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the broker's process and return it; the broker listens some seconds later."""
        return self._kafka.launch()

    def listens(self) -> bool:
        """Return whether the broker accepts connections."""
        return self._kafka.listens()

    async def make_topics(self) -> None:
        """Create Hookline's topics."""
        await apply_topics(plaintext(self.address), body_bytes_max=1 << 20, replicas=1)

    def kill(self) -> None:
        """Kill it as a crash would."""
        self._kafka.kill()

    async def shut_down(self) -> None:
        """Send SIGTERM to it, as an orchestrator does, and return when it has ended."""
        assert self._kafka.process is not None
        process = self._kafka.process
        process.terminate()
        await until(lambda: process.poll() is not None, "the broker has shut down")

    async def start_again(self) -> None:
        """Start the broker again on its data and return when it listens."""
        self._kafka.launch()

        def listens() -> bool:
            assert self._kafka.process is not None
            assert self._kafka.process.poll() is None, f"Kafka ended; see {self._kafka.log}"
            return self._kafka.listens()

        await until(listens, "the killed broker listens again")

    def freeze(self) -> None:
        """Stop its process by SIGSTOP; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue its process."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the broker during the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _signal(self, number: signal.Signals) -> None:
        assert self._kafka.process is not None
        self._kafka.process.send_signal(number)


def running_broker(
    directory: Path, *, session_ms: int = SESSION_MS, properties: str = ""
) -> contextlib.AbstractContextManager[Broker]:
    """Run a broker in `directory` during the block."""
    return child.running(Broker(directory, session_ms=session_ms, properties=properties))
