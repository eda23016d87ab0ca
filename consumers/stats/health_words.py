"""A finding in words, in both languages: its text, with times and durations."""

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from consumers.stats.edge_texts import EDGE_TEXTS
from consumers.stats.findings import Finding
from consumers.stats.health_answers import Words
from consumers.stats.health_text import IN_KAFKA_PHRASES, RETENTION_PHRASES, Text
from consumers.stats.ingress_texts import INGRESS_TEXTS
from consumers.stats.kafka_texts import KAFKA_TEXTS
from consumers.stats.sink_texts import SINK_TEXTS

TEXTS: Mapping[str, Text] = {**INGRESS_TEXTS, **KAFKA_TEXTS, **SINK_TEXTS, **EDGE_TEXTS}
# A room of at least two days is given in days, one of at least two hours in hours.
_UNITS = (
    (86400.0, "days", "天"),
    (3600.0, "hours", "小时"),
    (60.0, "minutes", "分钟"),
    (1.0, "seconds", "秒"),
)
# The system that the consumer of a stage writes to.
_SINKS = {
    "archive": Words(en="the archive's disk or object store", zh="归档的磁盘或对象存储"),
    "database": Words(en="PostgreSQL", zh="PostgreSQL"),
    "counts": Words(en="Valkey", zh="Valkey"),
    "webhook": Words(en="the receiver of {consumer}", zh="{consumer} 的接收方"),
}


def words(
    finding: Finding, since: datetime | None, now: datetime, zone: ZoneInfo
) -> tuple[Words, Words, str]:
    """Return what is, what to do, and the section of the docs; times are those of `zone`."""
    text = TEXTS[finding.text]
    at = _time(since, now, zone) if since else ""
    values_en = _values(finding, chinese=False) | {"since": f" (since {at})" if at else ""}
    values_zh = _values(finding, chinese=True) | {"since": f"自 {at} 起" if at else ""}
    return (
        Words(
            en=_capitalized(text.en.format_map(values_en)),
            zh=_spaced(text.zh.format_map(values_zh)),
        ),
        Words(en=text.do_en.format_map(values_en), zh=_spaced(text.do_zh.format_map(values_zh))),
        f"docs/{text.section}",
    )


def _values(finding: Finding, *, chinese: bool) -> dict[str, str]:
    """Return the values of a text, with the phrases that they name in place of the names."""
    values = {name: _value(value, chinese=chinese) for name, value in finding.values.items()}
    values["consumer"] = finding.consumer
    if finding.stage in _SINKS:
        values["sink"] = _in(_SINKS[finding.stage], chinese=chinese).format_map(values)
    for name, phrases in (("retention", RETENTION_PHRASES), ("in_kafka", IN_KAFKA_PHRASES)):
        if name in values:
            values[name] = _in(phrases[values[name]], chinese=chinese).format_map(values)
    return values


def _in(words: Words, *, chinese: bool) -> str:
    return words.zh if chinese else words.en


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _spaced(text: str) -> str:
    """Return a Chinese text with a space between its characters and Latin letters or digits."""
    text = re.sub(r"([\u4e00-\u9fff])([A-Za-z0-9])", r"\1 \2", text)
    return re.sub(r"([A-Za-z0-9%])([\u4e00-\u9fff])", r"\1 \2", text)


def _time(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    local, today = at.astimezone(zone), now.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"


def _value(value: str | int | float, *, chinese: bool) -> str:  # noqa: PYI041 - they differ here
    if not isinstance(value, float):
        return str(value)
    for seconds, en, zh in _UNITS:
        if value >= 2 * seconds or seconds == _UNITS[-1][0]:
            number = int(value // seconds)
            return f"{number} {zh}" if chinese else _counted(number, en)
    raise AssertionError(value)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit if number != 1 else unit.removesuffix('s')}"
