"""The report as one screen of 80 columns."""

from rich.console import Group, RenderableType
from rich.padding import Padding

from consumers.stats.health_answers import Stage
from ops.status.details import WAITING, process_details, replica_details, stage_details
from ops.status.report import ProcessReport, Report, StoreReport
from ops.status.texts import UNKNOWN, duration, per_second, size
from ops.terminal import PrintableTable, text_line

# The names that the statistics page has, too.
LABELS = {
    "gateway": "Gateway",
    "receiving": "Receiving",
    "on_disk": "On disk",
    "kafka": "Kafka",
    "archive": "Archive",
    "database": "Database",
    "counts": "Counts",
    "webhook": "Webhook",
    "dead_letters": "Dead letters",
    "statistics": "Statistics",
}
STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red", "unknown": "magenta"}
# Docker compose publishes no admin port.
NO_ANSWER = (
    "No part answers. With Docker, ask from a container: docker compose run --rm ops status. "
    "Without Docker, name the parts by --ingress, --consumers, --kafka and the other options: "
    "docs/status.md has the command, and `make demo DEMO=--keep` prints the one for its parts."
)
VERDICTS = {
    "ok": "healthy",
    "warning": "works, but look at: {names}",
    "wrong": "a person must act: {names}",
    "unknown": "nothing is known of: {names}",
}


def screen(report: Report, *, is_short: bool = False) -> RenderableType:
    """
    Return the screen: every part, the stores, and in words what is wrong and what to do.

    A short one has only the processes that are not well, and no stores.
    """
    parts: list[RenderableType] = [
        _verdict(report),
        text_line(""),
        _parts(report, is_short=is_short),
    ]
    if report.stores and not is_short:
        parts += [text_line(""), _stores(report)]
    for stage in problems(report):
        parts += [text_line(""), _problem(stage)]
    if not _has_answer(report):
        parts += [text_line(""), text_line(NO_ANSWER)]
    return Group(*parts)


def _has_answer(report: Report) -> bool:
    """Return whether a process of the pipeline, or Kafka, answers."""
    processes = (process for one in report.consumers for process in one.processes)
    return (
        any(replica.answers for replica in report.ingress)
        or any(process.answers for process in processes)
        or (report.topic is not None and report.topic.answers)
    )


def problems(report: Report) -> list[Stage]:
    """Return the stages that are not well, those first for which a person must act."""
    wrong = [stage for stage in report.stages if stage.state == "wrong"]
    warned = [stage for stage in report.stages if stage.state == "warning"]
    # Where Kafka does not answer, much is not known: that does not need a text of its own.
    sections = {stage.runbook for stage in (*wrong, *warned)}
    unknown = [
        stage
        for stage in report.stages
        if stage.state == "unknown" and stage.runbook not in sections
    ]
    return [*wrong, *warned, *unknown]


def _verdict(report: Report) -> RenderableType:
    verdict: str = report.state
    # Kafka alone says whether dead letters wait, but not whether anything works.
    parts = [one for one in report.stages if one.stage != "dead_letters"]
    if verdict == "warning" and all(one.state == "unknown" for one in parts):
        verdict = "unknown"
    worst = "wrong" if verdict == "wrong" else ("warning", "unknown")
    names = ", ".join(LABELS[one.stage] for one in report.stages if one.state in worst)
    line = text_line(f"{report.at:%Y-%m-%d %H:%M:%S} UTC  ")
    line.append(VERDICTS[verdict].format(names=names), STYLES[verdict])
    return line


def _table() -> PrintableTable:
    return PrintableTable(box=None, padding=(0, 1, 0, 0), pad_edge=False)


def _parts(report: Report, *, is_short: bool) -> PrintableTable:
    table = _table()
    table.add_column("part", no_wrap=True, header_style="dim")
    table.add_column("state", no_wrap=True, header_style="dim")
    table.add_column("lag", justify="right", no_wrap=True, header_style="dim")
    table.add_column("rate", justify="right", no_wrap=True, header_style="dim")
    table.add_column("", overflow="fold")
    for stage in report.stages:
        table.add_row(
            LABELS[stage.stage],
            text_line(stage.state, STYLES[stage.state]),
            duration(stage.number) if stage.unit == "seconds" else "",
            _rate(stage, report),
            stage_details(stage, report),
        )
        if stage.stage == "receiving":
            _add_replicas(table, report, is_short=is_short)
        _add_processes(table, stage, report, is_short=is_short)
    return table


