"""`python -m consumers.stats` serves the counts of the consumer `counters` over HTTP."""

import logging
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web

from consumers.counters.counts import VALKEY_URL, connect
from consumers.stats.api import application
from consumers.stats.stored_counts import StoredCounts
from schemas.process import run_process, stop_on_signals
from schemas.setting import Host, Port, Secret
from schemas.settings import Settings, Shared

log = logging.getLogger("stats")


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
