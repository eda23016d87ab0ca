"""The request's target: the path, and the parameters that TIM put into the URL."""

from collections.abc import Collection
from urllib.parse import unquote, unquote_plus

from yarl import URL

# The last segment of the path begins with this if TIM writes `/` in place of `?`.
PATH_PARAMETERS_PREFIX = "SdkAppid="
# A longer name is not a spelling of SdkAppid, and an answer must not repeat it.
MISSPELLED_CHARACTERS_MAX = 20
_SEPARATORS = str.maketrans("", "", "-_ ")


def parse_target(raw: str) -> tuple[str, dict[str, str]]:
    """
    Return the path of a request's target, and its parameters by name.

    `/path?SdkAppid=…` and `/path/SdkAppid=…` are the same. Unknown parameters are kept. If a
    parameter is repeated, its first value counts.
    """
    if not raw.startswith("/"):
        # The absolute form, which a proxy may send (RFC 9112 §3.2.2).
        raw = URL(raw, encoded=True).raw_path_qs
    path, _, query = raw.partition("#")[0].partition("?")
    if not query:
        before, slash, last = path.rpartition("/")
        if last.startswith(PATH_PARAMETERS_PREFIX):
            path, query = before or slash, last
    return unquote(path) if "%" in path else path, _parameters(query)


def misspelled_sdkappid(names: Collection[str]) -> str:
    """Return the first name that is SdkAppid in another spelling, "" if the right one is there."""
    if "SdkAppid" in names:
        return ""
    for name in names:
        is_short = len(name) <= MISSPELLED_CHARACTERS_MAX
        if is_short and name.lower().translate(_SEPARATORS) == "sdkappid":
            return name
    return ""


def _parameters(query: str) -> dict[str, str]:
    is_quoted = "%" in query or "+" in query
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if is_quoted:
            name, value = unquote_plus(name), unquote_plus(value)
        parameters.setdefault(name, value)
    return parameters
