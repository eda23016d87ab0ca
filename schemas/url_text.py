"""
URLs as logs, errors and statuses show them: without their user, password, query and fragment.

Those may be secrets. Scheme, host and path are shown, so that a reader knows which URL it is.
"""

import re

HIDDEN = "***"
# Our own texts have them as examples.
_EXAMPLES = ("user:password", ":password")
# A URL in a text, without a mark that ends the sentence or the clause around it. The length of the
# scheme is bounded, so that the search in a text from outside takes linear time.
_URL = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s"'<>]*[^\s"'<>:,.;)\]}])""")
_PARTS = re.compile(
    r"(?P<authority>[^/?#\\]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<rest>#.*)?", re.DOTALL
)
_HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^:@\[\]\s]+)(:\d*)?"
_HOSTS = re.compile(f"{_HOST}(,{_HOST})*")


def public_url(value: str) -> str:
    """
    Return a value without its secret parts if it is a URL, and any other value as it is.

    If it cannot be known where its password ends, only the scheme is returned. A value like
    `user:password@host` loses what precedes the host, too.
    """
    scheme, mark, rest = value.partition("://")
    if mark:
        return f"{scheme}{mark}{_public(rest)}"
    user, at, host = value.rpartition("@")
    return f"{HIDDEN}@{host}" if at and ":" in user else value


def without_url_secrets(text: str) -> str:
    """Return a text in which each URL is as `public_url` returns it."""
    if "://" not in text:
        return text
    return _URL.sub(lambda found: found[1] + _public(found[2]), text)


def _public(rest: str) -> str:
    """Return what follows the scheme, without secrets."""
    parts = _PARTS.fullmatch(rest)
    if not rest or parts is None:
        return rest and HIDDEN
    user, mark, hosts = parts["authority"].rpartition("@")
    path = parts["path"]
    # A / or ? in a password that is not percent-encoded ends the authority within the password.
    is_sure = "@" not in path if mark else bool(_HOSTS.fullmatch(hosts) or (path and not hosts))
    if not is_sure:
        return HIDDEN
    user = user if user in _EXAMPLES else HIDDEN
    query = f"?{HIDDEN}" if parts["query"] else ""
    return f"{user if mark else ''}{mark}{hosts}{path}{query}" + (
        f"#{HIDDEN}" if parts["rest"] else ""
    )
