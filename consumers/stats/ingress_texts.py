"""The texts about the ingress: receiving, and the spool on disk."""

from collections.abc import Mapping

from consumers.stats.health_text import (
    NOTHING,
    REFUSED,
    REFUSED_ZH,
    SAFE_ON_DISK,
    SAFE_ON_DISK_ZH,
    UNREADY,
    UNREADY_ZH,
    Text,
)

INGRESS_TEXTS: Mapping[str, Text] = {
    "ingress_not_watched": Text(
        "The ingress is not watched.",
        "Set STATS_INGRESS (of hookline status: --ingress) to the admin ports of all replicas.",
        "未监测接入服务。",
        "请将 STATS_INGRESS（hookline status 的 --ingress）设为所有接入副本的管理端口地址。",
        "runbook.md#a-part-is-not-watched",
    ),
    "receiving_ok": Text(
        "All replicas are ready for callbacks.",
        NOTHING.en,
        "所有接入副本都已就绪。",
        NOTHING.zh,
    ),
    "receiving_silent": Text(
        "No ingress replica answers{since}, so callbacks are probably not accepted. "
        f"{REFUSED}. {SAFE_ON_DISK}.",
        "Start the ingress; if it ends again, its log says why.",
        f"{{since}}没有接入副本应答，回调很可能无法接收。{REFUSED_ZH}。{SAFE_ON_DISK_ZH}。",
        "请启动接入服务；如果它再次退出，原因见其日志。",
        "runbook.md#a-process-does-not-answer",
    ),
    "receiving_full": Text(
        "No replica is ready for callbacks{since}: the spool is full, or nearly full. "
        f"{UNREADY}. {REFUSED}. {SAFE_ON_DISK}.",
        "Fix Kafka if it is down; the spool then empties by itself.",
        f"{{since}}没有就绪的副本：落盘空间已满或将满。{UNREADY_ZH}。{REFUSED_ZH}。"
        f"{SAFE_ON_DISK_ZH}。",
        "如果 Kafka 故障，请先修复；之后落盘空间会自动腾出。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "receiving_stopping": Text(
        "No replica is ready for callbacks{since}: all of them are shutting down. "
        f"{UNREADY}. {REFUSED}. {SAFE_ON_DISK}.",
        "Start the ingress again, unless somebody is doing so.",
        f"{{since}}没有就绪的副本：所有副本都在停止。{UNREADY_ZH}。{REFUSED_ZH}。"
        f"{SAFE_ON_DISK_ZH}。",
        "请重新启动接入服务（如无人正在操作）。",
        "runbook.md#a-process-does-not-answer",
    ),
    "receiving_disk_fails": Text(
        f"No replica is ready for callbacks{{since}}: the disk fails. {UNREADY}. {REFUSED}. "
        f"{SAFE_ON_DISK}, as far as the disk can still be read.",
        "Make room on the disk, or replace it; the log of the ingress has the error.",
        f"{{since}}没有就绪的副本：磁盘故障。{UNREADY_ZH}。{REFUSED_ZH}。"
        f"只要磁盘仍可读，{SAFE_ON_DISK_ZH}。",
        "请腾出磁盘空间或更换磁盘；错误见接入服务的日志。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "receiving_some_unready": Text(
        "{affected} of {all} replicas are not ready for callbacks{since}. Other replicas are "
        "ready. Nothing is lost if the gateway sends callbacks only to those.",
        "hookline status says of each of these replicas why.",
        "{since}{all} 个副本中有 {affected} 个未就绪。另有副本已就绪，"
        "只要网关只访问它们就没有丢失。",
        "hookline status 会说明这些副本各自的原因。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "receiving_some_silent": Text(
        "{affected} of {all} replicas do not answer{since}. The others are ready. Nothing is "
        "lost: the callbacks on the disk of the silent ones are forwarded later.",
        "Start these replicas again.",
        "{since}{all} 个副本中有 {affected} 个无应答，其余副本正常接收。没有丢失："
        "无应答副本已落盘的"
        "回调稍后会转发。",
        "请重新启动这些副本。",
        "runbook.md#a-process-does-not-answer",
    ),
    "receiving_secrets": Text(
        "The present tokens file cannot be used{since}; its former content stays valid. Callbacks "
        "with a token of the former content are accepted; those with a new token are refused, and "
        "lost unless TIM's retry is switched on.",
        "Correct the file of INGRESS_TOKENS_FILE; hookline status says what is wrong with it.",
        "{since}当前的令牌文件无法使用，仍沿用之前的内容。使用原有令牌的回调正常接收；"
        "使用新令牌的回调会被拒绝，并会丢失，除非 TIM 侧开启了重试。",
        "请修正 INGRESS_TOKENS_FILE 指定的文件；hookline status 会说明问题所在。",
        "runbook.md#the-tokens-file-cannot-be-used",
    ),
    "receiving_unsigned": Text(
        "The tokens file does not name all apps of INGRESS_SDKAPPIDS (missing: {affected}). "
        "Callbacks of a missing app are accepted from anyone. Nothing is lost.",
        "Write the app with its token into the file of INGRESS_TOKENS_FILE, or with = [] if no "
        "Sign is asked for. hookline status names the missing apps.",
        "令牌文件没有列出 INGRESS_SDKAPPIDS 中的所有应用（缺少 {affected} 个）。"
        "任何人都可以发送所缺应用的回调。没有丢失。",
        "请在 INGRESS_TOKENS_FILE 指定的文件中写入该应用及其令牌；如果不需要签名，请写 = []。"
        "hookline status 会列出所缺的应用。",
        "runbook.md#an-app-without-a-token",
    ),
    "disk_ok": Text(
        "Callbacks wait on disk only for a moment.",
        NOTHING.en,
        "回调落盘后很快转发。",
        NOTHING.zh,
    ),
    "disk_unknown": Text(
        "It is not known how many callbacks wait on disk, because no ingress replica "
        f"answers{{since}}. {SAFE_ON_DISK}.",
        "Start the ingress again.",
        f"{{since}}没有接入副本应答，因此不知道有多少回调在磁盘上等待。{SAFE_ON_DISK_ZH}。",
        "请重新启动接入服务。",
        "runbook.md#a-process-does-not-answer",
    ),
    "disk_full": Text(
        f"The spool of a replica is full, or nearly full{{since}}. {REFUSED}. {SAFE_ON_DISK}.",
        "Fix Kafka if it is down; the spool then empties by itself.",
        f"{{since}}有副本的落盘空间已满或将满。{REFUSED_ZH}。{SAFE_ON_DISK_ZH}。",
        "如果 Kafka 故障，请先修复；之后落盘空间会自动腾出。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "disk_fails": Text(
        "The disk of a replica cannot be written{since}, and this replica refuses new callbacks. "
        f"{SAFE_ON_DISK}, as far as the disk can still be read.",
        "Make room on the disk, or replace it; the log of the ingress has the error.",
        f"{{since}}有副本的磁盘无法写入，该副本拒绝新回调。只要磁盘仍可读，{SAFE_ON_DISK_ZH}。",
        "请腾出磁盘空间或更换磁盘；错误见接入服务的日志。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "disk_filling_fast": Text(
        "The spool is {percent} % full and is full in {room} at the present rate. Nothing is lost "
        "until then; after that, new callbacks are refused.",
        "Fix Kafka, or give the spool more room (INGRESS_SPOOL_BYTES_MAX).",
        "落盘空间已用 {percent}%，按当前速度 {room}后写满。在此之前没有丢失；之后将拒绝新回调。",
        "请修复 Kafka，或增大落盘空间（INGRESS_SPOOL_BYTES_MAX）。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "disk_filling": Text(
        "The spool is {percent} % full. Nothing is lost; when it is full, new callbacks are "
        "refused.",
        "Fix Kafka if it is down, or give the spool more room (INGRESS_SPOOL_BYTES_MAX).",
        "落盘空间已用 {percent}%。没有丢失；写满后将拒绝新回调。",
        "如果 Kafka 故障，请修复；或增大落盘空间（INGRESS_SPOOL_BYTES_MAX）。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "disk_short": Text(
        "The disk of a spool has only {free} left, less than the spool may still need. Nothing is "
        "lost; when the disk is full, new callbacks are refused.",
        "Make room on the disk.",
        "落盘所在磁盘仅剩 {free}，少于落盘还可能需要的空间。没有丢失；磁盘写满后将拒绝新回调。",
        "请腾出磁盘空间。",
        "runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
    ),
    "disk_damaged": Text(
        "{affected} spools have callbacks that do not get to Kafka: damaged ones, or those that "
        "Kafka refuses. They may be lost; all others go on.",
        "Read quarantined and fault in /status, and replace a disk that damages data.",
        "{affected} 个落盘文件中有无法送达 Kafka 的回调：已损坏，或被 Kafka 拒绝。"
        "这些可能丢失，其余正常。",
        "请查看 /status 中的 quarantined 和 fault，并更换损坏数据的磁盘。",
        "runbook.md#a-spool-row-is-damaged",
    ),
    "disk_row": Text(
        "The oldest callback on disk cannot be read{since}. It may be lost; the others are not.",
        "Read the log of the ingress, and replace a disk that damages data.",
        "{since}磁盘上最早的一条回调无法读取，可能丢失；其余没有丢失。",
        "请查看接入服务的日志，并更换损坏数据的磁盘。",
        "runbook.md#a-spool-row-is-damaged",
    ),
    "disk_partly_unknown": Text(
        "{affected} of {all} replicas do not answer{since}, so it is not known how many callbacks "
        "wait on their disks. Nothing is lost: they are forwarded later.",
        "Start these replicas again.",
        "{since}{all} 个副本中有 {affected} 个无应答，不知道其磁盘上有多少回调在等待。"
        "没有丢失：稍后会转发。",
        "请重新启动这些副本。",
        "runbook.md#a-process-does-not-answer",
    ),
}
