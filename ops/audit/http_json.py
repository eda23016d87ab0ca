"""Read JSON from an HTTP server, for audits."""

from typing import Any

import aiohttp
import msgspec

from consumers.stats.resolved_url import ResolvedUrl
from schemas.http_failure import certificate_fault, http_failure

# The start of the text about a server whose certificate is for another name, or not trusted.
NOT_TRUSTED = "its certificate is not accepted"


class NoJsonAnswer(Exception):
    """A server does not answer, or not with JSON; the text says how. `status` is not 200."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


async def get_json(
    url: str, *, timeout_s: float, token: str = "", resolved: ResolvedUrl | None = None
) -> Any:
    """
    Return the JSON that an HTTP server has at `url`; a token is sent as a bearer's.

    `resolved`: `url` begins with the text of this one.

    Raises:
        NoJsonAnswer: it does not answer in time, or not with 200 and JSON.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = resolved.request_options if resolved else {}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url, **options) as response,
        ):
            if response.status != 200:
                raise NoJsonAnswer(f"it answers with status {response.status}", response.status)
            return msgspec.json.decode(await response.read())
    except TimeoutError:
        raise NoJsonAnswer(f"it does not answer within {timeout_s:g} s") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoJsonAnswer(f"it does not answer with JSON ({error})") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise NoJsonAnswer(f"{NOT_TRUSTED} ({certificate_fault(error)})") from error
    except (aiohttp.ClientError, UnicodeError) as error:  # UnicodeError: not a host name
        raise NoJsonAnswer(f"it does not answer ({http_failure(error)})") from error
