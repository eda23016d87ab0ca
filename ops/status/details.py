"""Describe each part in words, for the screen: beside its state and its numbers."""

import re
from collections.abc import Mapping, Sequence

from consumers.runtime.phase import Phase
from consumers.stats.health_answers import Stage
from ops.nouns import counted
from ops.status.report import (
    ConsumerReport,
    IngressReport,
    ProcessReport,
    Report,
    slowest_consumer,
)
from ops.status.texts import duration, size
from schemas.printable import shortened

# Of the text of a process, so many characters are on the screen; JSON has all.
TEXT_CHARACTERS_MAX = 300
# Of the apps without a token, so many are on the screen.
APPS_SHOWN_MAX = 3
WAITING = (Phase.WAITING_FOR_KAFKA.value, Phase.WAITING_FOR_SINK.value)
# A time without retention is not shown as a number of days.
FOR_EVER_S = 10 * 365 * 86400.0
# A spool that is full later than this needs no attention: the rate of a minute says nothing of it.
FULL_SOON_S = 7 * 86400.0


def stage_details(stage: Stage, report: Report) -> str:
    """Return the details of a stage; a state that is not known says why."""
    if stage.stage == "kafka" and stage.state == "unknown" and report.topic:
        return _topic(report)
    if stage.state == "unknown":
        return _first_clause(stage.what.en.removeprefix("It is not known what waits: "))
    # A webhook has one for each target.
    consumers = [one for one in report.consumers if one.stage == stage.stage]
    if consumers:
        return "; ".join(map(_consumer, consumers))
    texts: Mapping[str, str] = {
        "receiving": _ready(report),
        "on_disk": _spools(stage, report),
        "kafka": _topic(report),
        "dead_letters": _dead_letters(report),
    }
    return texts.get(stage.stage) or _first_clause(stage.what.en)


def _first_clause(text: str) -> str:
    """Return the beginning of a text, which is whole below the table if something is wrong."""
    return re.split(r"[,.;:]( |$)", text, maxsplit=1)[0]


def _ready(report: Report) -> str:
    ready = sum(bool(replica.is_ready) for replica in report.ingress)
    return f"{ready} of {counted(len(report.ingress), 'replica')} ready"


def _spools(stage: Stage, report: Report) -> str:
    full = [left_s for one in report.ingress if (left_s := _full_soon_s(one)) is not None]
    waiting = int(stage.number or 0)
    more = "" if all(replica.answers for replica in report.ingress) else "at least "
    verb = "waits" if waiting == 1 else "wait"
    text = f"{more}{counted(waiting, 'callback')} {verb} in the spools"
    return f"{text}, full in {duration(min(full))}" if full else text


def _full_soon_s(replica: IngressReport) -> float | None:
    """Return after how many seconds the spool is full, None if that is not soon."""
    left_s = replica.spool_full_in_s
    return None if left_s is None or left_s > FULL_SOON_S else left_s


def _topic(report: Report) -> str:
    topic = report.topic
    if topic is None or not topic.answers:
        because = shortened(topic.not_known_because, TEXT_CHARACTERS_MAX) if topic else ""
        return f"this command cannot use Kafka{because and ': '}{because}"
    kept = topic.retention_s or 0.0
    text = f"{counted(topic.partitions or 0, 'partition')}, kept "
    text += "for ever" if kept > FOR_EVER_S else duration(kept)
    if topic.slowest_group is None or not _is_late(report):
        return text
    if topic.unread_lost_in_s == 0:
        return f"{text}; {topic.slowest_group} may lose unread records now"
    left = duration(topic.unread_lost_in_s)
    return f"{text}; {topic.slowest_group} would lose unread records in {left}"


def _is_late(report: Report) -> bool:
    """
    Return whether the sink that has the least time left is not ok.

    While nothing is wrong, an archive has unread records for the age of a file.
    """
    slowest = slowest_consumer(report.consumers)
    ok_stages = {str(stage.stage) for stage in report.stages if stage.state == "ok"}
    return slowest is not None and slowest.stage not in ok_stages


def _consumer(consumer: ConsumerReport) -> str:
    text = f"{consumer.name}: {counted(len(consumer.processes), 'process')}"
    partitions = [one.partitions for one in consumer.processes if one.partitions is not None]
    text += f", {counted(sum(partitions), 'partition')}" if partitions else ""
    if consumer.retries:
        text += f", {_retries(consumer.retries)}"
    stopped = sum(process.stopped_because is not None for process in consumer.processes)
    silent = sum(not process.answers for process in consumer.processes)
    text += f", {stopped} stopped" if stopped else ""
    hanging = sum(process.hanging_because is not None for process in consumer.processes)
    text += f", {hanging} hanging" if hanging else ""
    return text + (f", {silent} silent" if silent else "")


def _dead_letters(report: Report) -> str:
    dead = report.dead_letters
    if dead is None or not dead.total:
        return "none" if dead and dead.is_complete else ""
    by_component: dict[str, int] = {}
    for each in dead.counts:
        by_component[each.component] = by_component.get(each.component, 0) + each.count
    counts = ", ".join(f"{name} {count}" for name, count in by_component.items())
    more = "" if dead.is_complete else "at least "
    text = f"{more}{dead.total} wait: {counts}"
    return text if dead.recent is None else f"{text}; {dead.recent} of the last 24 h"


def replica_details(replica: IngressReport) -> str:
    """Return the details of a replica of the ingress."""
    if not replica.answers:
        return ""
    if replica.unready_because:
        return shortened(replica.unready_because, TEXT_CHARACTERS_MAX)
    used = 100 * (replica.spool_bytes or 0) // max(1, replica.spool_bytes_max or 1)
    parts = [f"{counted(replica.spool_rows or 0, 'row')}, {used} %"]
    if (left_s := _full_soon_s(replica)) is not None:
        parts.append(f"full in {duration(left_s)}")
    parts.append(f"{size(replica.disk_free_bytes)} free")
    if replica.forward_fault:
        parts.append(f"to Kafka: {shortened(replica.forward_fault, TEXT_CHARACTERS_MAX)}")
    else:
        parts.append("Kafka ok")
    if replica.tokens_fault:
        parts.append(f"tokens: {shortened(replica.tokens_fault, TEXT_CHARACTERS_MAX)}")
    elif replica.token_last_used_ago_s is not None:
        parts.append(f"token used {duration(replica.token_last_used_ago_s)} ago")
    if missing := replica.apps_not_in_tokens_file:
        parts.append(f"not in the tokens file: app {_apps(missing)}")
    if without := [app for app in replica.apps_without_token if app not in missing]:
        parts.append(f"no token: app {_apps(without)}")
    return "; ".join(parts)


def _apps(sdkappids: Sequence[str]) -> str:
    more = len(sdkappids) - APPS_SHOWN_MAX
    return ", ".join(sdkappids[:APPS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def process_details(process: ProcessReport) -> str:
    """Return the details of a process of a consumer."""
    if not process.answers:
        return ""
    if because := process.stopped_because or process.hanging_because:
        return shortened(because, TEXT_CHARACTERS_MAX)
    if process.phase in WAITING:
        # After the sentence that says when the process continues.
        return shortened(process.phase_because.partition(". ")[2], TEXT_CHARACTERS_MAX)
    partitions = counted(process.partitions or 0, "partition")
    return partitions if process.retries is None else f"{partitions}, {_retries(process.retries)}"


def _retries(count: int) -> str:
    return f"{count} {'retry' if count == 1 else 'retries'}"
