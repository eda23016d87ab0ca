"""Every part of the pipeline in a process of its own, each of which may be killed or frozen."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.kafka.broker import Broker
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress

from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey


class PipelineWorld:
    """One ingress, the three consumers and their servers. `env` is of consumers, by name."""

    def __init__(
        self,
        directory: Path,
        broker: Broker,
        env: Mapping[str, Mapping[str, str]],
        ingress: Ingress | None = None,
    ) -> None:
        self.broker = broker
        self.archive = directory / "archive"
        self.postgres = EmbeddedPostgres(directory / "postgres")
        self.valkey = EmbeddedValkey(directory / "valkey")
        self.ingress = ingress or Ingress(directory / "spools", broker.address)
        own: dict[str, dict[str, object]] = {
            "archive": {"url": self.archive, "segment_age_s": 1},
            "sync": {"postgres": self.postgres.conninfo},
            "counters": {"valkey": self.valkey.url},
        }
        self.consumers = {
            name: Consumer(
                name, broker.address, directory / f"{name}.log", env=env.get(name, {}), **settings
            )
            for name, settings in own.items()
        }

    @property
    def ingress_url(self) -> str:
        """The admin port of the ingress."""
        return f"http://127.0.0.1:{self.ingress.admin_port}"

    @property
    def consumer_urls(self) -> list[tuple[str, str]]:
        """The names and admin ports of the consumers."""
        return [(name, f"http://127.0.0.1:{one.port}") for name, one in self.consumers.items()]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run everything; nothing of it runs on exit."""
        with child.running(self.postgres), child.running(self.valkey):
            try:
                self.ingress.launch()
                for consumer in self.consumers.values():
                    consumer.launch()
                yield
            finally:
                self.ingress.kill()
                for consumer in self.consumers.values():
                    consumer.kill()
