"""`python -m consumers.stats` serves the counts of the consumer `counters` over HTTP."""

import gc

if __name__ == "__main__":
    gc.disable()  # during the imports; `run_process` enables it again

import ipaddress
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aiohttp import web

from consumers.counters.server import VALKEY_URL, connect
from consumers.stats.addresses import is_admin_url
from consumers.stats.api import Options, application
from consumers.stats.middlewares import Access
from consumers.stats.pipeline import watched_pipeline
from consumers.stats.processes import Watched
from consumers.stats.sink_findings import STAGES
from consumers.stats.store import StoredCounts
from consumers.stats.tokens import Tokens
from schemas.kafka_access import KafkaAccess
from schemas.os_errors import listening
from schemas.process import run_process, stop_on_signals
from schemas.setting import Format, Host, Port, Range, Secret
from schemas.settings import Settings, SharedSettings
from schemas.tokens_file import UnusableFile
from schemas.url_text import public_url

log = logging.getLogger("stats")

CORS_ORIGIN = Format(
    "an origin like https://stats.example.com, without a path",
    re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+").fullmatch,
)


def _is_watched(text: str) -> bool:
    name, _, url = text.partition("=")
    return name in STAGES and is_admin_url(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSettings(Settings):
    """STATS_*: the statistics API, `python -m consumers.stats`."""

    valkey: Annotated[
        Secret,
        VALKEY_URL,
        "URL of the Valkey in which the consumer `counters` counts, as COUNTERS_VALKEY has it. "
        "Logs show `***`.",
    ]
    host: Annotated[
        Host,
        "Address on which the API listens. Any other than a loopback address needs "
        "STATS_TOKENS_FILE or STATS_WITHOUT_TOKENS.",
    ] = "127.0.0.1"
    port: Annotated[
        Port, "TCP port of the API. If another process uses it, this one exits with code 1."
    ] = 8083
    tokens_file: Annotated[
        Path | None,
        'File of the tokens of those who may read: TOML, a line `reader = "token"` for each, of '
        "16 to 256 characters. It is read again when it changes. Empty: everybody who reaches the "
        "port may read.",
    ] = None
    without_tokens: Annotated[
        bool,
        "Whether to listen on another address than loopback without STATS_TOKENS_FILE, as in a "
        "container whose port is published on loopback alone.",
    ] = False
    cors_origins: Annotated[
        tuple[Annotated[str, CORS_ORIGIN], ...],
        "Origins of other pages whose scripts may read the API.",
    ] = ()
    viewers_max: Annotated[
        int,
        Range(0, 10_000, "viewers"),
        "Largest number of viewers of /v1/live at one time; each takes some 50 KiB.",
    ] = 1000
    ingress: Annotated[
        tuple[
            Annotated[str, Format("a URL like http://ingress:8081", is_admin_url)],
            ...,
        ],
        "Admin ports of all replicas of the ingress, for the state of the pipeline in /v1/health. "
        "One name may stand for several replicas: each of its addresses is asked, every 2 s. If "
        "empty, the ingress is shown as not watched.",
    ] = ()
    consumers: Annotated[
        tuple[
            Annotated[
                str,
                Format(
                    "NAME=URL, such as sync=http://sync:8082, with one of the names "
                    + ", ".join(STAGES),
                    _is_watched,
                ),
            ],
            ...,
        ],
        "Admin ports of the processes of the consumers, as for STATS_INGRESS. A consumer may be "
        "named more than once: a webhook with a URL for each of its targets. One that is not named "
        "is shown as not watched, except `webhook`.",
    ] = ()

    gateway: Annotated[
        Annotated[str, Format("a URL like http://gateway:8404", is_admin_url)] | None,
        "Port of the gateway that has /readyz. Empty: the gateway is not shown.",
    ] = None

    @property
    def watched_consumers(self) -> list[tuple[str, str]]:
        """The names and URLs in `consumers`."""
        return [(name, url) for name, _, url in (each.partition("=") for each in self.consumers)]

    def faults(self) -> Iterator[str]:
        """Yield the relations that do not hold."""
        if self.tokens_file is None and not self.without_tokens and not _is_loopback(self.host):
            yield (
                f"STATS_TOKENS_FILE must be set while STATS_HOST is {public_url(self.host)!r:.100},"
                " which is not a loopback address"
            )


async def serve(_: SharedSettings, kafka: KafkaAccess, settings: StatsSettings) -> None:
    """
    Answer until SIGTERM or SIGINT.

    Raises:
        UnusableFile: the tokens file cannot be used.
    """
    stop = stop_on_signals()
    options = Options(
        access=Access(
            Tokens(settings.tokens_file) if settings.tokens_file else None, settings.cors_origins
        ),
        viewers_max=settings.viewers_max,
    )
    valkey = connect(settings.valkey)
    try:
        watched = Watched(
            ingress=settings.ingress,
            consumers=settings.watched_consumers,
            gateway=settings.gateway,
            valkey=valkey,
            kafka=kafka.for_service("stats"),
        )
        async with watched_pipeline(watched) as pipeline:
            app = application(StoredCounts(valkey), options, pipeline.current)
            server = web.AppRunner(app, access_log=None)
            await server.setup()
            try:
                with listening("STATS_PORT", settings.host, settings.port):
                    await web.TCPSite(server, settings.host, settings.port).start()
                log.info("the API listens on %s:%d", settings.host, settings.port)
                await stop.wait()
            finally:
                await server.cleanup()
    finally:
        await valkey.aclose()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Run the statistics API."""
    run_process(
        "The statistics API",
        __doc__,
        {"STATS_": StatsSettings},
        serve,
        expected_exceptions=(UnusableFile,),
    )


if __name__ == "__main__":
    main()
