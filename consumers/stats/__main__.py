"""`python -m consumers.stats` serves what the counters counted; told by STATS_* what to do."""

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop
from aiohttp import web

from consumers.counters.counts import URL, connect
from consumers.stats.api import application
from consumers.stats.figures import Figures
from schemas.process import log_to_stderr, stop_on_signals
from schemas.settings import Faults, Secret, listed, read

log = logging.getLogger("stats")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSettings:
    """STATS_*: which Valkey, and where the API listens."""

    valkey: Secret
    host: str = "127.0.0.1"
    port: int = 8083

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not URL.fullmatch(self.valkey):
            yield "STATS_VALKEY must be like valkey://:password@host:6379/0"
        if not 1 <= self.port <= 65535:
            yield "STATS_PORT must be from 1 to 65535"


async def serve(settings: StatsSettings) -> None:
    """Answer until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    valkey = connect(settings.valkey)
    server = web.AppRunner(application(Figures(valkey)), access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, settings.host, settings.port).start()
        log.info("the API listens on %s:%d", settings.host, settings.port)
        await stop.wait()
    finally:
        await server.cleanup()
        await valkey.aclose()


def main() -> None:
    """Serve, or say why not and exit with 1; `--help` tells the settings."""
    if arguments := sys.argv[1:]:
        asked = arguments[0] in ("-h", "--help")
        told = f"{__doc__}\n\n{listed(StatsSettings, 'STATS_')}\n\nSee docs/configuration.md.\n"
        (sys.stdout if asked else sys.stderr).write(told)
        sys.exit(0 if asked else 2)
    try:
        shared, settings = read(StatsSettings, "STATS_", os.environ)
        log_to_stderr(shared)
        log.info("%r", settings)
        uvloop.run(serve(settings))
    except Faults as faults:
        sys.exit(f"The statistics API cannot start:\n{faults}")
    except OSError as error:
        sys.exit(f"The statistics API cannot start:\n  - {error}")


if __name__ == "__main__":
    main()
