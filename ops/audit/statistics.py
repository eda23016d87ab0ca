"""Read the statistics API for an audit."""

from typing import TypeVar

import msgspec

from ops.audit.http_json import NoAnswer, get_json
from ops.audit.message_counts import Statistics
from ops.audit.sources import SourceUnavailable
from schemas.topics import CALLBACKS

STATISTICS_TIMEOUT_S = 10.0

_T = TypeVar("_T")


class _Applied(msgspec.Struct, frozen=True):
    applied: int
    sequence_sum: int


class _Totals(msgspec.Struct, frozen=True):
    one_to_one_messages: int
    group_messages: int
    people: int
    people_error: float
    origins: dict[str, dict[str, _Applied]]


async def read_statistics(stats_url: str) -> Statistics:
    """
    Return the totals of the statistics API.

    Raises:
        SourceUnavailable: the API does not answer, or not with totals.
    """
    totals = await ask(stats_url, "/v1/totals", _Totals, what="totals")
    return Statistics(
        messages=totals.one_to_one_messages + totals.group_messages,
        people=None if totals.people_error else totals.people,
        applied={
            origin: {
                int(partition.rpartition("/")[2]): (counted.applied, counted.sequence_sum)
                for partition, counted in partitions.items()
                if partition.startswith(f"{CALLBACKS.name}/")
            }
            for origin, partitions in totals.origins.items()
        },
    )


async def ask(stats_url: str, path: str, answer: type[_T], *, what: str) -> _T:
    """
    Return the answer of the statistics API, as `answer`; `what` names its content in errors.

    Raises:
        SourceUnavailable: the API does not answer, or with something else.
    """
    try:
        found = await get_json(f"{stats_url}{path}", timeout_s=STATISTICS_TIMEOUT_S)
        return msgspec.convert(found, answer)
    except NoAnswer as error:
        raise SourceUnavailable(f"the statistics API at {stats_url}: {path}: {error}") from error
    except msgspec.ValidationError as error:
        raise SourceUnavailable(
            f"the statistics API at {stats_url}: the answer to {path} has no {what} ({error})"
        ) from error
