"""Read the statistics API for an audit."""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import msgspec

from consumers.stats.tokens import TOKEN_LENGTH_MAX
from ops.audit.http_json import NoJsonAnswer, get_json
from ops.audit.sources import AuditFailed, SourceUnavailable
from ops.audit.statistics import Statistics
from schemas.setting import Secret
from schemas.topics import CALLBACKS
from schemas.url_text import public_url

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


@dataclass(frozen=True, slots=True)
class StatisticsApi:
    """The address of a statistics API, and one of its tokens; None if it needs none."""

    url: str
    token: Secret | None = None

    def __str__(self) -> str:
        return f"the statistics API at {public_url(self.url)}"

    async def ask(self, path: str, answer: type[_T], *, what: str) -> _T:
        """
        Return an answer, as `answer`; `what` names its content in errors.

        Raises:
            SourceUnavailable: the API does not answer, or with something else.
            AuditFailed: the API needs another token.
        """
        try:
            document = await get_json(
                f"{self.url}{path}", timeout_s=STATISTICS_TIMEOUT_S, token=self.token or ""
            )
            return msgspec.convert(document, answer)
        except NoJsonAnswer as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise AuditFailed(self._refused) from error
            advice = "" if error.status else "; check that it runs, and OPS_STATS (--stats)"
            raise SourceUnavailable(f"{self}: {path}: {error}{advice}") from error
        except msgspec.ValidationError as error:
            raise SourceUnavailable(
                f"{self}: the answer to {path} has no {what} ({error})"
            ) from error

    @property
    def _refused(self) -> str:
        if self.token is None:
            return (
                f"{self} answers only with a token (status 401); name a "
                "file that has one with --stats-token-file"
            )
        return (
            f"{self} refuses the token of --stats-token-file (status "
            "401); put one of the tokens in the file that its STATS_TOKENS_FILE names into it"
        )


def read_token(file: Path) -> Secret:
    """
    Return the token in a file, which has nothing else.

    Raises:
        AuditFailed: the file cannot be read, or has something else.
    """
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise AuditFailed(f"--stats-token-file: {file} cannot be read ({error})") from error
    if not text or not text.isprintable() or " " in text or len(text) > TOKEN_LENGTH_MAX:
        raise AuditFailed(
            f"--stats-token-file: {file} must have one token of at most {TOKEN_LENGTH_MAX} "
            'characters and nothing else: of a line like page = "TOKEN" only the text in quotes'
        )
    return Secret(text)


async def read_statistics(api: StatisticsApi) -> Statistics:
    """
    Return the totals of the statistics API.

    Raises:
        SourceUnavailable: the API does not answer, or not with totals.
        AuditFailed: the API needs another token.
    """
    totals = await api.ask("/v1/totals", _Totals, what="totals")
    return Statistics(
        messages=totals.one_to_one_messages + totals.group_messages,
        people=None if totals.people_error else totals.people,
        applied={
            origin: {
                int(partition.rpartition("/")[2]): (applied.applied, applied.sequence_sum)
                for partition, applied in partitions.items()
                if partition.startswith(f"{CALLBACKS.name}/")
            }
            for origin, partitions in totals.origins.items()
        },
    )
