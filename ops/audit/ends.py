"""
Find the end of every known origin: the number of callbacks that its spool has stored.

A running ingress knows the end of the spool that it holds, and of those that no process holds. Ends
that are not known are named with the reason: without them an audit must not prove anything.
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from ingress.spool.directory import SpoolSummary, summaries
from ops.failure import Failure

# The time in which an address must answer. All are asked at once.
ANSWER_S_MAX = 5.0


class Silent(Exception):
    """A server does not answer, or not with JSON; the text says how."""


class NoSpools(Failure):
    """The directory has no spools, or they cannot be read; the text says why."""


class Spool(msgspec.Struct, frozen=True, kw_only=True):
    """One spool as a process reports it; `last_sequence` is None if another process holds it."""

    name: str
    origin: str
    last_sequence: int | None = None
    fault: str = ""
    damaged: tuple[int, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """
    The part of an ingress's `/status` that an audit needs.

    `instance` identifies the process, `origin` is that of the spool that the process holds.
    """

    instance: str
    origin: str
    last_sequence: int
    spools: tuple[Spool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """
    All answers.

    `known`: by spool's name, N of each origin that it had; it has another origin after it was put
    back to an older state. `unknown`: by spool's name, why its end is not known and what to do.
    `broken`: by spool's name, why its end will not be known. `failed`: by address, why it gave no
    answer. `answered`: the addresses that did. `damaged`: by origin, the rows in quarantine.
    """

    known: dict[str, dict[str, int]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    damaged: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def accepted(self) -> dict[str, int | None]:
        """N by origin; None where it is not known, by the spool's name."""
        found: dict[str, int | None] = dict.fromkeys(self.unknown | self.broken)
        for origins in self.known.values():
            found |= origins
        return found

    @property
    def doubts(self) -> dict[str, str]:
        """By spool or address, the reasons for which nothing can be proven."""
        return self.unknown | self.broken | self.failed

    def then(self, later: "Ends") -> "Ends":
        """
        Return these ends, completed by a `later` answer.

        A known N stays: callbacks after it are not expected yet. A spool whose end is known,
        and an address that has answered, may be silent later.
        """
        known = {
            name: later.known.get(name, {}) | self.known.get(name, {})
            for name in {**self.known, **later.known}
        }
        return Ends(
            known=known,
            unknown={n: why for n, why in (self.unknown | later.unknown).items() if n not in known},
            broken=self.broken | later.broken,
            failed={a: why for a, why in later.failed.items() if a not in self.answered},
            answered=self.answered | later.answered,
            damaged=self.damaged | later.damaged,
        )


def join(
    statuses: dict[str, Status], failed: dict[str, str], directory: Iterable[Spool] = ()
) -> Ends:
    """Return the ends by all answers: `statuses` by address, and the spools of a `directory`."""
    # By spool's name and by process: one process may be reached by several addresses.
    held: dict[str, dict[str, tuple[str, Spool]]] = {}
    seen: dict[str, list[Spool]] = {}
    failed = failed | _without_ends(statuses)
    for address, status in statuses.items():
        for spool in status.spools:
            seen.setdefault(spool.name, []).append(spool)
            if (spool.origin, spool.last_sequence is None) == (status.origin, False):
                held.setdefault(spool.name, {})[status.instance] = (address, spool)
    for spool in directory:
        seen.setdefault(spool.name, []).append(spool)
    known: dict[str, dict[str, int]] = {}
    unknown: dict[str, str] = {}
    broken: dict[str, str] = {}
    damaged: dict[str, tuple[int, ...]] = {}
    for name, spools in seen.items():
        holders = list(held.get(name, {}).values())
        if why := _broken(name, spools, [address for address, _ in holders]):
            broken[name] = why
            continue
        if all(spool.last_sequence is None for spool in spools):
            unknown[name] = (
                f"spool {name}: its process was not asked or does not answer; name the admin"
                " address of every running ingress (--ingress), or stop them all and name the"
                " directory (--spool)"
            )
        # The holder's answer counts; another process may have looked before that one held it.
        for spool in [spool for _, spool in holders] or spools:
            if spool.last_sequence is not None:
                origins = known.setdefault(name, {})
                origins[spool.origin] = max(origins.get(spool.origin, 0), spool.last_sequence)
                damaged[spool.origin] = spool.damaged
    return Ends(
        known=known,
        unknown=unknown,
        broken=broken,
        failed=failed,
        answered=frozenset(statuses.keys() - failed.keys()),
        damaged={origin: rows for origin, rows in damaged.items() if rows},
    )


