"""
URLs as logs, errors and statuses show them: without their user, password, query and fragment.

Those may be secrets. Scheme, host and path are shown, so that a reader knows which URL it is. A
password that is not percent-encoded may have any character. So where it is not certain what an @
belongs to, everything before it is hidden.
"""

import re

HIDDEN = "***"
# Our own texts have them as examples.
_EXAMPLES = ("user:password", ":password")
# The length of the scheme is bounded, so that the search in a text from outside takes linear time.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)")
_ONLY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
# In a text, a quote ends the host or the path; a query or fragment ends at a blank only.
_HOST_TO_END = re.compile(r"""[^\s"'<>?#]*(?:[?#]\S*)?""")
# Marks at the end of a URL that end the sentence or the clause around it.
_END_MARKS = ":,.;)]}\"'<>"
_LINE_END = re.compile(r"[\r\n]")
_AUTHORITY_END = re.compile(r"[/\\\s]")
_HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^:,@\[\]\s]+)(:\d*)?"
_HOSTS = re.compile(f"{_HOST}(,{_HOST})*")
# A name after the @, as in https://example.com/@name. With a port, it may be a password: a:1/@host.
_NAME_IN_PATH = re.compile(r"[A-Za-z0-9.-]+/@[^@]*")


def public_url(value: str) -> str:
    """
    Return a value without its secret parts if it is a URL, and any other value as it is.

    If it cannot be known where its password ends, only the scheme is returned. A value like
    `user:password@host` loses what precedes the host, too.
    """
    scheme, mark, rest = value.partition("://")
    if mark:
        is_url = _ONLY_SCHEME.fullmatch(scheme) is not None
        return f"{scheme}{mark}{_public(rest)}" if is_url else HIDDEN
    user, at, _ = value.rpartition("@")
    return _public(value) if at and ":" in user else value


def without_url_secrets(text: str) -> str:
    """
    Return a text in which each URL is as `public_url` returns it.

    An @ that follows a URL in the same line, before the next URL, may be that of its password. So
    everything between them is hidden, too.
    """
    before, *found = _SCHEME.split(text)
    if not found:
        return text
    shown = (
        scheme + _public_start(rest) for scheme, rest in zip(found[::2], found[1::2], strict=True)
    )
    return before + "".join(shown)


def _public_start(text: str) -> str:
    """Return a text that begins with what follows the scheme of a URL, without its secrets."""
    end = _end(text, 0)
    if text[:end].rpartition("@")[0] not in _EXAMPLES:
        line = _LINE_END.split(text, maxsplit=1)[0]
        end = _end(text, line.rfind("@") + 1)
    return _public(text[:end]) + text[end:]


def _end(text: str, begin: int) -> int:
    """Return where the URL ends whose host, or a later part, is at `begin`."""
    found = _HOST_TO_END.match(text, begin)
    return begin + len(found[0].rstrip(_END_MARKS)) if found else begin


def _public(rest: str) -> str:
    """Return what follows the scheme, without secrets."""
    if not rest:
        return ""
    before_fragment, fragment, _ = rest.partition("#")
    before_query, query, _ = before_fragment.partition("?")
    authority = _AUTHORITY_END.split(before_query, maxsplit=1)[0]
    path = before_query[len(authority) :]
    user, at, hosts = authority.rpartition("@")
    # A / or ? in a password that is not percent-encoded ends the authority within the password.
    if "@" in rest[len(authority) :]:
        is_sure = _NAME_IN_PATH.fullmatch(rest) is not None
    else:
        is_sure = bool(at or _HOSTS.fullmatch(hosts) or (path and not hosts))
    if not is_sure:
        return HIDDEN
    if at and user not in _EXAMPLES:
        user = HIDDEN
    query, fragment = query and f"?{HIDDEN}", fragment and f"#{HIDDEN}"
    return f"{user}{at}{hosts}{path}{query}{fragment}"
