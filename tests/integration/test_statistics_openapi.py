"""The statistics API answers as its own description says, whatever is asked."""

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from support.builders import P0, a_stored_batch, a_stored_record
from support.counting import counting

from consumers.runtime.batch import Position
from ops.demo.embedded.child import free_port

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ROUTES = ("apps", "summary", "series", "people", "totals", "minutes", "health")


@pytest.fixture
def address(valkey_url: str) -> Iterator[str]:
    """Yield the address of a process with one app."""
    asyncio.run(count_one(valkey_url))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "consumers.stats"],
        env={"STATS_VALKEY": valkey_url, "STATS_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until_ready(address)
        yield address
    finally:
        process.terminate()
        process.wait()


async def count_one(valkey_url: str) -> None:
    """Count a message that was received now."""
    counts = counting(valkey_url)
    await counts.store_first_position(P0, Position(0))
    record = a_stored_record(0, received_at_ms=int(time.time() * 1000))
    await counts.handle(a_stored_batch(record))
    await counts.close()


def until_ready(address: str) -> None:
    """Return once the API is ready."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2):  # noqa: S310 - our own URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail("the API is not ready")


@pytest.mark.timeout(600)
def test_every_answer_is_one_that_the_description_has(
    address: str, say: Callable[[str], None], scaled: Callable[..., int]
) -> None:
    """Status, content type and body; right parameters and wrong ones, no fault of the server."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    examples = scaled(12, at_most=50)
    statuses: dict[int, int] = {}
    for route in ROUTES:
        operation = schema[f"/v1/{route}"]["GET"]
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call()
                statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
                case.validate_response(response, checks=CHECKS)

            ask()
    assert {200, 400} <= set(statuses)
    say(f"{sum(statuses.values())} requests: {statuses}")