def _without_ends(statuses: dict[str, Status]) -> dict[str, str]:
    """Return by address which ingresses know no end: nothing could be missing from nothing."""
    return {
        address: f"{address}: it does not tell the end of any spool, not even of its own; name an"
        " ingress of this release"
        for address, status in statuses.items()
        if all(spool.last_sequence is None for spool in status.spools)
    }


def _broken(name: str, spools: list[Spool], holders: list[str]) -> str:
    """Return why the end of a spool will not be known and what to do, "" if it may be."""
    faults = [spool.fault for spool in spools if spool.fault]
    if faults:
        return (
            f"spool {name}: {faults[0]}; keep the file, and count what it held and Kafka does not"
            " have as lost"
        )
    if len(holders) > 1:
        return (
            f"spool {name}: {' and '.join(holders)} both hold a spool of this name, so one of their"
            " directories is a copy; stop the one with the copy"
        )
    return ""


async def ask(urls: Iterable[str], directory: Path | None) -> Ends:
    """
    Return the ends by every address of every ingress that `urls` name, and by a spool directory.

    Raises:
        NoSpools: the directory has none, or cannot be read.
    """
    addresses: dict[str, None] = {}
    failed: dict[str, str] = {}
    for url in urls:
        try:
            addresses |= dict.fromkeys(await _addresses(url))
        except OSError as error:
            failed[url] = (
                f"{url}: the name cannot be resolved ({error.strerror}); correct --ingress"
            )
        except ValueError as error:
            failed[url] = f"{url}: this is no address ({error}); correct --ingress"
    answers = await asyncio.gather(*map(_status, addresses))
    statuses = {}
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, Status):
            statuses[address] = answer
        else:
            failed[address] = (
                f"{address}: {answer}, so the end of its spool is not known; start that"
                " ingress (again), or leave its address out if it is permanently gone"
            )
    return join(statuses, failed, await asyncio.to_thread(_look, directory) if directory else ())


def _look(directory: Path) -> list[Spool]:
    try:
        found = [_spool(summary) for summary in summaries(directory)]
    except OSError as error:
        raise NoSpools(
            f"the spools in {directory} cannot be locked for a moment: {error}"
        ) from error
    if not found:
        raise NoSpools(
            f"{directory} holds no spool; name the directory that INGRESS_SPOOL_DIR names (--spool)"
        )
    return found


def _spool(summary: SpoolSummary) -> Spool:
    return Spool(
        name=summary.name,
        origin=summary.origin,
        last_sequence=summary.last_sequence,
        fault=summary.fault,
        damaged=summary.damaged,
    )


async def resolve(host: str, port: int) -> list[str]:
    """
    Return the addresses of a name.

    Raises:
        OSError: the name has none, or cannot be resolved now.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found})


async def _addresses(url: str) -> list[str]:
    parsed = URL(url)
    found = await resolve(parsed.host or "", parsed.port or 80)
    return [str(parsed.with_host(address)) for address in found]


async def _status(address: str) -> Status | str:
    """Return the status of the ingress at an address, or why there is none."""
    try:
        return msgspec.convert(
            await get_json(f"{address}/status", timeout_s=ANSWER_S_MAX), Status, strict=True
        )
    except msgspec.ValidationError:
        return "the server there is not an ingress's admin port"
    except Silent as silent:
        return str(silent)


async def get_json(url: str, *, timeout_s: float) -> Any:
    """
    Return the JSON that an HTTP server has at `url`.

    Raises:
        Silent: it does not answer in time, or not with 200 and JSON.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            if response.status != 200:
                raise Silent(f"it answers with status {response.status}")
            return msgspec.json.decode(await response.read())
    except TimeoutError:
        raise Silent(f"it does not answer within {timeout_s:g} s") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Silent(f"it does not answer with JSON ({error})") from error
    except (aiohttp.ClientError, UnicodeError) as error:  # a name that no host can have, too
        raise Silent(f"it does not answer ({error})") from error
