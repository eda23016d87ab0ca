"""Refuse a request in words: the parameter, and what it must be (RFC 9457)."""

import msgspec
from aiohttp import web

from consumers.stats.answers import Problem

CONTENT_TYPE = "application/problem+json"
# The titles, by status.
TITLES = {
    400: "A parameter is not allowed",
    401: "A token is needed",
    404: "Not found",
    405: "Only GET is answered",
    500: "A fault of the statistics API",
    503: "Not now",
}


class RequestRefused(Exception):
    """A request that is not answered; `problem` is the reason."""

    def __init__(
        self, status: int, detail: str, *, parameter: str | None = None, bound: str | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type="about:blank",
            title=TITLES[status],
            status=status,
            detail=detail,
            parameter=parameter,
            bound=bound,
        )


def refused_parameter(name: str, value: str, bound: str, *, status: int = 400) -> RequestRefused:
    """Return the refusal of a parameter's value; `bound` follows "must be"."""
    shown = value if len(value) <= 40 else value[:40] + "…"
    return RequestRefused(
        status, f"{name} must be {bound}, not {shown!r}", parameter=name, bound=bound
    )


def problem_response(problem: Problem) -> web.Response:
    """Return the answer for a problem."""
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(problem) + b"\n",
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )
