"""
A text about the state of the pipeline, in English and Chinese, and the phrases that texts share.

All texts are in ingress_texts.py, kafka_texts.py, sink_texts.py and edge_texts.py.

{since} is a time or nothing, {room} and {kept} are durations, {reason} is a text of a process,
{consumer} is the consumer and {sink} the system that it writes to.
"""

from typing import NamedTuple


class Text(NamedTuple):
    """What is, what to do, and the page and section that says more; in both languages."""

    en: str
    do_en: str
    zh: str
    do_zh: str
    section: str = "runbook.md"


NOTHING = ("Nothing needs to be done.", "无需处理。")
SAFE_ON_DISK = "Callbacks that were answered OK are on disk and are not lost"
SAFE_ON_DISK_ZH = "已回复 OK 的回调已落盘，没有丢失"
# An ingress that is not ready may still accept callbacks, and a gateway sends it some if none is.
UNREADY = "Callbacks are refused now, or may be soon"
UNREADY_ZH = "回调已被拒绝，或可能即将被拒绝"
REFUSED = "Callbacks that are not answered OK are lost unless TIM's retry is switched on"
REFUSED_ZH = "未回复 OK 的回调会丢失，除非 TIM 侧开启了重试"
# The topic's retention, or what `hookline topics apply` sets if Kafka was not asked.
RETENTION = "with a retention of {kept}"
RETENTION_ZH = "按保留时间 {kept}"
IN_KAFKA = (
    f"Nothing is lost; callbacks wait in Kafka, which keeps them for {{room}} more ({RETENTION})"
)
IN_KAFKA_ZH = f"没有丢失；回调在 Kafka 中等待（{RETENTION_ZH}，还可保留 {{room}}）"
REASON = "The reason: {reason}."
REASON_ZH = "原因：{reason}。"
THEN_RECOVERS = "the rest recovers by itself."
THEN_RECOVERS_ZH = "之后会自动恢复。"
