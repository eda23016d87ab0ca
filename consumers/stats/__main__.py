"""`python -m consumers.stats` serves the counts of the consumer `counters` over HTTP."""

import logging
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web

from consumers.counters.counts import VALKEY_URL, connect
from consumers.stats.addresses import is_admin_url
from consumers.stats.api import application
from consumers.stats.sink_findings import STAGES
from consumers.stats.stored_counts import StoredCounts
from schemas.process import run_process, stop_on_signals
from schemas.setting import Format, Host, Port, Secret
from schemas.settings import Settings, Shared

log = logging.getLogger("stats")


def _is_watched(text: str) -> bool:
    name, _, url = text.partition("=")
    return name in STAGES and is_admin_url(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSettings(Settings):
    """STATS_*: the statistics API, `python -m consumers.stats`."""

    valkey: Annotated[
        Secret,
        VALKEY_URL,
        "URL of the Valkey in which the consumer `counters` counts. Logs show `***`.",
    ]
    host: Annotated[
        Host,
        "Address on which the API listens. The API asks for no password: keep it unreachable for "
        "the public.",
    ] = "127.0.0.1"
    port: Annotated[
        Port, "TCP port of the API. If another process uses it, this one exits with code 1."
    ] = 8083
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
        "named more than once. One that is not named is shown as not watched, except `webhook`.",
    ] = ()

    @property
    def watched_consumers(self) -> list[tuple[str, str]]:
        """The names and URLs in `consumers`."""
        return [(name, url) for name, _, url in (each.partition("=") for each in self.consumers)]


async def serve(_: Shared, settings: StatsSettings) -> None:
    """Answer until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    valkey = connect(settings.valkey)
    server = web.AppRunner(application(StoredCounts(valkey)), access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, settings.host, settings.port).start()
        log.info("the API listens on %s:%d", settings.host, settings.port)
        await stop.wait()
    finally:
        await server.cleanup()
        await valkey.aclose()


def main() -> None:
    """Run the statistics API."""
    run_process("The statistics API", __doc__, {"STATS_": StatsSettings}, serve)


if __name__ == "__main__":
    main()
