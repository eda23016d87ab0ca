"""The texts about the sinks and their consumers."""

from collections.abc import Mapping

from consumers.stats.health_text import (
    IN_KAFKA,
    NOTHING,
    REASON,
    REASON_ZH,
    THEN_RECOVERS,
    THEN_RECOVERS_ZH,
    Text,
)

SINK_TEXTS: Mapping[str, Text] = {
    "sink_not_watched": Text(
        "The consumer {consumer} is not watched.",
        "Add {consumer}=URL of its admin port to STATS_CONSUMERS (of hookline status: "
        "--consumers).",
        "未监测消费者 {consumer}。",
        "请在 STATS_CONSUMERS（hookline status 的 --consumers）中加入 {consumer}=其管理端口地址。",
        "runbook.md#a-part-is-not-watched",
    ),
    "sink_ok": Text(
        "All callbacks arrive there from Kafka without delay.",
        NOTHING.en,
        "Kafka 中的回调均及时到达。",
        NOTHING.zh,
    ),
    "sink_silent": Text(
        f"No process of the consumer {{consumer}} answers{{since}}. {IN_KAFKA}.",
        "Start it; the rest recovers by itself. If it ends again, its log says why.",
        f"{{since}}消费者 {{consumer}} 没有进程应答。{IN_KAFKA}。",
        "请启动它，之后会自动恢复。如果它再次退出，原因见其日志。",
        "runbook.md#a-process-does-not-answer",
    ),
    "sink_target_unknown": Text(
        "{affected} of {all} processes of the consumer webhook do not answer{since}, and have not "
        "reported which target they deliver to. A target without another process gets nothing. "
        f"{IN_KAFKA}.",
        "Start these processes again; hookline status lists their addresses.",
        "{since}消费者 webhook 的 {all} 个进程中有 {affected} 个无应答，且未报告其目标。"
        f"没有其他进程的目标收不到回调。{IN_KAFKA}。",
        "请重新启动这些进程；hookline status 列出其地址。",
        "runbook.md#a-process-does-not-answer",
    ),
    "sink_stopped": Text(
        "The consumer {consumer} has stopped{since} and waits for a person. "
        f"{IN_KAFKA}. {REASON}",
        "Find the reason in the runbook, fix the cause, then restart the consumer.",
        f"{{since}}消费者 {{consumer}} 已停止并等待人工处理。{IN_KAFKA}。{REASON_ZH}",
        "请在处理手册中查找该原因，修复后重启消费者。",
        "runbook.md#a-consumer-stops",
    ),
    "sink_hangs": Text(
        "{affected} of {all} processes of the consumer {consumer} hang{since}. Callbacks of their "
        f"partitions are not delivered. {IN_KAFKA}. {REASON}",
        "Restart these processes.",
        "{since}消费者 {consumer} 的 {all} 个进程中有 {affected} 个已挂起。"
        f"其分区的回调未写入。{IN_KAFKA}。{REASON_ZH}",
        "请重启这些进程。",
        "runbook.md#a-consumer-hangs",
    ),
    "sink_fails": Text(
        f"{{sink}} does not answer or refuses everything{{since}}. {IN_KAFKA}.",
        f"Check the server; {THEN_RECOVERS}",
        f"{{since}}{{sink}}无应答或拒绝写入。{IN_KAFKA}。",
        f"请检查服务器，{THEN_RECOVERS_ZH}",
        "runbook.md#a-sink-is-down",
    ),
    "sink_late": Text(
        "The consumer {consumer} lags so far that Kafka may soon delete callbacks that {sink} "
        f"lacks{{since}}. {IN_KAFKA}.",
        "Find out why the consumer {consumer} lags, or raise the topic's retention, now.",
        "{since}消费者 {consumer} 严重滞后，Kafka 可能很快删除{sink}尚缺的回调。"
        f"{IN_KAFKA}。",
        "请立即查明消费者 {consumer} 滞后的原因，或延长主题的保留时间。",
        "runbook.md#a-sink-is-down",
    ),
    "sink_without_kafka": Text(
        "It is not known what waits: the consumer {consumer} cannot read from Kafka{since}. "
        f"Nothing that was answered OK is lost. {REASON}",
        f"Fix Kafka, or the access to it; {THEN_RECOVERS}",
        "{since}消费者 {consumer} 无法从 Kafka 读取，因此不知道有多少在等待。"
        f"已回复 OK 的回调没有丢失。{REASON_ZH}",
        f"请修复 Kafka 或对它的访问，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "sink_joins": Text(
        "The consumer {consumer} starts and joins its group. Nothing is lost; callbacks wait in "
        "Kafka.",
        "Wait a minute.",
        "消费者 {consumer} 正在启动并加入消费组。没有丢失；回调在 Kafka 中等待。",
        "请等待一分钟。",
        "runbook.md#a-process-does-not-answer",
    ),
    "sink_without_partitions": Text(
        f"No process of the consumer {{consumer}} has a partition to read{{since}}. {IN_KAFKA}.",
        "Look for other members of the same group, and read the consumer's log.",
        f"{{since}}消费者 {{consumer}} 的进程没有分配到分区。{IN_KAFKA}。",
        "请检查是否有同组的其他成员，并查看消费者的日志。",
        "runbook.md#a-process-does-not-answer",
    ),
    "sink_lags": Text(
        "The consumer {consumer} lags{since}: the oldest callback has waited in Kafka for {age}. "
        f"{IN_KAFKA}.",
        "If the lag grows, look at the load of {sink}, or start more processes of the consumer.",
        f"{{since}}消费者 {{consumer}} 滞后：最早的回调已在 Kafka 中等待 {{age}}。{IN_KAFKA}。",
        "如果滞后持续增长，请检查{sink}的负载，或增加消费者进程。",
        "runbook.md#a-sink-is-down",
    ),
    "sink_some_stopped": Text(
        "{affected} of {all} processes of the consumer {consumer} have stopped{since} and wait for "
        f"a person. The others go on; nothing is lost. {REASON}",
        "Find the reason in the runbook, fix the cause, then restart these processes.",
        "{since}消费者 {consumer} 的 {all} 个进程中有 {affected} 个已停止并等待人工处理。"
        f"其余进程继续；没有丢失。{REASON_ZH}",
        "请在处理手册中查找该原因，修复后重启这些进程。",
        "runbook.md#a-consumer-stops",
    ),
    "sink_some_silent": Text(
        "{affected} of {all} processes of the consumer {consumer} do not answer{since}. The others "
        "take over; nothing is lost.",
        "Start these processes again.",
        "{since}消费者 {consumer} 的 {all} 个进程中有 {affected} 个无应答。其余进程会接管；"
        "没有丢失。",
        "请重新启动这些进程。",
        "runbook.md#a-process-does-not-answer",
    ),
    "sink_lag_unknown": Text(
        f"The consumer {{consumer}} does not know yet how much waits. {IN_KAFKA}.",
        "Wait a moment.",
        f"消费者 {{consumer}} 尚不知道有多少在等待。{IN_KAFKA}。",
        "请稍候。",
        "runbook.md#a-sink-is-down",
    ),
    "sink_rejects": Text(
        "The consumer {consumer} rejected {affected} of the last callbacks. They are not lost, but "
        "in the dead-letter topic, and {sink} lacks those that were not sent again.",
        "See which wait, and why, with: hookline dead-letters ls. Fix the cause, then send them "
        "again.",
        "消费者 {consumer} 最近拒绝了 {affected} 条回调。没有丢失：它们在死信主题中。"
        "其中尚未重新发送的，{sink}仍缺少。",
        "用 hookline dead-letters ls 查看哪些在等待及其原因；排除后重新发送。",
        "runbook.md#a-consumer-stops",
    ),
    "sink_disk_short": Text(
        "The disk of the archive has only {free} left. Nothing is lost; when it is full, callbacks "
        "wait in Kafka.",
        "Make room on the disk, for example with: hookline archive expire.",
        "归档所在磁盘仅剩 {free}。没有丢失；磁盘写满后，回调在 Kafka 中等待。",
        "请腾出磁盘空间，例如使用 hookline archive expire。",
        "runbook.md#a-sink-is-down",
    ),
    "counts_unreadable": Text(
        f"Valkey does not answer{{since}}, so the statistics cannot be shown. {IN_KAFKA}.",
        f"Check Valkey; {THEN_RECOVERS}",
        f"{{since}}Valkey 无应答，无法显示统计。{IN_KAFKA}。",
        f"请检查 Valkey，{THEN_RECOVERS_ZH}",
        "runbook.md#a-sink-is-down",
    ),
}