def _rate(stage: Stage, report: Report) -> str:
    if stage.stage == "receiving":
        return _sum([replica.stored_per_s for replica in report.ingress])
    if stage.stage == "kafka":
        return _sum([replica.forwarded_per_s for replica in report.ingress])
    rates = [one.records_per_s for one in report.consumers if one.stage == stage.stage]
    return _sum(rates) if rates else ""


def _sum(rates: list[float | None]) -> str:
    known = [rate for rate in rates if rate is not None]
    return per_second(sum(known)) if known else UNKNOWN


def _add_replicas(table: PrintableTable, report: Report, *, is_short: bool) -> None:
    for replica in report.ingress:
        state = "ready" if replica.is_ready else "unready" if replica.answers else "silent"
        is_well = replica.is_ready and replica.reaches_kafka and not replica.tokens_fault
        is_well = is_well and not replica.apps_not_in_tokens_file
        if is_short and is_well:
            continue
        table.add_row(
            f"  {_host_and_port(replica.address)}",
            text_line(state, STYLES["ok" if replica.is_ready else "wrong"]),
            duration(replica.oldest_waiting_s) if replica.answers else "",
            per_second(replica.stored_per_s) if replica.answers else "",
            text_line(replica_details(replica), "dim" if is_well else ""),
        )


def _add_processes(table: PrintableTable, stage: Stage, report: Report, *, is_short: bool) -> None:
    """Add the processes of a stage that has several, and each that waits."""
    processes = [
        process
        for consumer in report.consumers
        if consumer.stage == stage.stage
        for process in consumer.processes
    ]
    for process in processes:
        state = _process_state(process)
        # The text about the sink says all about a single process, but why it waits.
        is_shown = state == "waits" or len(processes) > 1
        if not is_shown or (is_short and state == "works"):
            continue
        table.add_row(
            f"  {_host_and_port(process.address)}",
            text_line(state, "" if state == "works" else "red"),
            duration(process.oldest_in_kafka_s) if process.answers else "",
            per_second(process.records_per_s) if process.answers else "",
            text_line(process_details(process), "dim" if state == "works" else ""),
        )


def _process_state(process: ProcessReport) -> str:
    if not process.answers:
        return "silent"
    if process.stopped_because is not None:
        return "stopped"
    if process.hanging_because is not None:
        return "hanging"
    return "waits" if process.phase in WAITING else "works"


def _host_and_port(address: str) -> str:
    return address.rpartition("//")[2]


def _stores(report: Report) -> RenderableType:
    """Return what the stores use, and below why that is not known of others."""
    known = [store for store in report.stores if not store.not_known_because]
    lines = [
        text_line(f"{store.name}: its size is not known: {store.not_known_because}", "yellow")
        for store in report.stores
        if store.not_known_because
    ]
    return Group(*([_sizes(known)] if known else []), *lines)


def _sizes(stores: list[StoreReport]) -> PrintableTable:
    table = _table()
    table.add_column("store", no_wrap=True, header_style="dim", min_width=13)
    for name in ("uses", "of", "grows/day", "disk free", "disk full in"):
        table.add_column(name, justify="right", no_wrap=True, header_style="dim")
    for store in stores:
        table.add_row(
            store.name,
            size(store.size_bytes),
            size(store.size_bytes_max) if store.size_bytes_max else "",
            size(store.bytes_per_day),
            size(store.disk_free_bytes),
            duration(store.full_in_s),
        )
    return table


def _problem(stage: Stage) -> RenderableType:
    title = text_line(f"{LABELS[stage.stage]}: ", STYLES[stage.state])
    title.append_text(text_line(stage.what.en))
    what_to_do = text_line(f"Do: {stage.what_to_do.en}", "bold")
    what_to_do.append_text(text_line(f" {stage.runbook}", "dim"))
    return Group(title, Padding(what_to_do, (0, 0, 0, 2), expand=False))
