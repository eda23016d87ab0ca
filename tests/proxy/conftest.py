"""A proxy of one's own in front of the ingress, as docs/operations.md shows it."""

import pytest
from support.processes.new_ingress import new_ingress
from support.processes.nginx import NGINX

__all__ = ["new_ingress"]


def pytest_configure() -> None:
    """End the run with one error if there is no nginx."""
    if NGINX is None:
        raise pytest.UsageError("nginx is not on the PATH: apt-get install nginx")
