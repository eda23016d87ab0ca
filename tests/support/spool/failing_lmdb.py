"""
A real LMDB in which one call fails or ends the process; earlier calls take effect.

`Faults.open` replaces `lmdb.open`. The fault says whether a failed commit is in the file. A failed
commit may leave an environment that only raises until it is closed, as LMDB does if it cannot write
its meta page.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import pytest

from ingress.spool import spool_file
from ingress.spool import writer as writer_module


class Killed(BaseException):
    """The process ended at this call."""


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ENOSPC": lambda: lmdb.DiskError(os.strerror(errno.ENOSPC)),
    "EIO": lambda: lmdb.Error(os.strerror(errno.EIO)),
    "map full": lambda: lmdb.MapFullError("MDB_MAP_FULL"),
    "kill": Killed,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """The number of the LMDB call that fails, how it fails, and the outcome if it is a commit."""

    call: int
    error: str
    commit_is_kept: bool = False
    then_panics: bool = False


class Faults:
    """Opens environments, and lets the call fail that the armed fault names."""

    def __init__(self) -> None:
        self._armed: Fault | None = None
        self._left = 0
        self._envs: list[FailingEnv] = []
        # Since the last arm(): the call in which the fault happened, and whether a write
        # transaction was committed.
        self.came = ""
        self.committed = False

    def open(self, *args: Any, **kwargs: Any) -> "FailingEnv":
        """Open an environment in place of lmdb.open."""
        self.call("open")
        env = FailingEnv(lmdb.Environment(*args, **kwargs), self)
        self._envs.append(env)
        return env

    def arm(self, fault: Fault | None) -> None:
        """Let `fault` happen once in the calls from here on."""
        self._armed, self._left = fault, fault.call if fault else 0
        self.came, self.committed = "", False

    def call(self, name: str) -> None:
        """Count a call; fail if the fault names it."""
        if self._is_due():
            raise self._error(name)

    def commit(self, env: "FailingEnv", txn: Any, *, write: bool) -> None:
        """Commit or abort; fail if the fault names this call."""
        fault = self._armed
        due = self._is_due()
        if due and fault and not fault.commit_is_kept:
            txn.abort()
        else:
            txn.commit()
            self.committed |= write
        if due and fault:
            env.panics = write and fault.then_panics
            raise self._error("commit")

    def abandon(self) -> None:
        """Close the environments of a killed process."""
        for env in self._envs:
            env.close()
        self._envs.clear()

    def _is_due(self) -> bool:
        self._left -= 1
        return self._armed is not None and self._left == 0

    def _error(self, name: str) -> BaseException:
        fault, self._armed = self._armed, None
        assert fault is not None
        self.came = f"{fault.error} in {name}"
        return ERRORS[fault.error]()


class FailingEnv:
    """A real LMDB environment whose calls may fail."""

    def __init__(self, env: lmdb.Environment, faults: Faults) -> None:
        self._env = env
        self._faults = faults
        self.panics = False

    def begin(self, *, write: bool = False) -> "FailingTxn":
        """Begin a transaction."""
        self._faults.call("begin")
        if self.panics:
            raise lmdb.PanicError("MDB_PANIC")
        return FailingTxn(self, self._env.begin(write=write), self._faults, write=write)

    def open_db(self, name: bytes, txn: "FailingTxn | None" = None, *, create: bool = True) -> Any:
        """Open a database."""
        self._faults.call("open_db")
        return self._env.open_db(name, txn.real if txn else None, create=create)

    def stat(self) -> Any:
        """Return the main database's numbers."""
        return self._env.stat()

    def close(self) -> None:
        """Close the environment, which never fails."""
        self._env.close()


class FailingTxn:
    """A real LMDB transaction whose calls may fail."""

    def __init__(self, env: FailingEnv, real: Any, faults: Faults, *, write: bool) -> None:
        self.real = real
        self._env = env
        self._faults = faults
        self._write = write

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind or not self._write:
            self.real.abort()
        else:
            self._faults.commit(self._env, self.real, write=self._write)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Get a value."""
        self._faults.call("get")
        return self.real.get(*args, **kwargs)

    def put(self, *args: Any, **kwargs: Any) -> Any:
        """Put a value."""
        self._faults.call("put")
        return self.real.put(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        """Delete a value."""
        self._faults.call("delete")
        return self.real.delete(*args, **kwargs)

    def stat(self, db: Any) -> Any:
        """Return a database's numbers."""
        self._faults.call("stat")
        return self.real.stat(db)

    def cursor(self, *, db: Any) -> "FailingCursor":
        """Return a cursor."""
        self._faults.call("cursor")
        return FailingCursor(self.real.cursor(db=db), self._faults)


class FailingCursor:
    """A real LMDB cursor whose calls may fail."""

    def __init__(self, cursor: Any, faults: Faults) -> None:
        self._cursor = cursor
        self._faults = faults

    def __iter__(self) -> Iterator[Any]:
        return self.iternext()

    def iternext(self, **kwargs: Any) -> Iterator[Any]:
        """Yield the entries of the database."""
        for each in self._cursor.iternext(**kwargs):
            self._faults.call("iternext")
            yield each

    def __getattr__(self, name: str) -> Any:
        self._faults.call(name)
        return getattr(self._cursor, name)


def patch(faults: Faults) -> Callable[[], None]:
    """Let spools use `faults`; return a function that undoes it."""
    real_rewrite = spool_file.rewrite_meta_pages

    def rewrite(path: Path, page_bytes: int) -> None:
        faults.call("rewrite_meta_pages")
        real_rewrite(path, page_bytes)

    patches = pytest.MonkeyPatch()
    patches.setattr(lmdb, "open", faults.open)
    patches.setattr(writer_module, "rewrite_meta_pages", rewrite)
    return patches.undo
