"""A fixture for tests that run processes of the ingress."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.processes.ingress import Ingress


@pytest.fixture
def new_ingress() -> Iterator[Callable[..., Ingress]]:
    """Return a function that makes an Ingress; its process is killed after the test."""
    made: list[Ingress] = []

    def make(*arguments: Any, **settings: Any) -> Ingress:
        made.append(Ingress(*arguments, **settings))
        return made[-1]

    yield make
    for ingress in made:
        ingress.kill()
