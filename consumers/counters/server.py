"""
One Valkey, as the counters and the statistics use it: connecting, waiting, and what is refused.

An error that means "not now" is raised as Unavailable.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from valkey import exceptions
from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.counters.password_file import without_password_file
from consumers.runtime.handler import Stopped, Unavailable
from schemas.setting import Format, Secret

VALKEY_URL = Format(
    "a URL like valkey://:password@host:6379/0",
    re.compile(r"(valkey|redis)s?://[^/?]+(/\d*)?(\?.*)?").fullmatch,
)
# Time-out of each step of a call: connecting, each write and each read.
STEP_S = 5.0
# Time-out of a whole call, well below the runtime's HANDLE_TIMEOUT_S.
ANSWER_S = 8.0
# A generation as its key in Valkey has it.
GENERATION = re.compile(rb"[1-9][0-9]{0,8}")
# Errors that mean "not now": Valkey starts, is busy, full or a replica, or an administrator has to
# change a password or a permission in it. A wrong password is a ConnectionError, as is LOADING.
_NOT_NOW = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ExecAbortError,
    exceptions.NoPermissionError,
    exceptions.NoScriptError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    OSError,
)
# The same as texts, where the client has no class. In a pipeline, the client's words precede them.
_BEGIN = r"(?:^|caused error: )(?:\(['\"])?(?:ERR )?"
_NOT_NOW_ANSWER = re.compile(
    _BEGIN + "(BUSY|CLUSTERDOWN|DB index|EXECABORT|IOERR|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|"
    "NOREPLICAS|NOSCRIPT|OOM|READONLY|REDIRECT|TRYAGAIN|UNBLOCKED|WRONGPASS)"
    # Only before the first write of the script; after it, Valkey refuses to end it.
    "|Script killed by user"
)
# Errors that stay until somebody changes more than a setting of Valkey, and what to do.
_STOPPING = {
    re.compile(
        _BEGIN + "(MOVED|ASK|CROSSSLOT)"
    ): "It is a node of a cluster: name a Valkey that is "
    "not in cluster mode in COUNTERS_VALKEY and STATS_VALKEY",
    re.compile(_BEGIN + "WRONGTYPE"): f"Another program writes keys that begin with "
    f"{layout.PREFIX}: use a Valkey, or a database of it, for the counts alone",
    re.compile(_BEGIN + "unknown (sub)?command"): "Use Valkey 7.2 or newer, in which no command is "
    "renamed",
}


def connect(url: Secret) -> Valkey:
    """
    Return a client that connects when it is used.

    Each call has a connection of its own, from a pool without a bound or a lock, so a call that
    hangs does not delay others. `answering` bounds the time of a call.
    """
    shorter_url, password_file = without_password_file(url)
    client: Valkey = Valkey.from_url(
        shorter_url,
        socket_timeout=STEP_S,
        socket_connect_timeout=STEP_S,
        socket_keepalive=True,
        credential_provider=password_file,
    )
    return client


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """
    Time out after ANSWER_S, and name the errors that Valkey answers with.

    Raises:
        Unavailable: the error means "not now".
        Stopped: the error stays until the text's advice is followed.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError as error:
        raise Unavailable(f"Valkey: no answer within {ANSWER_S:g} s") from error
    except (exceptions.ValkeyError, OSError) as error:
        text = str(error)
        if isinstance(error, _NOT_NOW) or _NOT_NOW_ANSWER.search(text):
            raise Unavailable(f"Valkey: {text.rstrip('.')}{_advice(error)}") from error
        for answer, advice in _STOPPING.items():
            if answer.search(text):
                raise Stopped(f"Valkey: {text}. {advice}") from error
        raise


def _advice(error: Exception) -> str:
    # Valkey's own texts do not say which password, or whose permission.
    if isinstance(error, exceptions.AuthenticationError):
        return " (check the user and the password in COUNTERS_VALKEY and STATS_VALKEY)"
    if isinstance(error, OSError | exceptions.ConnectionError) and not isinstance(
        error, exceptions.BusyLoadingError
    ):
        return (
            "; check that it runs, and COUNTERS_VALKEY (of the statistics: STATS_VALKEY; of a"
            " command: --counters or --valkey)"
        )
    return ""


async def refuse_unsuitable(valkey: Valkey) -> None:
    """
    Check that Valkey can keep the counts.

    Raises:
        Stopped: it cannot, because it is a node of a cluster, or would evict counts.
    """
    info: dict[str, object] = {}
    # Without the permission, a node of a cluster refuses the first key of another node.
    with contextlib.suppress(exceptions.NoPermissionError):
        info = await valkey.info("cluster") | await valkey.info("memory")
    policy = info.get("maxmemory_policy")
    if info.get("maxmemory") and policy != "noeviction":
        raise Stopped(
            f"Valkey drops keys when its memory is full (maxmemory-policy is {policy}), so "
            "counts would be missing. Set maxmemory-policy to noeviction, then start the "
            "process again"
        )
    if info.get("cluster_enabled"):
        raise Stopped(
            "Valkey is a node of a cluster. The counters need one Valkey that is not in "
            "cluster mode, because one call of a script writes keys of every name: set "
            "COUNTERS_VALKEY to such a server"
        )


def generation_of(stored: bytes | None, key: str = layout.GENERATION) -> int:
    """
    Return the generation that the key has in Valkey; absent, it is the first one.

    Raises:
        Unavailable: the key has another text, which no process writes.
    """
    if stored is None:
        return layout.FIRST_GENERATION
    # Only as the script compares it: `int` would take "01" for 1.
    if not GENERATION.fullmatch(stored):
        raise Unavailable(
            f"Valkey: the key {key} has {stored!r:.50}, not a generation. Set it to "
            f"the N of a key {layout.PREFIX}N:positions"
        )
    return int(stored)
