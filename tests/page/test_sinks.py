"""The page says of each sink what is known of its own group, and no more."""

import pytest
from support.page.browser import Show
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import Answers
from support.pipeline_states import DAY_S, a_consumer, measured, with_kafka_and

from consumers.stats.health_answers import StageName
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess


@pytest.mark.parametrize(
    ("what", "stage", "texts"),
    [
        (
            measured(webhook=[a_consumer(name="webhook-crm"), SilentProcess(group="webhook-bi")]),
            "webhook",
            ("No process of the consumer webhook-bi answers", "消费者 webhook-bi 没有进程应答"),
        ),
        (
            with_kafka_and(retention_s=DAY_S, sync=[a_consumer(oldest_waiting_s=2 * DAY_S)]),
            "database",
            ("some may be lost for PostgreSQL", "因此 PostgreSQL 可能已丢失部分回调"),
        ),
        (
            measured(sync=[a_consumer(oldest_waiting_s=90.0)]),
            "database",
            ("has waited in Kafka for 90 seconds", "已在 Kafka 中等待 90 秒"),
        ),
        (
            with_kafka_and(sync=[SilentProcess()]),
            "database",
            ("how long they have waited is not known", "已等待多久未知"),
        ),
    ],
    ids=["another target", "expired", "lags", "age not known"],
)
def test_a_sink_is_described_by_its_own_group(
    show: Show,
    server: FixtureServer,
    what: ProcessStatuses,
    stage: StageName,
    texts: tuple[str, str],
) -> None:
    """Nothing is called safe because of another target, or because its age is not known."""
    server.world.answers = answers = Answers(measured=what)
    names = [one.stage for one in answers.health().stages]
    for language, text in zip(("en", "zh"), texts, strict=True):
        page = show(f"lang={language}")
        assert text in page.locator("#pipeline li").nth(names.index(stage)).inner_text()
