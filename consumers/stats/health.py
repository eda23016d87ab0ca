"""
The state of the whole pipeline, in words. No I/O.

findings.py and the other files of findings decide what is wrong, health_words.py says it.
"""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from consumers.stats import findings
from consumers.stats.edge_findings import edges_after, edges_before
from consumers.stats.findings import Finding
from consumers.stats.health_answers import Health, Stage
from consumers.stats.health_words import words
from consumers.stats.kafka_findings import kafka
from consumers.stats.process_statuses import ProcessStatuses
from consumers.stats.sink import WEBHOOK
from consumers.stats.sink_findings import STAGES, sink


def find(measured: ProcessStatuses) -> list[Finding]:
    """Return the state of every stage, in the order in which callbacks go through them."""
    names = [name for name in STAGES if name != WEBHOOK or name in measured.consumers]
    return [
        *edges_before(measured),
        findings.receiving(measured),
        findings.on_disk(measured),
        kafka(measured),
        *(sink(name, measured) for name in names),
        *edges_after(measured),
    ]


class Timeline:
    """Knows since when each stage is as it is: the processes say it, or it was seen to change."""

    def __init__(self) -> None:
        # By the stage: the text, the consumer that it names, and since when.
        self._since: dict[str, tuple[tuple[str, str], datetime | None]] = {}

    def note(self, finding: Finding, now: datetime) -> None:
        """Note the state of a stage. The beginning of its first state is not seen."""
        before = self._since.get(finding.stage)
        state = finding.text, finding.consumer
        if before is None:
            self._since[finding.stage] = state, finding.since
        elif before[0] != state:
            self._since[finding.stage] = state, finding.since or now

    def since(self, finding: Finding) -> datetime | None:
        """Return since when a stage is as it was noted last, None if that is not known."""
        return self._since[finding.stage][1]


def health(findings: list[Finding], timeline: Timeline, now: datetime, zone: ZoneInfo) -> Health:
    """Return what was found, in words, with the times of a zone."""
    states = {finding.state for finding in findings}
    state: Literal["ok", "warning", "wrong"] = "ok"
    if "wrong" in states:
        state = "wrong"
    elif states != {"ok"}:
        state = "warning"
    return Health(
        state=state, stages=[_stage(finding, timeline, now, zone) for finding in findings]
    )


def _stage(finding: Finding, timeline: Timeline, now: datetime, zone: ZoneInfo) -> Stage:
    since = timeline.since(finding)
    amount = finding.amount
    what, what_to_do, section = words(finding, since, now, zone)
    return Stage(
        stage=finding.stage,
        state=finding.state,
        number=amount.number if amount else None,
        of=amount.of if amount else None,
        unit=amount.unit if amount else None,
        since=since.astimezone(zone) if since else None,
        what=what,
        what_to_do=what_to_do,
        runbook=section,
    )
