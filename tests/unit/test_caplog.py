"""A test that examines the log sees its own records only."""

import asyncio
import gc
import logging

import pytest


def _lose_an_exception() -> None:
    """Leave a failed future as garbage that only a garbage collection finds."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    cycle: list[object] = [future]
    cycle.append(cycle)
    future.set_exception(OSError("of an earlier test"))
    loop.close()


def test_the_log_has_nothing_of_objects_of_earlier_tests(request: pytest.FixtureRequest) -> None:
    """A future that failed before the test began is reported before the test begins."""
    _lose_an_exception()
    caplog: pytest.LogCaptureFixture = request.getfixturevalue("caplog")
    logging.getLogger("of.this.test").error("seen")
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == ["seen"]
