"""Ask every ingress, or read a directory of spools, for the ends of the origins."""

import asyncio
import socket
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
from yarl import URL

from consumers.stats.resolved_url import ResolvedUrl
from ingress.spool.directory import summaries
from ops.audit.http_json import NOT_TRUSTED, NoJsonAnswer, get_json
from ops.audit.since import Since
from ops.audit.spool_ends import ReportedSpools, SpoolEnds, combine
from ops.failure import Failure
from schemas.former_names import status_of
from schemas.ingress_status import SINCE_FORMAT, SpoolSummary
from schemas.url_text import public_url

# The time in which an address must answer. All are asked concurrently.
STATUS_TIMEOUT_S = 5.0

Status = TypeVar("Status")
# The statuses with which the public port answers a GET of /status, and those of redirects.
NOT_ADMIN_STATUSES = {403, 404, 405, *range(300, 400)}
# The start of the text about such an answer.
NOT_ADMIN = "the server at this address is not the admin port of an ingress"


class NoSpools(Failure):
    """The directory has no spools, or they cannot be read; the text says which."""


async def read_ends(
    urls: Collection[str], directory: Path | None, since: Since | None = None
) -> SpoolEnds:
    """
    Return the ends as the ingresses at `urls` and a directory of spools report them.

    Every address of a name is asked: several ingresses may have one name. Nothing in the directory
    is changed. `since`: also return the first sequences since this time.

    Raises:
        NoSpools: the directory has no spools, or cannot be read.
    """
    answers, unanswered = await ask_ingresses(urls, ReportedSpools, since)
    resolved = frozenset(map(public_url, urls)) - unanswered.keys()
    statuses = {}
    for address, answer in answers.items():
        if isinstance(answer, ReportedSpools):
            statuses[address] = answer
        else:
            unanswered[address] = (
                f"{public_url(address)}: {answer}, so the end of its spool is not known;"
                f" {_what_to_do(answer)}"
            )
    spools = await asyncio.to_thread(_spools, directory, since) if directory else ()
    return replace(combine(statuses, unanswered, spools, since), resolved=resolved)


def _what_to_do(answer: str) -> str:
    if answer.startswith(NOT_ADMIN):
        return "give the admin port of the ingress (INGRESS_ADMIN_PORT)"
    if answer.startswith(NOT_TRUSTED):
        return (
            "give a name that its certificate has, and have SSL_CERT_FILE name the file with the"
            " authority that has signed it"
        )
    return "start that ingress (again), or leave its address out if it is permanently gone"


async def ask_ingresses(
    urls: Iterable[str], kind: type[Status], since: Since | None = None
) -> tuple[dict[str, Status | str], dict[str, str]]:
    """
    Ask every address of the ingresses at `urls` for its `/status`, all concurrently.

    Return by address the answer, or why there is none; and by URL why it has no address. The texts
    of addresses and URLs have no secrets.
    """
    addresses: dict[ResolvedUrl, None] = {}
    unresolved: dict[str, str] = {}
    for url in urls:
        try:
            addresses |= dict.fromkeys(await _addresses(url))
        except OSError as error:
            unresolved[public_url(url)] = (
                f"{public_url(url)}: the name cannot be resolved ({error.strerror});"
                " correct --ingress, or start its container if it is stopped"
            )
        except ValueError:
            unresolved[public_url(url)] = (
                f"{public_url(url)}: this is not an address; correct --ingress"
            )
    answers = await asyncio.gather(*(_status(address, kind, since) for address in addresses))
    return dict(zip(_public_texts(addresses), answers, strict=True)), unresolved


def _public_texts(addresses: Collection[ResolvedUrl]) -> list[str]:
    """Return a text for each address, without secrets; no two are equal."""
    texts = [public_url(address.text) for address in addresses]
    named = [f"{text} ({each.host_header})" for text, each in zip(texts, addresses, strict=True)]
    texts = _replaced_if_repeated(texts, named)
    # Only their user or password differs.
    return _replaced_if_repeated(texts, [f"{text} ({n})" for n, text in enumerate(texts, 1)])


def _replaced_if_repeated(texts: list[str], replacements: list[str]) -> list[str]:
    numbers = Counter(texts)
    pairs = zip(texts, replacements, strict=True)
    return [text if numbers[text] == 1 else replacement for text, replacement in pairs]


def _spools(directory: Path, since: Since | None) -> list[SpoolSummary]:
    try:
        spools = list(summaries(directory, since.hour if since else None))
    except OSError as error:
        raise NoSpools(f"the spools in {directory} cannot be locked and read: {error}") from error
    if not spools:
        raise NoSpools(
            f"{directory} has no spools; name the directory of INGRESS_SPOOL_DIR (--spool)"
        )
    return spools


async def resolve(host: str, port: int) -> list[str]:
    """
    Return the addresses of a host name.

    Raises:
        OSError: it has none, or cannot be resolved now.
    """
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(socket_address[0]) for *_, socket_address in infos})


async def _addresses(url: str) -> list[ResolvedUrl]:
    """
    Return a URL at each address of its host name.

    Raises:
        OSError: the name cannot be resolved now.
        ValueError: it is not a URL.
    """
    parsed = URL(url)
    addresses = await resolve(parsed.host or "", parsed.port or 80)
    return [ResolvedUrl.at(parsed, address) for address in addresses]


async def _status(address: ResolvedUrl, kind: type[Status], since: Since | None) -> Status | str:
    """Return the status of the ingress at an address, or why there is none."""
    query = f"?since={since.at:{SINCE_FORMAT}}" if since else ""
    try:
        content = await get_json(
            f"{address.text}/status{query}", timeout_s=STATUS_TIMEOUT_S, resolved=address
        )
        return status_of(content, kind)
    except msgspec.ValidationError as error:
        return f"{NOT_ADMIN}, or that ingress is of another release ({error})"
    except NoJsonAnswer as error:
        return f"{NOT_ADMIN}: {error}" if error.status in NOT_ADMIN_STATUSES else str(error)
