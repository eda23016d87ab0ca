"""
A text about the state of the pipeline, in English and Chinese, and the phrases that texts share.

All texts are in ingress_texts.py, kafka_texts.py, sink_texts.py and edge_texts.py.

{since} is a time or nothing, {room}, {kept} and {age} are durations, {reason} is a text of a
process, {consumer} is the consumer group and {sink} the system that it writes to. {in_kafka} is one
of IN_KAFKA_PHRASES.
"""

from collections.abc import Mapping
from typing import NamedTuple

from consumers.stats.health_answers import Words


class Text(NamedTuple):
    """What is, what to do, and the page and section that says more; in both languages."""

    en: str
    do_en: str
    zh: str
    do_zh: str
    section: str = "runbook.md"


NOTHING = Words(en="Nothing needs to be done.", zh="无需处理。")
SAFE_ON_DISK = "Callbacks that were answered OK are on disk and are not lost"
SAFE_ON_DISK_ZH = "已回复 OK 的回调已落盘，没有丢失"
# An ingress that is not ready may still accept callbacks, and a gateway sends it some if none is.
UNREADY = "Callbacks are refused now, or may be soon"
UNREADY_ZH = "回调已被拒绝，或可能即将被拒绝"
REFUSED = "Callbacks that are not answered OK are lost unless TIM's retry is switched on"
REFUSED_ZH = "未回复 OK 的回调会丢失，除非 TIM 侧开启了重试"
# The phrase in IN_KAFKA_PHRASES that `Sink.kafka_values` names. It says whether anything is lost.
IN_KAFKA = "{in_kafka}"
IN_KAFKA_PHRASES: Mapping[str, Words] = {
    "kept": Words(
        en="Nothing is lost; callbacks wait in Kafka, which keeps them for {room} more (with a "
        "retention of {kept})",
        zh="没有丢失；回调在 Kafka 中等待（按保留时间 {kept}，还可保留 {room}）",
    ),
    "kept_by_default": Words(
        en="Callbacks wait in Kafka, and nothing is lost for {room} more if the topic has the "
        "default retention of {kept}; its own is not known",
        zh="回调在 Kafka 中等待；如果主题使用默认保留时间 {kept}，则在 {room}内不会丢失；"
        "其实际保留时间未知",
    ),
    "waits_unknown_time": Words(
        en="Callbacks wait in Kafka; how long they have waited is not known. A callback is lost "
        "only after {kept} there ({retention})",
        zh="回调在 Kafka 中等待，已等待多久未知；回调在 Kafka 中满 {kept}后才会丢失（{retention}）",
    ),
    "expires": Words(
        en="The oldest callback has been in Kafka for {kept} or longer ({retention}): Kafka "
        "deletes such callbacks, so some may be lost for {sink}",
        zh="最早的回调在 Kafka 中已满 {kept}（{retention}），Kafka 会删除这样的回调，"
        "因此{sink}可能已丢失部分回调",
    ),
}
RETENTION_PHRASES: Mapping[str, Words] = {
    "retention": Words(en="the retention of the topic", zh="主题的保留时间"),
    "default_retention": Words(
        en="the default retention; that of the topic is not known",
        zh="默认保留时间；主题的实际保留时间未知",
    ),
}
REASON = "The reason: {reason}."
REASON_ZH = "原因：{reason}。"
THEN_RECOVERS = "the rest recovers by itself."
THEN_RECOVERS_ZH = "之后会自动恢复。"
