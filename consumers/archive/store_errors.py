"""The errors of a store, and obstore's exceptions as these errors."""

import contextlib
import re
from collections.abc import Iterator

from obstore.exceptions import AlreadyExistsError, BaseError

from consumers.runtime.handler import Unavailable
from schemas.url_text import without_url_secrets

_XML_ANSWER = re.compile(
    r"<\?xml.*?<Code>(.*?)</Code>.*?<Message>(.*?)</Message>.*", re.DOTALL | re.IGNORECASE
)
# obstore has no exception of its own for a request that took too long.
_TIMED_OUT = re.compile(r"kind: Timeout\b")


class SegmentExists(Exception):
    """A segment has that name already; it is unchanged."""


class CannotOpenStore(Exception):
    """The store at a URL cannot be opened; the text says why."""


class SegmentNotFound(Unavailable):
    """No segment has that name any more."""


@contextlib.contextmanager
def store_call() -> Iterator[None]:
    """Turn an exception of a call of the store into one of ours."""
    try:
        yield
    except (FileExistsError, AlreadyExistsError) as error:
        raise SegmentExists from error
    except FileNotFoundError as error:
        raise SegmentNotFound(reason(error)) from error
    except (OSError, BaseError) as error:
        raise Unavailable(reason(error)) from error


def is_timeout(error: Exception) -> bool:
    """Return whether a request took longer than the client's time-out, its content included."""
    return _TIMED_OUT.search(str(error)) is not None


def reason(error: Exception) -> str:
    """Return obstore's error as one line: no debug dump, no secret, and of S3's XML the message."""
    text = _XML_ANSWER.sub(r"\1: \2", str(error).split("\n\nDebug source", 1)[0])
    return without_url_secrets(" ".join(text.split()))
