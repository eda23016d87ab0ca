"""The texts about Kafka: whether callbacks get there, and can be read there."""

from collections.abc import Mapping

from consumers.stats.health_text import (
    NOTHING,
    REASON,
    REASON_ZH,
    SAFE_ON_DISK,
    SAFE_ON_DISK_ZH,
    THEN_RECOVERS,
    THEN_RECOVERS_ZH,
    Text,
)

KAFKA_TEXTS: Mapping[str, Text] = {
    "kafka_ok": Text(
        "Callbacks get to Kafka without delay.", NOTHING.en, "回调及时写入 Kafka。", NOTHING.zh
    ),
    "kafka_away": Text(
        "Kafka cannot be used{since}. Nothing is lost; callbacks are answered OK and wait on disk "
        f"({{percent}} % of the room is used). {REASON}",
        f"Fix Kafka, or the access to it; {THEN_RECOVERS}",
        "{since}Kafka 无法使用。没有丢失；回调照常回复 OK，"
        f"并在磁盘上等待（空间已用 {{percent}}%）。{REASON_ZH}",
        f"请修复 Kafka 或对它的访问，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "kafka_away_fills": Text(
        "Kafka cannot be used{since}. Nothing is lost; callbacks are answered OK and wait on disk "
        f"(room for {{room}} at the present rate). {REASON}",
        f"Fix Kafka, or the access to it; {THEN_RECOVERS}",
        "{since}Kafka 无法使用。没有丢失；回调照常回复 OK，"
        f"并在磁盘上等待（按当前速度还可容纳 {{room}}）。{REASON_ZH}",
        f"请修复 Kafka 或对它的访问，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "kafka_not_written": Text(
        "Callbacks do not get to Kafka{since}. Nothing is lost; they are answered OK and wait on "
        f"disk ({{percent}} % of the room is used). {REASON}",
        f"Fix what the reason names; {THEN_RECOVERS}",
        "{since}回调未能写入 Kafka。没有丢失；回调照常回复 OK，"
        f"并在磁盘上等待（空间已用 {{percent}}%）。{REASON_ZH}",
        f"请按原因修复，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "kafka_not_written_unready": Text(
        "Callbacks do not get to Kafka{since}, and not all replicas are ready for new ones; see "
        f"Receiving. {SAFE_ON_DISK}. {REASON}",
        f"Fix what the reason names; {THEN_RECOVERS}",
        "{since}回调未能写入 Kafka，且并非所有副本都能接收新回调，见“接入”。"
        f"{SAFE_ON_DISK_ZH}。{REASON_ZH}",
        f"请按原因修复，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "kafka_some_stuck": Text(
        "{affected} of {all} replicas cannot write to Kafka{since}. Their callbacks wait on disk "
        f"and are not lost. {REASON}",
        "Fix what the reason names; hookline status has the reason of each replica.",
        "{since}{all} 个副本中有 {affected} 个无法写入 Kafka。其回调在磁盘上等待，没有丢失。"
        f"{REASON_ZH}",
        "请按原因修复；hookline status 会显示每个副本各自的原因。",
        "runbook.md#kafka-is-down",
    ),
    "kafka_connects": Text(
        f"The ingress connects to Kafka. {SAFE_ON_DISK}.",
        "Wait a moment.",
        f"接入服务正在连接 Kafka。{SAFE_ON_DISK_ZH}。",
        "请稍候。",
        "runbook.md#kafka-is-down",
    ),
    "kafka_unreadable": Text(
        "No consumer can read from Kafka{since}, and no ingress replica answers. Nothing that was "
        f"answered OK is lost. {REASON}",
        f"Fix Kafka and start the ingress; {THEN_RECOVERS}",
        "{since}所有消费者都无法从 Kafka 读取，且没有接入副本应答。已回复 OK 的回调没有丢失。"
        f"{REASON_ZH}",
        f"请修复 Kafka 并启动接入服务，{THEN_RECOVERS_ZH}",
        "runbook.md#kafka-is-down",
    ),
    "kafka_some_unreadable": Text(
        "{affected} of {all} consumer processes cannot read from Kafka{since}. Callbacks wait in "
        f"Kafka and are not lost. {REASON}",
        "Fix what the reason names; hookline status has the reason of each process that waits.",
        "{since}{all} 个消费者进程中有 {affected} 个无法从 Kafka 读取。"
        f"回调在 Kafka 中等待，没有丢失。{REASON_ZH}",
        "请按原因修复；hookline status 会显示每个等待进程各自的原因。",
        "runbook.md#kafka-is-down",
    ),
    "kafka_not_asked": Text(
        "Callbacks get to Kafka and are not lost. But this process has no right to ask Kafka how "
        f"far each consumer has read. {REASON}",
        "Name this process's principal under statistics in the file of ACLs; then: "
        "hookline topics apply --acls FILE.",
        f"回调正常写入 Kafka，没有丢失。但本进程无权向 Kafka 查询各消费者的读取进度。{REASON_ZH}",
        "请在 ACL 文件的 statistics 中写入本进程的主体，然后执行 "
        "hookline topics apply --acls FILE。",
        "runbook.md#a-right-in-kafka-is-missing",
    ),
    "kafka_only_read": Text(
        "Kafka can be read. It is not known whether callbacks get there, because no "
        "ingress replica answers.",
        "Start the ingress, or set STATS_INGRESS.",
        "可以从 Kafka 读取。没有接入副本应答，因此不知道回调能否写入。",
        "请启动接入服务，或设置 STATS_INGRESS。",
        "runbook.md#a-process-does-not-answer",
    ),
    "kafka_unreached": Text(
        "This process cannot use Kafka{since}. No ingress replica answers, and no consumer reports "
        f"that it reads from Kafka. {REASON}",
        "Fix what the reason names: Kafka, or this process's access to it. Then start the ingress "
        "and the consumers.",
        "{since}本进程无法使用 Kafka。没有接入副本应答，也没有消费者报告能从 Kafka 读取。"
        f"{REASON_ZH}",
        "请按原因修复 Kafka，或本进程对 Kafka 的访问；然后启动接入服务和消费者。",
        "runbook.md#kafka-is-down",
    ),
    "kafka_unknown": Text(
        "It is not known whether Kafka works, because no ingress replica answers, and no consumer "
        "reports that it reads from Kafka.",
        "Start the ingress and the consumers.",
        "没有接入副本应答，也没有消费者报告能从 Kafka 读取，因此不知道 Kafka 是否正常。",
        "请启动接入服务和消费者。",
        "runbook.md#a-process-does-not-answer",
    ),
    "kafka_slow": Text(
        "Callbacks wait on disk{since}, the oldest for {age}: Kafka takes them too slowly, or "
        "Kafka or the ingress was down and they are forwarded now. They are not lost.",
        "If their number does not fall, look at the load of the brokers, and at "
        "ingress_spool_full_in_seconds.",
        "{since}回调在磁盘上等待，最早的已等待 {age}，没有丢失：Kafka 写入过慢，或 Kafka、接入服务"
        "曾中断，正在转发。",
        "如果其数量不减少，请检查 Kafka 服务器的负载，以及 ingress_spool_full_in_seconds。",
        "runbook.md#kafka-is-down",
    ),
}
