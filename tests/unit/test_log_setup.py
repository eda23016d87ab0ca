"""The log of a service: what it never has."""

import logging
import pkgutil
import sys
import threading
from collections.abc import Iterator

import aiokafka
import pytest

from schemas.log_setup import log_to_stderr


@pytest.fixture
def debugging(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Yield the root logger while it logs everything, as a person might set it to find a fault."""
    root, library = logging.getLogger(), logging.getLogger("aiokafka")
    levels, handlers = (root.level, library.level), root.handlers[:]
    for module, name in (
        *((sys, "excepthook"), (sys, "unraisablehook")),
        *((threading, "excepthook"), (logging, "raiseExceptions")),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    log_to_stderr("text")
    root.setLevel(logging.DEBUG)
    yield root
    logging.captureWarnings(False)  # noqa: FBT003 - Python's own signature
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    library.setLevel(levels[1])


def test_no_request_of_aiokafka_is_logged(debugging: logging.Logger) -> None:
    """At DEBUG, aiokafka would log the password in the request of the authentication."""
    assert debugging.isEnabledFor(logging.DEBUG)
    modules = [found.name for found in pkgutil.walk_packages(aiokafka.__path__, "aiokafka.")]
    assert "aiokafka.conn" in modules
    for name in ("aiokafka", *modules):
        assert not logging.getLogger(name).isEnabledFor(logging.ERROR), name
