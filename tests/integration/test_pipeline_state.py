"""The state of the pipeline says which part is stopped, and when it works again."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.kafka.broker import Broker, running_broker
from support.processes.ingress import until
from support.processes.pipeline_world import PipelineWorld

from consumers.counters.server import connect
from consumers.stats.health_answers import Stage
from consumers.stats.pipeline import Pipeline, watched_pipeline
from consumers.stats.processes import Watched
from schemas.setting import Secret

ALL = ("receiving", "on_disk", "kafka", "archive", "database", "counts")


class World(PipelineWorld):
    """Every part of the pipeline, and what is found out about it."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        super().__init__(directory, broker, {})
        self._pipeline: Pipeline | None = None

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Run everything, and watch it."""
        with self.running():
            valkey = connect(Secret(self.valkey.url))
            watched = Watched(
                ingress=[self.ingress_url], consumers=self.consumer_urls, valkey=valkey
            )
            try:
                async with watched_pipeline(watched) as self._pipeline:
                    yield
            finally:
                await valkey.aclose()

    async def until(self, **expected: str) -> dict[str, Stage]:
        """Return the stages once these have the expected states, and all others are ok."""
        assert self._pipeline is not None
        wanted = dict.fromkeys(ALL, "ok") | expected
        stages: dict[str, Stage] = {}

        async def as_expected() -> bool:
            assert self._pipeline is not None
            health = await self._pipeline.current()
            stages.update({stage.stage: stage for stage in health.stages})
            return {name: stage.state for name, stage in stages.items()} == wanted

        try:
            await until(as_expected, f"the pipeline is {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {stages}") from None
        return stages


@pytest.mark.timeout(600)
async def test_each_part_that_is_stopped_is_named_until_it_works_again(tmp_path: Path) -> None:
    """PostgreSQL, Valkey, a consumer, Kafka, the ingress: killed or frozen, then started again."""
    with running_broker(tmp_path / "kafka") as broker:
        await broker.make_topics()
        world = World(tmp_path, broker)
        async with world.watched():
            await world.until()
            await _sinks(world)
            await _a_consumer(world)
            await _kafka(world)
            await _the_ingress(world)


async def _sinks(world: World) -> None:
    world.postgres.kill()
    stage = (await world.until(database="wrong"))["database"]
    assert stage.what.en.startswith("PostgreSQL does not answer or refuses everything (since ")
    assert "nothing is lost for 6 days more if the topic has the default" in stage.what.en
    assert stage.since is not None
    world.postgres.start()
    await world.until()
    world.valkey.kill()
    stage = (await world.until(counts="wrong"))["counts"]
    assert "Valkey does not answer" in stage.what.en
    world.valkey.start()
    await world.until()


async def _a_consumer(world: World) -> None:
    sync = world.consumers["sync"]
    sync.freeze()
    stage = (await world.until(database="wrong"))["database"]
    assert "No process of the consumer sync answers (since " in stage.what.en
    assert stage.number is None
    sync.thaw()
    await world.until()
    sync.kill()
    assert (await world.until(database="wrong"))["database"].number is None
    sync.launch()
    await world.until()


async def _kafka(world: World) -> None:
    world.broker.kill()
    unknown = dict.fromkeys(("archive", "database", "counts"), "unknown")
    stages = await world.until(kafka="wrong", **unknown)
    assert "Kafka cannot be used (since " in stages["kafka"].what.en
    assert "The reason: " in stages["kafka"].what.en
    assert "cannot read from Kafka" in stages["archive"].what.en
    assert stages["archive"].number is None
    await world.broker.start_again()
    await world.until()


async def _the_ingress(world: World) -> None:
    world.ingress.kill()
    stages = await world.until(receiving="wrong", on_disk="unknown", kafka="unknown")
    assert "No ingress replica answers (since " in stages["receiving"].what.en
    assert "It is not known how many" in stages["on_disk"].what.en
    world.ingress.launch()
    await world.until()
