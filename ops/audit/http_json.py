"""Read JSON from an HTTP server, for audits."""

from typing import Any

import aiohttp
import msgspec

from schemas.url_text import without_url_secrets


class NoJsonAnswer(Exception):
    """A server does not answer, or not with JSON; the text says how. `status` is not 200."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


async def get_json(url: str, *, timeout_s: float, token: str = "") -> Any:
    """
    Return the JSON that an HTTP server has at `url`; a token is sent as a bearer's.

    Raises:
        NoJsonAnswer: it does not answer in time, or not with 200 and JSON.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers) as response,
        ):
            if response.status != 200:
                raise NoJsonAnswer(f"it answers with status {response.status}", response.status)
            return msgspec.json.decode(await response.read())
    except TimeoutError:
        raise NoJsonAnswer(f"it does not answer within {timeout_s:g} s") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoJsonAnswer(f"it does not answer with JSON ({error})") from error
    except (aiohttp.ClientError, UnicodeError) as error:  # UnicodeError: not a host name
        raise NoJsonAnswer(f"it does not answer ({without_url_secrets(str(error))})") from error
