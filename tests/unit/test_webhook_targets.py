"""Each target of a webhook is a group of its own: no process takes over for another target."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.kafka.access import plaintext
from support.pipeline_states import (
    AT_14_02,
    DAY_S,
    NOW,
    SILENT,
    SINCE_14_02,
    a_consumer,
    measured,
    stage,
    stated,
    with_kafka_and,
)
from yarl import URL

from consumers.runtime.status import ConsumerStatus
from consumers.stats.group_names import GroupNames
from consumers.stats.health import Timeline, find
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess
from consumers.stats.processes import Processes, Watched
from consumers.stats.resolved_url import ResolvedUrl
from ops.status.build import build
from ops.status.details import stage_details
from ops.status.report import Report

CRM = a_consumer(name="webhook-crm")
BI = a_consumer(name="webhook-bi")
SILENT_BI = replace(SILENT, group="webhook-bi")


def stopped(name: str) -> ConsumerStatus:
    """Return the status of a process that has stopped."""
    return a_consumer(name=name, stopped=SINCE_14_02, partitions=None, oldest_waiting_s=None)


def report_of(what: ProcessStatuses) -> Report:
    """Return the report of `hookline status`; the addresses are numbered."""
    addressed = replace(
        what,
        ingress_addresses=["http://ingress:8081"] * len(what.ingress or ()),
        consumer_addresses={
            name: [f"http://{name}:{n}" for n, _ in enumerate(each)]
            for name, each in what.consumers.items()
        },
    )
    return build(stated(what), addressed, [], plaintext(""))


def test_the_webhook_is_shown_only_if_it_is_watched() -> None:
    """Not everybody has one."""
    assert stage("webhook", measured(webhook=[a_consumer()])).state == "ok"
    assert stage("webhook", measured(webhook=[SILENT])).state == "wrong"


def test_a_dead_target_is_not_taken_over_by_the_process_of_another_one() -> None:
    """Its callbacks wait in Kafka, and expire."""
    found = stage("webhook", measured(webhook=[CRM, SILENT_BI]))
    assert found.state == "wrong"
    assert "No process of the consumer webhook-bi answers (since 14:02)." in found.what.en
    assert "take over" not in found.what.en
    assert "消费者 webhook-bi 没有进程应答" in found.what.zh


def test_a_stopped_target_is_stopped_whatever_the_other_ones_do() -> None:
    """The other one goes on, but delivers to another target."""
    found = stage("webhook", measured(webhook=[CRM, stopped("webhook-bi")]))
    assert found.state == "wrong"
    assert "The consumer webhook-bi has stopped (since 14:02)" in found.what.en


def test_replicas_of_one_target_take_over() -> None:
    """They share its group; the number of processes is that of the target."""
    for other in (SILENT_BI, stopped("webhook-bi")):
        found = stage("webhook", measured(webhook=[CRM, BI, other]))
        assert found.state == "warning"
        assert found.what.en.startswith("1 of 2 processes of the consumer webhook-bi ")


def test_the_receiver_of_the_target_is_named() -> None:
    """It is another server for each target."""
    fails = a_consumer(name="webhook-bi", sink_fault=SINCE_14_02)
    found = stage("webhook", measured(webhook=[CRM, fails]))
    assert found.what.en.startswith("The receiver of webhook-bi does not answer or refuses")
    assert "webhook-bi 的接收方无应答" in found.what.zh


def test_kafka_says_how_long_the_records_of_each_target_wait() -> None:
    """By the group of the target, also if the first process has another one."""
    what = with_kafka_and(
        retention_s=2 * DAY_S,
        unread_since={"webhook-crm": None, "webhook-bi": NOW - timedelta(hours=7)},
        webhook=[CRM, SILENT_BI],
    )
    found = stage("webhook", what)
    assert found.number == 7 * 3600
    assert "keeps them for 41 hours more" in found.what.en
    report = report_of(what)
    assert report.topic is not None
    assert (report.topic.slowest_group, report.topic.unread_lost_in_s) == ("webhook-bi", 41 * 3600)


def test_each_target_is_reported_by_its_own_name_with_its_own_processes() -> None:
    """The lag of one is not that of another."""
    what = measured(
        webhook=[a_consumer(name="webhook-crm", oldest_waiting_s=20.0), SILENT_BI, BI],
    )
    report = report_of(what)
    webhooks = {one.name: one for one in report.consumers if one.stage == "webhook"}
    assert {name: one.oldest_in_kafka_s for name, one in webhooks.items()} == {
        "webhook-bi": 0.2,
        "webhook-crm": 20.0,
    }
    assert [one.address for one in webhooks["webhook-bi"].processes] == [
        "http://webhook:1",
        "http://webhook:2",
    ]
    shown = next(one for one in report.stages if one.stage == "webhook")
    assert stage_details(shown, report) == (
        "webhook-bi: 2 processes, 6 partitions, 1 silent; webhook-crm: 1 process, 6 partitions"
    )


def test_the_stage_has_the_number_of_the_target_that_lags_most() -> None:
    """If all are well."""
    webhook = [a_consumer(name="webhook-crm", oldest_waiting_s=20.0), BI]
    for processes in (webhook, webhook[::-1]):
        found = stage("webhook", measured(webhook=processes))
        assert (found.state, found.number) == ("ok", 20.0)


def test_a_process_that_never_answered_may_be_the_only_one_of_its_target() -> None:
    """So nobody may say that the others take over."""
    found = stage("webhook", measured(webhook=[CRM, SilentProcess()]))
    assert found.state == "wrong"
    assert found.what.en.startswith("1 of 2 processes of the consumer webhook do not answer, and ")
    assert "Nothing is lost" not in found.what.en
    found = stage("webhook", measured(webhook=[SilentProcess(), SilentProcess()]))
    assert found.what.en.startswith("No process of the consumer webhook answers")


def test_since_is_that_of_the_target_that_is_shown() -> None:
    """A second target that fails in the same way began later."""
    timeline = Timeline()
    failing = [a_consumer(name=n, sink_fault=SINCE_14_02) for n in ("webhook-bi", "webhook-crm")]

    def since(minutes: int, *webhook: ConsumerStatus) -> Any:
        now = NOW + timedelta(minutes=minutes)
        finding = next(
            one
            for one in find(replace(measured(webhook=webhook), now=now))
            if one.stage == "webhook"
        )
        timeline.note(finding, now)
        return timeline.since(finding)

    assert since(0, failing[0], CRM) == AT_14_02
    assert since(10, failing[0], CRM) == AT_14_02
    assert since(10, BI, failing[1]) == AT_14_02 + timedelta(minutes=10)


async def test_a_process_that_ends_is_missed_by_its_target() -> None:
    """It reported the target while it answered."""
    alive = {"/crm", "/bi"}

    async def status(request: web.Request) -> web.Response:
        path = request.path.removesuffix("/status")
        if path not in alive:
            raise web.HTTPServiceUnavailable
        return web.json_response(body=msgspec.json.encode(CRM if path == "/crm" else BI))

    app = web.Application()
    app.add_routes([web.get("/{name}/status", status)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        urls = [("webhook", str(server.make_url(path))) for path in ("/crm", "/bi")]
        processes = Processes(session, Watched(ingress=[], consumers=urls))
        assert (await processes.ask()).consumers["webhook"] == [CRM, BI]
        alive.remove("/bi")
        # The first answer that is missed is asked for again.
        await processes.ask()
        what = await processes.ask()
        await processes.close()
    (answer, silent) = what.consumers["webhook"]
    assert answer == CRM
    assert isinstance(silent, SilentProcess)
    assert silent.group == "webhook-bi"
    assert "No process of the consumer webhook-bi answers" in stage("webhook", what).what.en


def at(host: str, *addresses: str) -> Sequence[ResolvedUrl]:
    """Return the addresses of a host."""
    return [ResolvedUrl.at(URL(f"http://{host}:8082"), address) for address in addresses]


def noted(names: GroupNames, *answers: tuple[ResolvedUrl, ConsumerStatus | SilentProcess]) -> Any:
    """Return the groups of the silent processes."""
    return [
        one.group for one in names.note(dict(answers)).values() if isinstance(one, SilentProcess)
    ]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_silent_process_has_the_group_that_it_reported_last(*, is_known: bool) -> None:
    """Unless it never reported one."""
    names, (first,) = GroupNames(), at("webhooks", "10.0.0.1")
    if is_known:
        assert noted(names, (first, BI)) == []
    assert noted(names, (first, SILENT)) == (["webhook-bi"] if is_known else [""])


def test_a_silent_process_has_the_group_of_the_others_at_its_url() -> None:
    """An orchestrator gives the replicas of one service one name."""
    names, (first, second) = GroupNames(), at("webhook-bi", "10.0.0.1", "10.0.0.2")
    assert noted(names, (first, BI), (second, SILENT)) == ["webhook-bi"]
    # A new address in place of the first one; nobody answers any more.
    (third,) = at("webhook-bi", "10.0.0.3")
    assert noted(names, (third, SILENT), (second, SILENT)) == ["webhook-bi", "webhook-bi"]


def test_the_group_is_not_guessed_if_a_url_has_processes_of_two() -> None:
    """Each address that has answered keeps its own."""
    names, (first, second, third) = GroupNames(), at("hooks", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert noted(names, (first, BI), (second, CRM), (third, SILENT)) == [""]
    assert noted(names, (first, BI), (second, SILENT), (third, SILENT)) == ["webhook-crm", ""]
