"""The texts about the gateway, the dead letters and the statistics API."""

from collections.abc import Mapping

from consumers.stats.health_text import (
    NOTHING,
    REFUSED,
    REFUSED_ZH,
    SAFE_ON_DISK,
    SAFE_ON_DISK_ZH,
    THEN_RECOVERS,
    THEN_RECOVERS_ZH,
    UNREADY,
    UNREADY_ZH,
    Text,
)

EDGE_TEXTS: Mapping[str, Text] = {
    "gateway_ok": Text(
        "The gateway answers and has a replica that is ready.",
        NOTHING.en,
        "网关有应答，并有就绪的副本。",
        NOTHING.zh,
    ),
    "gateway_silent": Text(
        "The gateway does not answer{since}, so callbacks probably do not arrive. "
        f"{REFUSED}. {SAFE_ON_DISK}.",
        "Start the gateway; if it ends again, its log says why.",
        f"{{since}}网关无应答，回调很可能无法到达。{REFUSED_ZH}。{SAFE_ON_DISK_ZH}。",
        "请启动网关；如果它再次退出，原因见其日志。",
        "runbook.md#the-gateway-does-not-answer",
    ),
    "gateway_unready": Text(
        f"The gateway finds no ingress that is ready{{since}}. {UNREADY}. {REFUSED}. "
        f"{SAFE_ON_DISK}.",
        f"Start the ingress, or make it ready; {THEN_RECOVERS}",
        f"{{since}}网关找不到就绪的接入副本。{UNREADY_ZH}。{REFUSED_ZH}。{SAFE_ON_DISK_ZH}。",
        f"请启动接入服务，或使其就绪，{THEN_RECOVERS_ZH}",
        "runbook.md#the-gateway-does-not-answer",
    ),
    "dead_letters_ok": Text("No dead letters wait.", NOTHING.en, "没有待处理的死信。", NOTHING.zh),
    "dead_letters_newest_ok": Text(
        "No dead letter of the last {offsets} offsets of each partition waits; older ones were not "
        "read.",
        "If older ones were neither sent again nor dropped, list them with: hookline dead-letters "
        "ls. It reads all of them.",
        "每个分区最近 {offsets} 个偏移量内没有待处理的死信；未读取更早的死信。",
        "如果更早的死信尚未重新发送或丢弃，请用 hookline dead-letters ls 查看，它会读取全部死信。",
        "runbook.md#dead-letters",
    ),
    "dead_letters_wait": Text(
        "{total} dead letters wait: {causes}. {affected} of them are from the last 24 hours; the "
        "last one is {age} old. They are not in every sink, and not lost, as long as Kafka keeps "
        "them.",
        "See why with: hookline dead-letters ls. Fix the cause, then send them again, or drop "
        "them.",
        "有 {total} 条死信待处理：{causes}。其中 {affected} 条在最近 24 小时内；"
        "最近一条在 {age}前。"
        "它们未写入所有存储；在 Kafka 保留期内没有丢失。",
        "用 hookline dead-letters ls 查看原因；排除后重新发送，或丢弃。",
        "runbook.md#dead-letters",
    ),
    "dead_letters_wait_partly_read": Text(
        "{total} dead letters wait: {causes}. Not all were read within 1 s, so the newest may be "
        "missing here. They are not in every sink, and not lost, as long as Kafka keeps them.",
        "See all of them, and why, with: hookline dead-letters ls. Fix the cause, then send them "
        "again, or drop them.",
        "有 {total} 条死信待处理：{causes}。未能在 1 秒内读完，可能未计入最新的死信。"
        "它们未写入所有存储；在 Kafka 保留期内没有丢失。",
        "用 hookline dead-letters ls 查看全部死信及原因；排除后重新发送，或丢弃。",
        "runbook.md#dead-letters",
    ),
    "dead_letters_partly_read": Text(
        "It is not known whether dead letters wait{since}: none of those that were read waits, but "
        "not all were read within 1 s. No dead letter is lost as long as Kafka keeps it.",
        "See whether any waits with: hookline dead-letters ls. It reads all of them.",
        "{since}不知道是否有待处理的死信：已读取的死信都已处理，但未能在 1 秒内全部读取。"
        "在 Kafka 保留期内死信没有丢失。",
        "用 hookline dead-letters ls 查看是否有待处理的死信，它会读取全部死信。",
        "runbook.md#dead-letters",
    ),
    "dead_letters_unknown": Text(
        "This process cannot count dead letters{since}. No dead letter is lost. The reason: "
        "{reason}.",
        "Fix what the reason names: Kafka, or this process's access to it.",
        "{since}本进程无法统计死信，但死信没有丢失。原因：{reason}。",
        "请按原因修复 Kafka，或本进程对 Kafka 的访问。",
        "runbook.md#kafka-is-down",
    ),
    "statistics_ok": Text(
        "The statistics API answers.", NOTHING.en, "统计 API 有应答。", NOTHING.zh
    ),
    "statistics_silent": Text(
        "The statistics API does not answer{since}, so nobody sees the statistics. Nothing is "
        "lost; it stores nothing.",
        "Start it; if it ends again, its log says why.",
        "{since}统计 API 无应答，无法查看统计。没有丢失；它不存储任何数据。",
        "请启动它；如果它再次退出，原因见其日志。",
        "runbook.md#a-process-does-not-answer",
    ),
    "statistics_unready": Text(
        "The statistics API cannot read Valkey{since}. Nothing is lost; callbacks that cannot be "
        "counted wait in Kafka.",
        f"Check Valkey; {THEN_RECOVERS}",
        "{since}统计 API 无法读取 Valkey。没有丢失；无法统计的回调在 Kafka 中等待。",
        f"请检查 Valkey，{THEN_RECOVERS_ZH}",
        "runbook.md#a-sink-is-down",
    ),
}
