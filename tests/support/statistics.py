"""Make the statistics API of a Valkey, for tests."""

from aiohttp import web
from valkey.asyncio import Valkey

from consumers.stats.api import Options, ReadHealth, application
from consumers.stats.middlewares import Access
from consumers.stats.store import StoredCounts
from consumers.stats.tokens import Tokens


def statistics_api(
    valkey: Valkey,
    *,
    tokens: Tokens | None = None,
    origins: tuple[str, ...] = (),
    viewers_max: int = 1000,
    health: ReadHealth | None = None,
) -> web.Application:
    """Return the API; without tokens, everybody may read."""
    options = Options(access=Access(tokens, origins), viewers_max=viewers_max)
    return application(StoredCounts(valkey), options, health)
