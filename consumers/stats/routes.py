"""The routes of the statistics API: path, parameters, type of the answer; declared once."""

from dataclasses import dataclass
from typing import Any

from consumers.stats import answers, health_answers, parameters, total_answers
from consumers.stats.query import Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    One route. `max_age_s` is how long a browser may show an answer again without asking. If it
    `is_shared`, all who ask the same before the next update of /v1/live get the same answer.

    An answer is of one of the types in `answers`; without one, it is a stream or a document.
    """

    path: str
    about: str
    parameters: tuple[Parameter, ...] = ()
    answers: tuple[Any, ...] = ()
    has_csv: bool = False
    max_age_s: int = 0
    is_shared: bool = False


APPS = Route(
    path="/v1/apps",
    about="The apps with callbacks, the zone of each one's days, and its first day.",
    parameters=(parameters.FORMAT,),
    answers=(answers.Apps,),
    has_csv=True,
    max_age_s=10,
)
SUMMARY = Route(
    path="/v1/summary",
    about="Now, today, yesterday and the same day last week, each also until the same time of day.",
    parameters=(parameters.APP, parameters.ZONE, parameters.AT, parameters.FORMAT),
    answers=(answers.Summary,),
    has_csv=True,
    max_age_s=1,
    is_shared=True,
)
SERIES = Route(
    path="/v1/series",
    about="All figures, or with `by` the numbers by name, of each minute, hour, day or month.",
    parameters=(
        parameters.FROM,
        parameters.TO,
        parameters.STEP,
        parameters.ZONE,
        parameters.APP,
        parameters.BY,
        parameters.FORMAT,
    ),
    answers=(answers.Series, answers.SeriesBy),
    has_csv=True,
    max_age_s=1,
)
PEOPLE = Route(
    path="/v1/people",
    about="The distinct people of a whole range: each counts once, so this is not the sum of its "
    "days. The range is widened to whole quarter hours; without `from`, it is the 30 days before "
    "its end.",
    parameters=(
        parameters.FROM,
        parameters.TO,
        parameters.ZONE,
        parameters.APP,
        parameters.FIGURE,
        parameters.FORMAT,
    ),
    answers=(answers.DistinctPeople,),
    has_csv=True,
    max_age_s=1,
)
HEALTH = Route(
    path="/v1/health",
    about="Each stage of the pipeline in words: what is wrong, and what to do. `tz` is the zone of "
    "the times.",
    parameters=(parameters.ZONE,),
    answers=(health_answers.Health,),
    max_age_s=1,
)
TOTALS = Route(
    path="/v1/totals",
    about="All that was counted, of all time, and the numbers that the audit needs.",
    parameters=(parameters.APP,),
    answers=(total_answers.Totals,),
)
MINUTES = Route(
    path="/v1/minutes",
    about="The messages of every minute (UTC) of at most a day; by default, of the last hour.",
    parameters=(parameters.FROM_TIME, parameters.TO_TIME, parameters.APP),
    answers=(total_answers.Minutes,),
)
LIVE = Route(
    path="/v1/live",
    about="Server-Sent Events: `now` every second; `health` when a finding changes, and every "
    "10 s when only its numbers do.",
    parameters=(parameters.APP, parameters.SINCE),
)
OPENAPI = Route(path="/openapi.json", about="This description.", max_age_s=300)
DOCUMENTED = (APPS, SUMMARY, SERIES, PEOPLE, HEALTH, TOTALS, MINUTES, LIVE)
