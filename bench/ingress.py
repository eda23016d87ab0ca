"""`python -m bench.ingress`: this ingress beside what one would write without it."""

import asyncio
import tempfile
from pathlib import Path

import click

from bench.measure import Figures, Load, measure
from bench.servers import SERVERS, running
from bench.topic import Tail
from ops.embedded import child
from ops.embedded.kafka import EmbeddedKafka
from ops.topics import apply_topics
from schemas.settings import Shared


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--only", default="", help="Servers, with commas between.")
@click.option("--connections", default="1,64,256", help="Numbers, with commas between.")
@click.option("--rounds", default=3)
@click.option("--seconds", default=5.0, help="Of each run.")
@click.option("--warm-up", "warm_up_s", default=1.0, help="Seconds before each run.")
def main(*, only: str, connections: str, rounds: int, seconds: float, warm_up_s: float) -> None:
    """Measure."""
    chosen = [s for s in SERVERS if not only or s.name in only.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="hookline-bench-") as made,
        child.running(EmbeddedKafka(Path(made) / "kafka")) as kafka,
    ):
        body_bytes_max = Shared().body_bytes_max
        asyncio.run(apply_topics(kafka.address, body_bytes_max=body_bytes_max, replicas=1))
        kafka_pid = kafka.process.pid if kafka.process else 0
        tail = Tail(kafka.address)
        for number in range(rounds):
            for server in chosen:
                directory = Path(made) / f"{server.name}-{number}"
                directory.mkdir()
                with running(server, kafka.address, directory) as up:
                    for count in map(int, connections.split(",")):
                        figures = measure(
                            Load(connections=count, seconds=seconds),
                            up,
                            directory,
                            tail=tail,
                            kafka_pid=kafka_pid,
                            warm_up_s=warm_up_s,
                        )
                        click.echo(_line(figures))


def _line(f: Figures) -> str:
    return (
        f"{f.server:18} {f.connections:4} conn  {f.ok_per_s:7.0f} OK/s  {f.cpu_us:6.1f} us CPU  "
        f"p50 {f.report.p50_ms:6.2f}  p99 {f.report.p99_ms:6.2f} ms  RSS {f.rss_mib:6.1f} MiB  "
        f"OK {f.report.ok}  in Kafka {f.records}  others {f.report.others} "
        f"unanswered {f.report.unanswered}  load {f.load_cpu_us:.1f} us  "
        f"kafka {f.kafka_cpu_us:.1f} us"
    )


if __name__ == "__main__":
    main()
