"""The request's target: the path, and the parameters that the sender put into the URL."""

from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from yarl import URL

# The path's last segment begins with this if the sender uses `/` in place of `?`.
PATH_FORM = "SdkAppid="


class Target(NamedTuple):
    """The path, and the parameters by name; of a repeated parameter the first value counts."""

    path: str
    parameters: dict[str, str]


def parse_target(raw: str) -> Target:
    """
    Parse a request's target.

    `/path?SdkAppid=…` and `/path/SdkAppid=…` are the same. Unknown parameters are kept.
    """
    if not raw.startswith("/"):
        # The absolute form, which a proxy may send (RFC 9112 §3.2.2).
        raw = URL(raw, encoded=True).raw_path_qs
    path, _, query = raw.partition("#")[0].partition("?")
    if not query:
        before, slash, last = path.rpartition("/")
        if last.startswith(PATH_FORM):
            path, query = before or slash, last
    return Target(unquote(path) if "%" in path else path, _parameters(query))


def _parameters(query: str) -> dict[str, str]:
    # From the last to the first, so that the first of a repeated name overwrites the others.
    pairs = [pair.partition("=") for pair in reversed(query.split("&"))]
    if "%" in query or "+" in query:
        return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}
    return {name: value for name, _, value in pairs}
